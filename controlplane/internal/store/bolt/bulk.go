package bolt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/spool"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// Load implements store.Store. What is added is kept compressed until Merge compares it
// with what there is. A kind of which much changes is written again, in the order of keys and
// in several transactions, below the bucket stage; the last transaction puts it in the place
// of the old one, together with everything else. Until then readers see what was before.
func (s *Store) Load(ctx context.Context, info store.Info, fn func(store.BulkTx) error) (store.Position, error) {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if err := s.ReadOnly(); err != nil {
		return store.Position{}, fmt.Errorf("%w: %w", store.ErrReadOnly, err)
	}
	if s.staged {
		if err := s.dropStage(); err != nil {
			return store.Position{}, err
		}
	}
	next, tree := *s.head.Load(), s.tree.Clone()
	l := &bulkTx{s: s, ctx: ctx, adding: map[string]*partitions{}, tree: tree}
	if err := l.read(fn); err != nil {
		return store.Position{}, err
	}
	if !l.pending() && l.differ == 0 && !declares(info, &next) {
		return next.position(s.lineage), nil
	}
	if err := l.commit(&next, info); err != nil {
		return store.Position{}, err
	}
	s.tree = tree
	last := s.head.Swap(&next)
	p := next.position(s.lineage)
	if last.revision != next.revision {
		s.notify.send(p)
	}
	return p, nil
}

var errMerged = errors.New("the transaction is merged already")

// bulkTx implements store.BulkTx on a transaction that only reads: what its tables hold is
// applied later.
type bulkTx struct {
	*writeTx
	s   *Store
	ctx context.Context //nolint:containedctx // lives as long as the call
	// adding is what was added, by kind.
	adding map[string]*partitions
	merges []*merge
	merged bool
	// differ counts the entities that differ from before.
	differ int
	tree   *roothash.Tree
	set    changeList
}

// read runs the function of the caller and finds out what is to be written.
func (l *bulkTx) read(fn func(store.BulkTx) error) error {
	b, err := l.s.db.Begin(false)
	if err != nil {
		return closedError(err)
	}
	defer func() { _ = b.Rollback() }()
	l.writeTx = &writeTx{&tx{b: b, lineage: l.s.lineage, head: *l.s.head.Load(), sealer: l.s.sealer}}
	if err := l.outcome(fn(l)); err != nil {
		return err
	}
	for _, m := range l.merges {
		if m.changes == 0 || m.rewrites {
			continue
		}
		if err := l.update(m); err != nil {
			return l.outcome(err)
		}
	}
	changes, err := l.changes(l.tree)
	l.set.limit = min(l.s.o.LogBytes/largestSet, largestBulk)
	for i := range changes {
		l.set.add(changes[i])
	}
	return l.outcome(err)
}

// Add implements store.BulkTx.
func (l *bulkTx) Add(kind, id string, body []byte, indexes []store.Index) error {
	if err := checkNames(kind, id, indexes); err != nil {
		return err
	}
	if l.merged {
		return fmt.Errorf("add %s %s: %w", kind, id, errMerged)
	}
	if l.table(bucketLocal, kind).count() > 0 {
		return fmt.Errorf("add %s: %w", kind, store.ErrWrongKind)
	}
	p := l.adding[kind]
	if p == nil {
		p = &partitions{codec: l.s.codec()}
		l.adding[kind] = p
	}
	p.add(id, encodeEntity(body, distinct(indexes)))
	return nil
}

// Merge implements store.BulkTx.
func (l *bulkTx) Merge(kinds []string, keep func(kind, id string, body []byte) (bool, error), changed func(kind, id string, before, after []byte) error) error {
	if l.merged {
		return errMerged
	}
	l.merged = true
	for kind := range l.adding {
		if !slices.Contains(kinds, kind) {
			return fmt.Errorf("merge: %s was added and is not merged", kind)
		}
	}
	kinds = slices.Clone(kinds)
	slices.Sort(kinds)
	for _, kind := range slices.Compact(kinds) {
		m := &merge{l: l, kind: kind, added: l.adding[kind]}
		if m.added == nil {
			m.added = &partitions{}
		}
		if err := m.compare(keep, changed); err != nil {
			return fmt.Errorf("merge %s: %w", kind, err)
		}
		l.merges = append(l.merges, m)
		l.differ += m.changes
	}
	return nil
}

