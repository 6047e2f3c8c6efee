package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// Keys of the bucket meta.
var (
	keyVersion = []byte("version")
	keyLineage = []byte("lineage")
	keyHead    = []byte("head")
)

const (
	lockTimeout = 2 * time.Second
	fileMode    = 0o600
	// mmapSize is address space, not memory. Growing beyond it has to wait for readers.
	mmapSize = 1 << 30
)

// Open opens the store in a file, making one when there is none. A file that is not
// exactly what was committed is refused with store.ErrDamaged and left as it is.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s, err := open(ctx, o)
	if errors.Is(err, store.ErrDamaged) {
		return nil, fmt.Errorf("open store %s: %w; it was left as it is, to go back to a backup run %q", o.Path, err, o.RestoreCommand)
	}
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Path, err)
	}
	return s, nil
}

func open(ctx context.Context, o Options) (*Store, error) {
	started := time.Now()
	switch info, err := os.Stat(o.Path); {
	case errors.Is(err, fs.ErrNotExist):
		if err := create(o.Path); err != nil {
			return nil, err
		}
		o.Logger.Info("made a new store", "path", o.Path)
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() == 0:
		return nil, fmt.Errorf("%w: the file is empty", store.ErrDamaged)
	}
	sealed, tree, err := unseal(ctx, &o)
	if err != nil {
		return nil, err
	}
	s := &Store{o: o, tree: tree, sealer: sealed, commit: (*bbolt.Tx).Commit, rewriteFrom: rewriteFrom}
	s.db, err = bbolt.Open(o.Path, fileMode, &bbolt.Options{
		Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true,
		InitialMmapSize: mmapSize, NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode) //nolint:gosec // the path is the operator's
			s.file = f
			return f, err
		},
	})
	if err != nil {
		return nil, lockError(err)
	}
	if err := s.load(ctx); err != nil {
		_ = s.db.Close()
		return nil, err
	}
	_ = s.db.View(func(b *bbolt.Tx) error {
		s.release(b) // all of it was read
		return nil
	})
	p := s.head.Load().position(s.lineage)
	o.Logger.Info("store is open", "path", o.Path, "lineage", p.Lineage, "generation", p.Generation,
		"revision", p.Revision, "entities", s.tree.Count(), "duration_ms", time.Since(started).Milliseconds())
	return s, nil
}

// unseal finds the file's key, reads all of it, and writes it again when it is to have
// another key.
func unseal(ctx context.Context, o *Options) (s *sealer, tree *roothash.Tree, err error) {
	if err := inspect(o.Path, func(b *bbolt.Tx) (err error) {
		s, err = sealerIn(b, o)
		return err
	}); err != nil {
		return nil, nil, err
	}
	if tree, err = examine(ctx, o.Path, s); err != nil || s.opens(o.Key) {
		return s, tree, err
	}
	if o.Key == nil && o.PreviousKey == nil {
		return nil, nil, store.ErrKey // it can't be: without a key no sealer is opened
	}
	next, err := newSealer(o.Key)
	if err != nil {
		return nil, nil, err
	}
	o.Logger.Info("writing the store again under another key", "path", o.Path, "encrypted_before", s != nil, "encrypted", next != nil)
	if err := recode(ctx, o, s, next); err != nil {
		return nil, nil, fmt.Errorf("change the key: %w", err)
	}
	return next, tree, nil
}

// lockError tells what bbolt says of a file: what is neither the lock nor the operating
// system is the file itself.
func lockError(err error) error {
	var errno syscall.Errno
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return store.ErrInUse
	case errors.As(err, &errno):
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrDamaged, err)
}

// load migrates the layout when that is needed and reads what is kept in memory.
func (s *Store) load(ctx context.Context) error {
	migrated, err := migrate(s.db, migrations, layoutVersion)
	if err != nil {
		return err
	}
	return s.db.View(func(b *bbolt.Tx) error {
		s.staged = b.Bucket(bucketStage) != nil
		meta := b.Bucket(bucketMeta)
		h, err := decodeHead(meta.Get(keyHead))
		if err != nil {
			return err
		}
		if !bytes.Equal(meta.Get(keyCipher), s.meta()) {
			return store.ErrInUse // another process has changed the key in between
		}
		s.lineage = string(meta.Get(keyLineage))
		s.head.Store(&h)
		if !migrated && s.tree.Root() == h.root {
			return nil
		}
		s.tree, err = verify(ctx, b, s.sealer) // it was changed since it was examined
		return err
	})
}

// meta is what the file must have under meta/cipher.
func (s *Store) meta() []byte {
	if s.sealer == nil {
		return nil
	}
	return s.sealer.meta
}

// create makes an empty store under another name first, so that a file under the right
// name is always complete.
func create(path string) error {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(temporary, fileMode, &bbolt.Options{Timeout: lockTimeout, NoFreelistSync: true})
	if err != nil {
		return lockError(err)
	}
	if err := db.Update(initialize); err != nil {
		_ = db.Close()
		return fmt.Errorf("initialize: %w", err)
	}
	if err := db.Close(); err != nil {
		return err
	}
	return moveInto(temporary, path)
}

func initialize(b *bbolt.Tx) error {
	for _, name := range topBuckets {
		if _, err := b.CreateBucket(name); err != nil {
			return err
		}
	}
	meta := b.Bucket(bucketMeta)
	h := head{generation: 1, root: roothash.New().Root(), logFirst: 1}
	if err := meta.Put(keyLineage, []byte(uuid.NewString())); err != nil {
		return err
	}
	if err := meta.Put(keyVersion, binary.BigEndian.AppendUint32(nil, layoutVersion)); err != nil {
		return err
	}
	return meta.Put(keyHead, h.encode())
}

// moveInto renames a file and makes that durable.
func moveInto(temporary, path string) error {
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path)) //nolint:gosec // the path is the operator's
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	return folder.Sync()
}
