package snapshot

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// index is what the store has at a position, by bucket: enough to find out in what a node
// differs without reading everything for each node.
type index struct {
	at      store.Position
	kinds   map[string]uint16
	buckets [roothash.Buckets]bucket
	used    time.Time
}

type bucket struct {
	hash     roothash.BucketHash
	entities []indexed
}

type indexed struct {
	kind  uint16
	id    string
	short uint64
}

func (b *bucket) set(kind uint16, id string, short uint64) {
	b.hash += roothash.BucketHash(short)
	for i := range b.entities {
		if e := &b.entities[i]; e.kind == kind && e.id == id {
			b.hash -= roothash.BucketHash(e.short)
			e.short = short
			return
		}
	}
	b.entities = append(b.entities, indexed{kind, id, short})
}

func (b *bucket) remove(kind uint16, id string) {
	for i := range b.entities {
		if e := &b.entities[i]; e.kind == kind && e.id == id {
			b.hash -= roothash.BucketHash(e.short)
			last := len(b.entities) - 1
			*e = b.entities[last]
			b.entities[last] = indexed{}
			b.entities = b.entities[:last]
			return
		}
	}
}

// mended is an answer to a node, for others that have the same.
type mended struct {
	key  [sha256.Size]byte
	step *Step
}

const (
	keptMended = 16
	// keptMendedSize is how large one may be: few nodes have the same large difference.
	keptMendedSize = 1 << 20
)

// indexLocked brings the index to the position of a transaction.
func (s *Source) indexLocked(tx store.Tx) (*index, error) {
	at := tx.Position()
	if x := s.index; x != nil && x.at.Lineage == at.Lineage && x.at.Generation == at.Generation && x.at.Revision <= at.Revision {
		torn := false
		err := tx.ChangeSets(x.at.Revision, func(c *store.ChangeSet) bool {
			if torn = c.From != x.at; torn {
				return false
			}
			for _, change := range c.Changes {
				b, kind := &x.buckets[roothash.BucketOf(change.Kind, change.ID)], x.kinds[change.Kind]
				if change.Op == store.Delete {
					b.remove(kind, change.ID)
					continue
				}
				h := roothash.Entity(change.Kind, change.ID, change.Body)
				b.set(kind, change.ID, h.Short())
			}
			x.at = c.To
			return true
		})
		if err == nil && !torn && x.at == at {
			x.used = s.o.Now()
			return x, nil
		}
		s.index = nil
		if err != nil && !errors.Is(err, store.ErrCompacted) {
			return nil, err
		}
	}
	x := &index{at: at, kinds: map[string]uint16{}, used: s.o.Now()}
	for number, kind := range s.o.Kinds {
		x.kinds[kind] = uint16(number)
		err := tx.List(kind, "", math.MaxInt, func(id string, body []byte) bool {
			h := roothash.Entity(kind, id, body)
			b := &x.buckets[roothash.BucketOf(kind, id)]
			b.hash += roothash.BucketHash(h.Short())
			b.entities = append(b.entities, indexed{uint16(number), id, h.Short()})
			return true
		})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}
	}
	s.index = x
	return x, nil
}

// Difference is where a node's configuration differs from that of a position.
type Difference struct {
	At store.Position
	// Buckets that differ, and how many entities the position has in them.
	Buckets  []uint32
	Entities int
}

// Compare returns in which buckets a node differs from the head.
func (s *Source) Compare(hashes []roothash.BucketHash) (d Difference, err error) {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	err = s.o.Store.View(func(tx store.Tx) error {
		x, err := s.indexLocked(tx)
		if err != nil {
			return err
		}
		d.At = x.at
		for i := range x.buckets {
			if b := &x.buckets[i]; hashes[i] != b.hash {
				d.Buckets = append(d.Buckets, uint32(i))
				d.Entities += len(b.entities)
			}
		}
		return nil
	})
	if err != nil {
		return Difference{}, fmt.Errorf("compare with the store: %w", err)
	}
	return d, nil
}

