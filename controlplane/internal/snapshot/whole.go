package snapshot

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// Snapshot is the whole configuration at a position.
type Snapshot struct {
	To store.Position
	// Manifest announces the chunks, Messages are they. They are shared between nodes and
	// must not be changed.
	Manifest []byte
	Messages [][]byte

	form       Form
	intended   bool
	made, used time.Time
}

const (
	// reuse is how old a snapshot may be that is behind the head by what a small delta
	// brings: making one costs much more.
	reuse = 30 * time.Second
	// reuseRevisions bounds the same by revisions.
	reuseRevisions = 1000
)

// Whole returns a snapshot of the head, or of a position shortly before it. It is not what
// the node serves, nor from before that, for a node never goes back; and it is not what the
// node has refused.
func (s *Source) Whole(form Form, intended bool, serves, refused store.Position) (*Snapshot, error) {
	form &^= Short | Parts // a snapshot is the same with or without
	s.wholeMu.Lock()
	defer s.wholeMu.Unlock()
	now := s.o.Now()
	head, err := s.o.Store.Position()
	if err != nil {
		return nil, fmt.Errorf("read position: %w", err)
	}
	if w := s.whole; w != nil && w.form == form && w.intended == intended && s.reusable(w, head, now) && w.To != serves && w.To != refused && !before(w.To, serves) {
		w.used = now
		return w, nil
	}
	s.whole = nil
	w := &Snapshot{form: form, intended: intended, made: now, used: now}
	var parts []Part
	m := &Manifest{Kinds: s.o.Kinds}
	err = s.o.Store.View(func(tx store.Tx) error {
		w.To = tx.Position()
		var err error
		parts, err = s.collect(tx, m, form)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	m.To = w.To
	if w.Manifest, err = s.o.Encoder.Manifest(m); err != nil {
		return nil, fmt.Errorf("encode manifest of revision %d: %w", w.To.Revision, err)
	}
	w.Messages = make([][]byte, len(parts))
	for i := range parts {
		w.Messages[i], err = s.o.Encoder.Chunk(&Chunk{To: w.To, Index: i, Count: len(parts), Part: parts[i], RemovalIntended: intended}, form)
		if err != nil {
			return nil, fmt.Errorf("encode snapshot of revision %d: %w", w.To.Revision, err)
		}
		parts[i] = Part{}
	}
	s.whole = w
	return w, nil
}

// reusable tells whether a node gets from a snapshot that is there to the head with ease.
func (s *Source) reusable(w *Snapshot, head store.Position, now time.Time) bool {
	if w.To == head {
		return true
	}
	if w.To.Lineage != head.Lineage || w.To.Generation != head.Generation || w.To.Revision > head.Revision ||
		head.Revision-w.To.Revision > reuseRevisions || now.Sub(w.made) > reuse {
		return false
	}
	err := s.o.Store.View(func(tx store.Tx) error {
		return tx.ChangeSets(w.To.Revision, func(*store.ChangeSet) bool { return false })
	})
	return err == nil
}

// before tells whether a position is an earlier one than another of the same store.
func before(p, other store.Position) bool {
	return p.Lineage == other.Lineage && p.Generation == other.Generation && p.Revision < other.Revision
}

// collect reads all entities and encodes them chunk by chunk. There is at least one chunk.
func (s *Source) collect(tx store.Tx, m *Manifest, form Form) ([]Part, error) {
	var parts []Part
	var failed error
	changes := []store.Change{}
	end := func() {
		part, err := s.o.Encoder.List(changes, form)
		failed = errors.Join(failed, err)
		parts, changes = append(parts, part), changes[:0]
		m.Chunks[len(m.Chunks)-1].Sum = part.Sum
	}
	cut := newCutter(s.o.ChunkSize)
	for number, kind := range s.o.Kinds {
		err := tx.List(kind, "", math.MaxInt, func(id string, body []byte) bool {
			if len(changes) == 0 {
				m.Chunks = append(m.Chunks, ManifestChunk{Kind: number, FirstID: id})
			}
			changes = append(changes, store.Change{Op: store.Put, Kind: kind, ID: id, Body: body})
			if cut.after(kind, id, len(body)) {
				end()
			}
			return failed == nil
		})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}
	}
	if len(changes) > 0 || len(parts) == 0 {
		if len(changes) == 0 {
			m.Chunks = append(m.Chunks, ManifestChunk{})
		}
		end()
	}
	return parts, failed
}

// cutter decides where chunks end. That depends on the entity before the end, and on the
// chunk having a least size: what changes moves the ends close to it only.
type cutter struct {
	least, most int
	perByte     float64 // chance to end, per byte
	size        int
}

func newCutter(average int) *cutter {
	least := average / 4
	return &cutter{least: least, most: average * 4, perByte: 1 / float64(max(1, average-least))}
}

func (c *cutter) after(kind, id string, body int) bool {
	size := len(kind) + len(id) + body
	c.size += size
	if c.size >= c.most || c.size >= c.least && chance(kind, id) < float64(size)*c.perByte {
		c.size = 0
		return true
	}
	return false
}

// chance is a number from 0 to 1 that an entity always has.
func chance(kind, id string) float64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, s := range [...]string{kind, "/", id} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
	}
	// FNV's high bits are poor for short texts.
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return float64((h^h>>33)>>11) / (1 << 53)
}
