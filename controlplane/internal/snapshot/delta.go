package snapshot

import (
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// Reasons against a delta.
var (
	errTorn  = errors.New("the position is of another past")
	errLarge = errors.New("the delta is large")
)

// frames are the deltas that are kept encoded: nodes that lag do so by different
// distances. The newest is the last.
type frames struct {
	list []keptFrame
	size int
}

type keptFrame struct {
	from store.Position
	form Form
	size int
	step *Step
}

const (
	keptFrames    = 64
	keptFrameSize = 16 << 20
)

func (f *frames) find(from, to store.Position, form Form) *Step {
	for i := len(f.list) - 1; i >= 0; i-- {
		if k := &f.list[i]; k.from.Revision == from.Revision && k.form == form && k.step.To == to && k.from == from {
			return k.step
		}
	}
	return nil
}

func (f *frames) add(from store.Position, form Form, step *Step) {
	size := 0
	for _, m := range step.Messages {
		size += len(m)
	}
	f.list = append(f.list, keptFrame{from, form, size, step})
	f.size += size
	for len(f.list) > keptFrames || f.size > keptFrameSize && len(f.list) > 1 {
		f.size -= f.list[0].size
		f.list[0] = keptFrame{}
		f.list = f.list[1:]
	}
}

// delta returns the changes between two positions of this store.
func (s *Source) delta(from, to store.Position, form Form) (*Step, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if step := s.frames.find(from, to, form); step != nil {
		return step, nil
	}
	m := newMerger(from)
	var torn bool
	var entities int
	err := s.o.Store.View(func(tx store.Tx) error {
		err := tx.ChangeSets(from.Revision, func(c *store.ChangeSet) bool {
			if c.From != m.frame.To {
				torn = true
				return false
			}
			m.addSet(c)
			return c.To.Revision < to.Revision
		})
		if err != nil {
			return err
		}
		entities, err = s.count(tx)
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read changes after revision %d: %w", from.Revision, err)
	case torn:
		return nil, errTorn
	case m.frame.To == from:
		return &Step{Plan: UpToDate, To: from}, nil
	case m.large(entities, form):
		return nil, errLarge
	}
	step, err := s.encode(&m.frame, m.size, form)
	if err != nil {
		return nil, err
	}
	s.frames.add(from, form, step)
	return step, nil
}

func (s *Source) count(tx store.Tx) (n int, err error) {
	for _, kind := range s.o.Kinds {
		k, err := tx.Count(kind)
		if err != nil {
			return 0, err
		}
		n += k
	}
	return n, nil
}

// encode makes messages of a frame: one, or when it is large and the node takes them,
// chunks.
func (s *Source) encode(f *Frame, size int, form Form) (*Step, error) {
	f.RemovalIntended = true // whoever deleted it in this lineage asked for it
	step := &Step{Plan: Delta, To: f.To}
	if form&Parts == 0 || size <= s.o.ChunkSize {
		b, err := s.o.Encoder.Frame(f, form)
		if err != nil {
			return nil, fmt.Errorf("encode frame to revision %d: %w", f.To.Revision, err)
		}
		step.Messages = [][]byte{b}
		return step, nil
	}
	var parts []Part
	for rest := f.Changes; len(rest) > 0; {
		n, size := 0, 0
		for n < len(rest) && size < s.o.ChunkSize {
			size += sizeOf(&rest[n])
			n++
		}
		part, err := s.o.Encoder.List(rest[:n], form)
		if err != nil {
			return nil, fmt.Errorf("encode delta to revision %d: %w", f.To.Revision, err)
		}
		parts, rest = append(parts, part), rest[n:]
	}
	for i := range parts {
		c := &Chunk{From: f.From, To: f.To, Index: i, Count: len(parts), Part: parts[i], RemovalIntended: true}
		if i == 0 {
			c.Dropped = f.Dropped
		}
		b, err := s.o.Encoder.Chunk(c, form)
		if err != nil {
			return nil, fmt.Errorf("encode delta to revision %d: %w", f.To.Revision, err)
		}
		step.Messages = append(step.Messages, b)
		parts[i] = Part{}
	}
	return step, nil
}

type entityKey struct{ kind, id string }

// merger joins change sets: the last change of an entity wins, in the place of its first.
type merger struct {
	frame Frame
	at    map[entityKey]int
	size  int // of what is in the frame
}

func newMerger(from store.Position) *merger {
	return &merger{frame: Frame{From: from, To: from}, at: map[entityKey]int{}}
}

func (m *merger) addSet(c *store.ChangeSet) {
	for _, change := range c.Changes {
		m.add(change)
	}
	m.frame.To, m.frame.At = c.To, c.At
}

func sizeOf(c *store.Change) int { return len(c.Body) + len(c.ID) + len(c.Kind) }

func (m *merger) add(c store.Change) {
	c.Body, c.Before = append([]byte(nil), c.Body...), nil
	key := entityKey{c.Kind, c.ID}
	if i, ok := m.at[key]; ok {
		m.size += sizeOf(&c) - sizeOf(&m.frame.Changes[i])
		m.frame.Changes[i] = c
		return
	}
	m.size += sizeOf(&c)
	m.at[key] = len(m.frame.Changes)
	m.frame.Changes = append(m.frame.Changes, c)
}

// large tells whether everything would be sent rather.
func (m *merger) large(entities int, form Form) bool {
	return len(m.frame.Changes) > max(freeDelta, entities*3/10) || form&Parts == 0 && m.size > maxFrame
}
