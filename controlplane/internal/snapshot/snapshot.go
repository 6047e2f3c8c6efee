// Package snapshot turns the store into what nodes are sent: a frame of the changes
// between two positions, or chunks of the whole configuration. It owns the choice
// between the two, and that each is encoded once however many nodes get it. It refuses
// to know nodes and the wire's format: an Encoder writes the messages.
package snapshot

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// Frame is the changes from one position to another, each entity once.
type Frame struct {
	From, To        store.Position
	Changes         []store.Change
	RemovalIntended bool
	// At is when the newest of the changes was committed.
	At time.Time
}

// Chunk is a part of the whole configuration. Its changes are all puts.
type Chunk struct {
	To              store.Position
	Index, Count    int
	Changes         []store.Change
	RemovalIntended bool
}

// Encoder makes messages. It must be safe for concurrent use.
type Encoder interface {
	Frame(f *Frame) ([]byte, error)
	Chunk(c *Chunk) ([]byte, error)
}

// Plan is how a node gets to the head.
type Plan uint8

// Plans.
const (
	UpToDate Plan = iota + 1
	Delta
	Whole
	// Repair is Whole for a node whose configuration is not what its revision was.
	Repair
	// Held means that the node is not to be sent anything: it is ahead of this store.
	Held
)

func (p Plan) String() string {
	switch p {
	case UpToDate:
		return "up to date"
	case Delta:
		return "delta"
	case Whole:
		return "snapshot"
	case Repair:
		return "repair"
	case Held:
		return "held"
	default:
		return "none"
	}
}

// Step leads from a position to the head.
type Step struct {
	Plan Plan
	To   store.Position
	// Messages are shared between nodes and must not be changed.
	Messages [][]byte
	// Reason tells people why a node is held.
	Reason string
}

// Options of a Source.
type Options struct {
	Store   store.Store
	Encoder Encoder
	// Kinds that are streamed, in the order in which a snapshot has them.
	Kinds []string
	// ChunkSize is how many bytes of bodies go into a chunk; 0 means 256 KiB.
	ChunkSize int
}

const (
	defaultChunkSize = 256 << 10
	// frames kept encoded: nodes that lag do so by different distances.
	keptFrames = 32
	// A delta may have this many entities whatever the size of the whole, and beyond
	// that three tenths of it.
	freeDelta = 256
	// What has more bytes goes in chunks: a frame is one message.
	maxFrame = 4 << 20
)

// Source makes steps. It is safe for concurrent use.
type Source struct {
	o Options

	mu     sync.Mutex
	frames []*Step // newest last
	froms  []store.Position
	whole  *Step
	intent bool // of whole
}

// New makes a source.
func New(o Options) (*Source, error) {
	if o.Store == nil || o.Encoder == nil || len(o.Kinds) == 0 {
		return nil, errors.New("snapshot source needs a store, an encoder and kinds")
	}
	if o.ChunkSize == 0 {
		o.ChunkSize = defaultChunkSize
	}
	return &Source{o: o}, nil
}

// Step returns what leads from a node's position to the head, and force a whole
// configuration whatever the position says.
func (s *Source) Step(from store.Position, force bool) (*Step, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	head, err := s.o.Store.Position()
	if err != nil {
		return nil, fmt.Errorf("read position: %w", err)
	}
	switch {
	case force:
		return s.wholeLocked(head, true, Repair)
	case from == head:
		return &Step{Plan: UpToDate, To: head}, nil
	case from == store.Position{}:
		return s.wholeLocked(head, true, Whole)
	case from.Lineage != head.Lineage:
		intended, err := s.intended()
		if err != nil {
			return nil, err
		}
		return s.wholeLocked(head, intended, Whole)
	case from.Generation > head.Generation:
		return held(head, from, "generation"), nil
	case from.Generation < head.Generation:
		return s.wholeLocked(head, true, Whole)
	case from.Revision > head.Revision:
		return held(head, from, "revision"), nil
	case from.Revision == head.Revision:
		return s.wholeLocked(head, true, Repair)
	}
	return s.deltaLocked(from, head)
}

func held(head, from store.Position, what string) *Step {
	ours, theirs := head.Revision, from.Revision
	if what == "generation" {
		ours, theirs = head.Generation, from.Generation
	}
	return &Step{Plan: Held, To: head, Reason: fmt.Sprintf(
		"the node serves %s %d and the store has %d: an older store was put in place; raise its generation to make nodes follow it", what, theirs, ours)}
}

// intended tells whether this store was ever given a whole configuration by someone: a
// store that is merely new says nothing about what nodes of another one should lose.
func (s *Source) intended() (bool, error) {
	found := false
	err := s.o.Store.View(func(tx store.Tx) error {
		err := tx.ChangeSets(0, func(c *store.ChangeSet) bool {
			found = found || c.RemovalIntended
			return !found
		})
		if errors.Is(err, store.ErrCompacted) {
			found = true // a store with that much of a past is not merely new
			return nil
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("read change sets: %w", err)
	}
	return found, nil
}
