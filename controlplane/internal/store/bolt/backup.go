package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// Backup writes a consistent copy of the file while reading and writing go on. A slow
// writer w keeps the file from reusing space, nothing else.
func (s *Store) Backup(w io.Writer) (int64, error) {
	b, err := s.db.Begin(false)
	if err != nil {
		return 0, closedError(err)
	}
	defer func() { _ = b.Rollback() }()
	n, err := b.WriteTo(w)
	if err != nil {
		return n, fmt.Errorf("back up store %s: %w", s.o.Path, err)
	}
	return n, nil
}

// RaiseGeneration makes nodes follow this store although they may have seen later
// revisions of its lineage. It is what an operator wants after restoring a backup.
func (s *Store) RaiseGeneration() (store.Position, error) {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if err := s.ReadOnly(); err != nil {
		return store.Position{}, fmt.Errorf("%w: %w", store.ErrReadOnly, err)
	}
	b, err := s.db.Begin(true)
	if err != nil {
		return store.Position{}, closedError(err)
	}
	defer func() { _ = b.Rollback() }()
	next := *s.head.Load()
	next.generation++
	if err := b.Bucket(bucketMeta).Put(keyHead, next.encode()); err != nil {
		return store.Position{}, fmt.Errorf("raise generation: %w", err)
	}
	if err := s.commitTo(b); err != nil {
		return store.Position{}, err
	}
	s.head.Store(&next)
	p := next.position(s.lineage)
	s.notify.send(p)
	return p, nil
}

// Restore puts a backup in the place of the file at path, if any, with its generation
// raised above that of both, so that nodes take its configuration. The store must not
// be open. A damaged backup, or one with another key than those of the options, changes
// nothing.
func Restore(ctx context.Context, backup io.Reader, o Options) (store.Position, error) {
	path := o.Path
	fail := func(err error) (store.Position, error) {
		return store.Position{}, fmt.Errorf("restore store %s: %w", path, err)
	}
	temporary := path + ".restore"
	if err := copyInto(backup, temporary); err != nil {
		return fail(err)
	}
	defer func() { _ = os.Remove(temporary) }() // gone when all went well
	o.Path = temporary
	if err := o.complete(); err != nil {
		return fail(err)
	}
	s, err := open(ctx, o)
	if err != nil {
		return fail(err)
	}
	defer func() { _ = s.Close() }()
	before, err := peek(path)
	if err != nil {
		return fail(err)
	}
	next := *s.head.Load()
	if before.generation > next.generation {
		next.generation = before.generation
	}
	s.head.Store(&next)
	p, err := s.RaiseGeneration()
	if err != nil {
		return fail(err)
	}
	if err := s.Close(); err != nil {
		return fail(err)
	}
	if err := moveInto(temporary, path); err != nil {
		return fail(err)
	}
	return p, nil
}

func copyInto(from io.Reader, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fileMode) //nolint:gosec // the path is the operator's
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// peek returns the head of the file at path, the zero one when it can't be read: that
// may be why a backup is restored. A file that is in use is an error.
func peek(path string) (h head, err error) {
	if _, err := os.Stat(path); err != nil {
		return head{}, nil //nolint:nilerr // there is none
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			h, err = head{}, nil
		}
	}()
	// Its lock excludes a process that has the store open.
	db, err := bbolt.Open(path, fileMode, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		if errors.Is(err, berrors.ErrTimeout) {
			return head{}, store.ErrInUse
		}
		return head{}, nil
	}
	defer func() { _ = db.Close() }()
	_ = db.View(func(b *bbolt.Tx) error {
		if meta := b.Bucket(bucketMeta); meta != nil {
			h, _ = decodeHead(meta.Get(keyHead))
		}
		return nil
	})
	return h, nil
}