// Mend returns what makes the head of the configuration of a node, which differs from the
// position d.At in the buckets of has: they have the short hashes of the node's entities.
// The plan is Whole when that would be most of everything.
func (s *Source) Mend(from store.Position, d Difference, has map[uint32][]uint64, form Form) (*Step, error) {
	s.indexMu.Lock()
	defer s.indexMu.Unlock()
	m := newMerger(from)
	var entities int
	var key [sha256.Size]byte
	var known *Step
	err := s.o.Store.View(func(tx store.Tx) error {
		x, err := s.indexLocked(tx)
		if err != nil {
			return err
		}
		m.frame.To = x.at
		key = mendKey(from, x.at, d, has, form)
		if i := slices.IndexFunc(s.mended, func(o mended) bool { return o.key == key }); i >= 0 {
			known = s.mended[i].step
			return nil
		}
		for _, number := range d.Buckets {
			if err := s.mendBucket(tx, &x.buckets[number], has[number], m); err != nil {
				return err
			}
		}
		// What has changed elsewhere since the node was compared.
		err = tx.ChangeSets(d.At.Revision, func(c *store.ChangeSet) bool {
			for _, change := range c.Changes {
				if _, asked := has[uint32(roothash.BucketOf(change.Kind, change.ID))]; !asked {
					m.add(change)
				}
			}
			m.frame.At = c.At
			return true
		})
		if err != nil {
			return err
		}
		entities, err = s.count(tx)
		return err
	})
	switch {
	case errors.Is(err, store.ErrCompacted):
		return &Step{Plan: Whole, To: d.At, Intended: true}, nil
	case err != nil:
		return nil, fmt.Errorf("prepare a repair: %w", err)
	case known != nil:
		return known, nil
	case m.large(entities, form):
		return &Step{Plan: Whole, To: m.frame.To, Intended: true}, nil
	}
	step, err := s.encode(&m.frame, m.size, form)
	if err != nil {
		return nil, err
	}
	step.Plan = Repair
	if m.size > keptMendedSize {
		return step, nil
	}
	if len(s.mended) == keptMended {
		s.mended = slices.Delete(s.mended, 0, 1)
	}
	s.mended = append(s.mended, mended{key, step})
	return step, nil
}

// mendBucket adds what a node lacks in a bucket, and what it has and must not.
func (s *Source) mendBucket(tx store.Tx, b *bucket, has []uint64, m *merger) error {
	theirs := make(map[uint64]bool, len(has))
	for _, short := range has {
		theirs[short] = true
	}
	lacking := []indexed{}
	for _, e := range b.entities {
		if theirs[e.short] {
			delete(theirs, e.short)
			continue
		}
		lacking = append(lacking, e)
	}
	slices.SortFunc(lacking, func(a, b indexed) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id)) })
	for _, e := range lacking {
		kind := s.o.Kinds[e.kind]
		body, err := tx.Get(kind, e.id)
		if err != nil {
			return fmt.Errorf("read %s %s: %w", kind, e.id, err)
		}
		m.add(store.Change{Op: store.Put, Kind: kind, ID: e.id, Body: body})
	}
	for _, short := range has {
		if theirs[short] {
			m.frame.Dropped = append(m.frame.Dropped, short)
			delete(theirs, short)
		}
	}
	return nil
}

// mendKey is equal for nodes that get the same answer.
func mendKey(from, to store.Position, d Difference, has map[uint32][]uint64, form Form) (key [sha256.Size]byte) {
	h := sha256.New()
	for _, p := range []store.Position{from, to, d.At} {
		_, _ = fmt.Fprintf(h, "%q %d %d %x ", p.Lineage, p.Generation, p.Revision, p.Root)
	}
	b := []byte{byte(form)}
	for _, number := range d.Buckets {
		b = binary.LittleEndian.AppendUint32(b, number)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(has[number])))
		for _, short := range has[number] {
			b = binary.LittleEndian.AppendUint64(b, short)
		}
	}
	_, _ = h.Write(b)
	h.Sum(key[:0])
	return key
}