// update writes the changes of a merge as single ones. All that go are gone before one comes:
// it may have a unique value of another.
func (l *bulkTx) update(m *merge) error {
	if err := m.resolve(m.old(), func(id string, old, value []byte) error {
		if old == nil || value != nil && string(old) == string(value) {
			return nil
		}
		return l.Delete(m.kind, id)
	}); err != nil {
		return err
	}
	return m.resolve(m.old(), func(id string, old, value []byte) error {
		if value == nil || old != nil && string(old) == string(value) {
			return nil
		}
		body, indexes, err := decodeEntity(value)
		if err != nil {
			return err
		}
		return l.Put(m.kind, id, body, indexes)
	})
}

// commit writes everything.
func (l *bulkTx) commit(next *head, info store.Info) error {
	s := l.s
	st := &stage{l: l, batches: batches{
		ctx: l.ctx, root: bucketStage, commit: s.commitTo,
		begin: func() (*bbolt.Tx, error) { return s.db.Begin(true) },
	}}
	for _, m := range l.merges {
		if m.changes == 0 || !m.rewrites {
			continue
		}
		if err := st.write(m); err != nil {
			st.rollback()
			return fmt.Errorf("stage %s: %w", m.kind, s.unstage(err))
		}
	}
	if err := st.flush(); err != nil {
		return fmt.Errorf("stage: %w", s.unstage(err))
	}
	if err := l.last(st, next, info); err != nil {
		return s.unstage(err)
	}
	return s.db.View(func(b *bbolt.Tx) error {
		s.release(b)
		return nil
	})
}

// last is the transaction that counts.
func (l *bulkTx) last(st *stage, next *head, info store.Info) error {
	s := l.s
	b, err := s.db.Begin(true)
	if err != nil {
		return closedError(err)
	}
	defer func() { _ = b.Rollback() }() // after a commit it does nothing
	if err := st.swap(b); err != nil {
		return fmt.Errorf("update store: %w", err)
	}
	for _, t := range l.order {
		t.rebind(b)
	}
	if err := l.apply(); err != nil {
		return fmt.Errorf("update store: %w", err)
	}
	if l.unsealed != nil {
		return l.unsealed
	}
	if l.set.n > 0 || declares(info, next) {
		from := next.position(s.lineage)
		next.revision++
		next.root = l.tree.Root()
		set := &store.ChangeSet{
			From: from, To: next.position(s.lineage), At: time.Now(), Changes: l.set.sorted(), Omitted: l.set.omitted, Reversible: !l.set.onward,
			Actor: info.Actor, Summary: info.Summary, RemovalIntended: info.RemovalIntended,
		}
		if err := s.appendLog(b, next, set); err != nil {
			return fmt.Errorf("update store: %w", err)
		}
	}
	if err := s.writeHead(b, next); err != nil {
		return fmt.Errorf("update store: %w", err)
	}
	return s.commitTo(b)
}

// largestBulk is how many bytes the change set of a Load may have. Who follows the store
// takes the whole configuration when it has more, and people want no longer a list.
const largestBulk = 8 << 20

// changeList collects changes for the log, none of them when they are too many. What was
// before is left out first, when onward is set.
type changeList struct {
	list    []store.Change
	n       int
	size    uint64
	limit   uint64
	omitted bool
	before  uint64
	onward  bool
}

func (c *changeList) add(change store.Change) {
	c.n++
	if c.omitted {
		return
	}
	if c.size += uint64(len(change.Body)); c.size > c.limit {
		c.list, c.omitted, c.onward = nil, true, true
		return
	}
	c.before += uint64(len(change.Before))
	if !c.onward && c.size+c.before > c.limit {
		c.onward = true
		for i := range c.list {
			c.list[i].Before = nil
		}
	}
	switch {
	case c.onward:
		change.Before = nil
	case change.Before != nil:
		change.Before = append([]byte{}, change.Before...)
	}
	if change.Body != nil {
		change.Body = append([]byte{}, change.Body...)
	}
	c.list = append(c.list, change)
}

func (c *changeList) sorted() []store.Change {
	sort.SliceStable(c.list, func(i, j int) bool { return c.list[i].Kind < c.list[j].Kind })
	return c.list
}

// codec makes what compresses, when it is needed first.
func (s *Store) codec() *spool.Codec {
	if s.spools == nil {
		s.spools = spool.NewCodec()
	}
	return s.spools
}
