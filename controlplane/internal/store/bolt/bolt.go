package bolt

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/sluice-gateway/sluice/controlplane/internal/spool"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// Options say where the file is and how much of the change log it keeps.
type Options struct {
	// Path of the file. Required; its folder must exist.
	Path string
	// Key of 32 bytes that the file is encrypted with; nil means that it is not. A file that
	// has another key, or none, is written again when it is opened.
	Key []byte
	// PreviousKey opens a file that does not have Key yet.
	PreviousKey []byte
	// LogRevisions bounds the change log by number; 0 means 10,000.
	LogRevisions uint64
	// LogBytes bounds the change log by size; 0 means 256 MiB.
	LogBytes uint64
	// RestoreCommand is what a person is told to run when the file is damaged; "" means
	// "sluice-controlplane restore".
	RestoreCommand string
	// Logger gets lifecycle and faults; nil logs nothing.
	Logger hclog.Logger
}

const (
	defaultLogRevisions   = 10_000
	defaultLogBytes       = 256 << 20
	defaultRestoreCommand = "sluice-controlplane restore"
)

func (o *Options) complete() error {
	if o.Path == "" {
		return errors.New("open store: no path is given")
	}
	for name, key := range map[string][]byte{"key": o.Key, "previous key": o.PreviousKey} {
		if key != nil && len(key) != keyBytes {
			return fmt.Errorf("open store: the %s has %d bytes, want %d", name, len(key), keyBytes)
		}
	}
	if o.LogRevisions == 0 {
		o.LogRevisions = defaultLogRevisions
	}
	if o.LogBytes == 0 {
		o.LogBytes = defaultLogBytes
	}
	if o.RestoreCommand == "" {
		o.RestoreCommand = defaultRestoreCommand
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return nil
}

// Store is a store in one file. It implements store.Store.
type Store struct {
	o       Options
	db      *bbolt.DB
	file    *os.File // the file of db
	lineage string
	sealer  *sealer // nil when the file is not encrypted
	notify  notifier

	// read counts the bytes that were read since release.
	read atomic.Int64
	// head is the newest committed one.
	head atomic.Pointer[head]
	// failed is set by the first commit that failed to reach the disk.
	failed atomic.Pointer[error]
	// commit is tx.Commit, but for tests of faults.
	commit func(tx *bbolt.Tx) error

	queueMu sync.Mutex
	queue   []*request

	// writeMu makes writers take turns.
	writeMu sync.Mutex
	// tree belongs to head.
	tree *roothash.Tree
	// staged tells that something may be below the bucket stage.
	staged bool
	// spools compress what Load is given, nil until then.
	spools *spool.Codec
	// rewriteFrom is a constant, but for tests.
	rewriteFrom int
}

var _ store.Store = (*Store)(nil)

// View implements store.Store.
func (s *Store) View(fn func(store.Tx) error) error {
	b, err := s.db.Begin(false)
	if err != nil {
		return closedError(err)
	}
	defer func() { _ = b.Rollback() }()
	t, err := newTx(b, s.lineage, s.sealer)
	if err != nil {
		return err
	}
	err = t.outcome(fn(t))
	if s.read.Add(t.read) > releaseAfter {
		s.read.Store(0)
		s.release(b)
	}
	return err
}

// releaseAfter is how many bytes may be read until the file's pages are taken out of the
// process's memory.
const releaseAfter = 64 << 20

func closedError(err error) error {
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return store.ErrClosed
	}
	return fmt.Errorf("begin transaction: %w", err)
}

// Position implements store.Store.
func (s *Store) Position() (store.Position, error) { return s.head.Load().position(s.lineage), nil }

// Notify implements store.Store.
func (s *Store) Notify() (<-chan store.Position, func()) { return s.notify.add() }

// ReadOnly returns why nothing is written any more, nil while it is.
func (s *Store) ReadOnly() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	s.notify.close()
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close store %s: %w", s.o.Path, err)
	}
	return nil
}
