package bolt

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

var errAbandoned = errors.New("update was abandoned by another writer")

// request is one call of Update.
type request struct {
	ctx  context.Context //nolint:containedctx // lives as long as the call that made it
	info store.Info
	fn   func(store.WriteTx) error

	done     bool
	position store.Position
	err      error
	panicked any
}

// Update implements store.Store. Writers that wait for their turn together share a
// commit: the first of them runs the functions of all, one after the other, each with
// its own revision, so that the disk is waited for once. fn must not call Update.
func (s *Store) Update(ctx context.Context, info store.Info, fn func(store.WriteTx) error) (store.Position, error) {
	r := &request{ctx: ctx, info: info, fn: fn}
	s.queueMu.Lock()
	s.queue = append(s.queue, r)
	s.queueMu.Unlock()

	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if !r.done {
		s.queueMu.Lock()
		batch := s.queue
		s.queue = nil
		s.queueMu.Unlock()
		s.run(batch)
	}
	switch {
	case r.panicked != nil:
		panic(r.panicked)
	case !r.done:
		// A function of the batch that r was in ended its goroutine.
		return store.Position{}, errAbandoned
	}
	return r.position, r.err
}

// run runs the functions of a batch and commits what those did that returned nil.
func (s *Store) run(batch []*request) {
	if err := s.ReadOnly(); err != nil {
		finish(batch, fmt.Errorf("%w: %w", store.ErrReadOnly, err))
		return
	}
	b, err := s.db.Begin(true)
	if err != nil {
		finish(batch, closedError(err))
		return
	}
	defer func() { _ = b.Rollback() }() // after a commit it does nothing
	next, tree, written := *s.head.Load(), s.tree.Clone(), false
	for _, r := range batch {
		wrote, err := s.runOne(b, r, &next, tree)
		written = written || wrote
		if err != nil { // of the store, not of the function: the transaction can't be trusted
			finish(batch, fmt.Errorf("update store: %w", err))
			return
		}
	}
	if written {
		if err := s.writeHead(b, &next); err != nil {
			finish(batch, fmt.Errorf("update store: %w", err))
			return
		}
		if err := s.commitTo(b); err != nil {
			finish(batch, err)
			return
		}
	}
	s.tree = tree
	last := s.head.Swap(&next)
	for _, r := range batch {
		r.done = true
	}
	if last.revision != next.revision {
		s.notify.send(next.position(s.lineage))
	}
}

// finish ends those requests that have not failed by themselves.
func finish(batch []*request, err error) {
	for _, r := range batch {
		r.done = true
		if r.err == nil && r.panicked == nil {
			r.position, r.err = store.Position{}, err
		}
	}
}

// runOne runs one function and brings what it wrote into the transaction, its change
// set included. The error is the store's own; the function's is in r.
func (s *Store) runOne(b *bbolt.Tx, r *request, next *head, tree *roothash.Tree) (wrote bool, err error) {
	if r.err = r.ctx.Err(); r.err != nil {
		return false, nil
	}
	w := &writeTx{&tx{b: b, lineage: s.lineage, head: *next, sealer: s.sealer}}
	func() {
		defer func() { r.panicked = recover() }()
		r.err = r.fn(w)
	}()
	if w.unsealed != nil && r.panicked == nil {
		r.err = w.unsealed
	}
	if r.err != nil || r.panicked != nil {
		return false, nil
	}
	r.position = next.position(s.lineage)
	declared := declares(r.info, next)
	if !w.pending() && !declared {
		return false, nil
	}
	changes, err := w.changes(tree)
	if err != nil {
		return true, err
	}
	if err := w.apply(); err != nil {
		return true, err
	}
	if w.unsealed != nil {
		return true, w.unsealed
	}
	if len(changes) == 0 && !declared {
		return true, nil
	}
	from := next.position(s.lineage)
	next.revision++
	next.root = tree.Root()
	r.position = next.position(s.lineage)
	return true, s.appendLog(b, next, &store.ChangeSet{
		From: from, To: r.position, At: time.Now(), Changes: changes,
		Actor: r.info.Actor, Summary: r.info.Summary, RemovalIntended: r.info.RemovalIntended, Reversible: true,
	})
}

// declares tells whether a change set is one although nothing changes: that a new store is
// to be empty was said by somebody, and nodes believe it by that.
func declares(info store.Info, next *head) bool { return info.RemovalIntended && next.revision == 0 }

func (s *Store) writeHead(b *bbolt.Tx, next *head) error {
	if err := s.compact(b, next); err != nil {
		return fmt.Errorf("compact change log: %w", err)
	}
	return b.Bucket(bucketMeta).Put(keyHead, next.encode())
}

// commitTo commits. When the disk fails, nothing is written any more and readers go on
// with what was committed before: nobody knows what of the rest will be on the disk.
func (s *Store) commitTo(b *bbolt.Tx) error {
	undo, err := s.rememberMeta(b.ID())
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err = s.commit(b); err == nil {
		return nil
	}
	if outOfSpace(err) && s.headIsCurrent() {
		s.o.Logger.Error("store is out of disk space", "path", s.o.Path, "error", err)
		return fmt.Errorf("commit: %w", err)
	}
	err = fmt.Errorf("commit: %w", err)
	s.failed.Store(&err)
	undo()
	s.o.Logger.Error("store is read-only from now on: a commit failed", "path", s.o.Path, "error", err)
	return fmt.Errorf("%w: %w", store.ErrReadOnly, err)
}

// outOfSpace tells errors that come before anything of a commit counts.
func outOfSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// headIsCurrent tells whether readers see what was committed last.
func (s *Store) headIsCurrent() bool {
	current := false
	_ = s.View(func(t store.Tx) error {
		current = t.Position() == s.head.Load().position(s.lineage)
		return nil
	})
	return current
}

// rememberMeta reads the meta page that a commit is about to overwrite, the older one
// of two, and returns a function that puts it back. When only the last fsync of a
// commit fails, readers would otherwise see what nobody was told is there.
func (s *Store) rememberMeta(txID int) (undo func(), err error) {
	size := s.db.Info().PageSize
	page := make([]byte, size)
	at := int64(txID%2) * int64(size)
	if _, err := s.file.ReadAt(page, at); err != nil {
		return nil, fmt.Errorf("read meta page: %w", err)
	}
	return func() {
		if _, err := s.file.WriteAt(page, at); err != nil {
			s.o.Logger.Error("store can't take back a failed commit", "path", s.o.Path, "error", err)
		}
	}, nil
}
