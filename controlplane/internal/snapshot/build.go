package snapshot

import (
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

func (s *Source) deltaLocked(from, head store.Position) (*Step, error) {
	for i, step := range s.frames {
		if s.froms[i] == from && step.To == head {
			return step, nil
		}
	}
	var m merger
	var torn bool
	var entities int
	err := s.o.Store.View(func(tx store.Tx) error {
		m = merger{frame: Frame{From: from, To: from}, at: map[entityKey]int{}}
		err := tx.ChangeSets(from.Revision, func(c *store.ChangeSet) bool {
			if c.From != m.frame.To {
				torn = true
				return false
			}
			m.add(c)
			return true
		})
		if err != nil {
			return err
		}
		for _, kind := range s.o.Kinds {
			n, err := tx.Count(kind)
			if err != nil {
				return err
			}
			entities += n
		}
		return nil
	})
	switch {
	case errors.Is(err, store.ErrCompacted):
		return s.wholeLocked(head, true, Whole)
	case err != nil:
		return nil, fmt.Errorf("read changes after revision %d: %w", from.Revision, err)
	case torn:
		// The node has that revision, but of another past.
		return s.wholeLocked(head, true, Repair)
	case m.frame.To == from:
		return &Step{Plan: UpToDate, To: head}, nil
	case len(m.frame.Changes) > max(freeDelta, entities*3/10), m.size > maxFrame:
		return s.wholeLocked(m.frame.To, true, Whole)
	}
	m.frame.RemovalIntended = true // whoever deleted it in this lineage asked for it
	b, err := s.o.Encoder.Frame(&m.frame)
	if err != nil {
		return nil, fmt.Errorf("encode frame to revision %d: %w", m.frame.To.Revision, err)
	}
	step := &Step{Plan: Delta, To: m.frame.To, Messages: [][]byte{b}}
	if len(s.frames) == keptFrames {
		s.frames = append(s.frames[:0], s.frames[1:]...)
		s.froms = append(s.froms[:0], s.froms[1:]...)
	}
	s.frames, s.froms = append(s.frames, step), append(s.froms, from)
	return step, nil
}

type entityKey struct{ kind, id string }

// merger joins change sets: the last change of an entity wins, in the place of its first.
type merger struct {
	frame Frame
	at    map[entityKey]int
	size  int
}

func (m *merger) add(c *store.ChangeSet) {
	for _, change := range c.Changes {
		key := entityKey{change.Kind, change.ID}
		m.size += len(change.Body)
		change.Body = append([]byte(nil), change.Body...)
		if i, ok := m.at[key]; ok {
			m.frame.Changes[i] = change
			continue
		}
		m.at[key] = len(m.frame.Changes)
		m.frame.Changes = append(m.frame.Changes, change)
	}
	m.frame.To, m.frame.At = c.To, c.At
}

// wholeLocked returns the snapshot of the head.
func (s *Source) wholeLocked(head store.Position, intended bool, plan Plan) (*Step, error) {
	if s.whole != nil && s.whole.To == head && s.intent == intended {
		return &Step{Plan: plan, To: head, Messages: s.whole.Messages}, nil
	}
	var chunks [][]store.Change
	err := s.o.Store.View(func(tx store.Tx) error {
		head = tx.Position()
		var err error
		chunks, err = s.collect(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	step := &Step{Plan: Whole, To: head, Messages: make([][]byte, len(chunks))}
	for i, changes := range chunks {
		step.Messages[i], err = s.o.Encoder.Chunk(&Chunk{To: head, Index: i, Count: len(chunks), Changes: changes, RemovalIntended: intended})
		if err != nil {
			return nil, fmt.Errorf("encode snapshot of revision %d: %w", head.Revision, err)
		}
		chunks[i] = nil
	}
	s.whole, s.intent = step, intended
	return &Step{Plan: plan, To: head, Messages: step.Messages}, nil
}

// collect reads all entities. There is at least one chunk.
func (s *Source) collect(tx store.Tx) ([][]store.Change, error) {
	chunks := [][]store.Change{nil}
	size := 0
	for _, kind := range s.o.Kinds {
		err := tx.List(kind, "", int(^uint(0)>>1), func(id string, body []byte) bool {
			if size > s.o.ChunkSize {
				chunks, size = append(chunks, nil), 0
			}
			last := len(chunks) - 1
			chunks[last] = append(chunks[last], store.Change{Op: store.Put, Kind: kind, ID: id, Body: append([]byte(nil), body...)})
			size += len(body) + len(id) + len(kind)
			return true
		})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", kind, err)
		}
	}
	return chunks, nil
}
