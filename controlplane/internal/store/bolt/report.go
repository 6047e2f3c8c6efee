package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// Report is what Verify has read.
type Report struct {
	Position  store.Position
	Encrypted bool
	// Entities are streamed ones, Locals those of the control plane itself, ChangeSets what
	// the log keeps.
	Entities, Locals, ChangeSets int
	// Problems are what is wrong, in words, at most mostProblems of them.
	Problems []string
}

const mostProblems = 1000

func (r *Report) found(problem string) {
	switch n := len(r.Problems); {
	case n < mostProblems:
		r.Problems = append(r.Problems, problem)
	case n == mostProblems:
		r.Problems = append(r.Problems, "and more")
	}
}

// Verify reads all of a file that nobody has open, without changing it: the pages, the
// checksums, the root over the bodies, the indexes and the change log, and what also finds
// wrong with the entities; nil finds nothing. It returns an error when the file can't be
// judged: it is not there, in use, or encrypted with another key.
func Verify(ctx context.Context, o Options, also func(tx store.Tx, found func(problem string)) error) (*Report, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	r := &Report{}
	info, err := os.Stat(o.Path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("verify store: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("verify store %s: not a regular file", o.Path)
	case info.Size() == 0:
		r.found("the file is empty")
		return r, nil
	}
	err = inspect(o.Path, func(b *bbolt.Tx) error {
		s, err := sealerIn(b, &o)
		if err != nil {
			return err
		}
		return r.read(ctx, b, s, also)
	})
	if err = r.judge(err); err != nil {
		return nil, fmt.Errorf("verify store %s: %w", o.Path, err)
	}
	return r, nil
}

// Verify does the same with a store that is open, in one transaction. Its pages are left
// out, which are written meanwhile.
func (s *Store) Verify(ctx context.Context, also func(tx store.Tx, found func(problem string)) error) (*Report, error) {
	b, err := s.db.Begin(false)
	if err != nil {
		return nil, closedError(err)
	}
	defer func() { _ = b.Rollback() }()
	r := &Report{}
	if err := r.judge(r.contents(ctx, b, s.sealer, also)); err != nil {
		return nil, fmt.Errorf("verify store %s: %w", s.o.Path, err)
	}
	return r, nil
}

// judge makes damage a problem and leaves other errors.
func (r *Report) judge(err error) error {
	if errors.Is(err, store.ErrDamaged) {
		r.found(err.Error())
		return nil
	}
	return err
}

func (r *Report) read(ctx context.Context, b *bbolt.Tx, s *sealer, also func(store.Tx, func(string)) error) error {
	// The contents first: what can't be read at all ends here, in this goroutine.
	if err := r.contents(ctx, b, s, also); err != nil {
		return err
	}
	for problem := range b.Check() {
		r.found(problem.Error())
	}
	return nil
}

func (r *Report) contents(ctx context.Context, b *bbolt.Tx, s *sealer, also func(store.Tx, func(string)) error) error {
	r.Encrypted = s != nil
	_, err := verify(ctx, b, s)
	if errors.Is(err, store.ErrDamaged) {
		r.found(err.Error()) // the rest may still be read
	} else if err != nil {
		return err
	}
	meta := b.Bucket(bucketMeta)
	if meta == nil {
		return nil
	}
	t, err := newTx(b, string(meta.Get(keyLineage)), s)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrDamaged, err)
	}
	r.Position = t.Position()
	for _, name := range topBuckets {
		if b.Bucket(name) == nil {
			return nil // verify has said so
		}
	}
	if err := eachBucket(ctx, b, func(top, _, _, _ []byte) error {
		switch string(top) {
		case "entity":
			r.Entities++
		case "local":
			r.Locals++
		case "log":
			r.ChangeSets++
		}
		return nil
	}); err != nil {
		return err
	}
	if err := derived(ctx, b, s, func(problem error) error {
		r.found(problem.Error())
		return nil
	}); err != nil {
		return err
	}
	if also == nil {
		return nil
	}
	return t.outcome(also(t, r.found))
}
