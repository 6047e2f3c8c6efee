// Package snapshot turns the store into what nodes are sent: the changes between two
// positions, chunks of the whole configuration, or what a node whose configuration is not
// what it should be lacks. It owns the choice between the three, and that each is encoded
// once however many nodes get it. It refuses to know nodes and the wire's format: an
// Encoder writes the messages.
package snapshot

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// Form says how the messages for a node are written.
type Form uint8

// What a node can take.
const (
	// Zstd allows compressed payloads, Dictionary those that need dictionary 1.
	Zstd Form = 1 << iota
	Dictionary
	// Short allows positions without what both sides know.
	Short
	// Parts allows a delta in several messages.
	Parts
)

// Frame is the changes from one position to another, each entity once.
type Frame struct {
	From, To        store.Position
	Changes         []store.Change
	RemovalIntended bool
	// At is when the newest of the changes was committed.
	At time.Time
	// Dropped are the short hashes of entities that the node must not have.
	Dropped []uint64
}

// Part is an encoded list of changes.
type Part struct {
	// Encoding of Bytes, "" for none; Raw is the length without it.
	Encoding string
	Bytes    []byte
	Raw      int
	// Sum is the SHA-256 of the list before compression.
	Sum [sha256.Size]byte
}

// Chunk is a part of the whole configuration, or with From of a delta.
type Chunk struct {
	From, To        store.Position
	Index, Count    int
	Part            Part
	RemovalIntended bool
	Dropped         []uint64
}

// Manifest announces the chunks of a whole configuration.
type Manifest struct {
	To     store.Position
	Kinds  []string
	Chunks []ManifestChunk
}

// ManifestChunk is one chunk: its checksum, and its first entity.
type ManifestChunk struct {
	Sum     [sha256.Size]byte
	Kind    int
	FirstID string
}

// Encoder makes messages. It must be safe for concurrent use.
type Encoder interface {
	Frame(f *Frame, form Form) ([]byte, error)
	List(changes []store.Change, form Form) (Part, error)
	Chunk(c *Chunk, form Form) ([]byte, error)
	Manifest(m *Manifest) ([]byte, error)
}

// Plan is how a node gets to the head.
type Plan uint8

// Plans.
const (
	UpToDate Plan = iota + 1
	Delta
	// Whole sends everything.
	Whole
	// Repair finds out what differs and sends that.
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

// Step leads from a position to another.
type Step struct {
	Plan Plan
	To   store.Position
	// Messages of a delta. They are shared between nodes and must not be changed.
	Messages [][]byte
	// Intended goes to Source.Whole with the plan of the same name.
	Intended bool
	// Reason tells people why a node is held.
	Reason string
}

// Options of a Source.
type Options struct {
	Store   store.Store
	Encoder Encoder
	// Kinds that are streamed, in the order in which a snapshot has them.
	Kinds []string
	// ChunkSize is how many bytes of bodies a chunk has on average; 0 means 256 KiB.
	ChunkSize int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

const (
	defaultChunkSize = 256 << 10
	// A delta may have this many entities whatever the size of the whole, and beyond
	// that three tenths of it.
	freeDelta = 256
	// What has more bytes can not be one message.
	maxFrame = 4 << 20
)

// Source makes steps. It is safe for concurrent use.
type Source struct {
	o Options

	mu     sync.Mutex
	frames frames

	wholeMu sync.Mutex
	whole   *Snapshot

	indexMu sync.Mutex
	index   *index
	mended  []mended
}

// New makes a source.
func New(o Options) (*Source, error) {
	if o.Store == nil || o.Encoder == nil || len(o.Kinds) == 0 {
		return nil, errors.New("snapshot source needs a store, an encoder and kinds")
	}
	if o.ChunkSize == 0 {
		o.ChunkSize = defaultChunkSize
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Source{o: o}, nil
}

// Need is what a node needs a step for.
type Need struct {
	// From is what the node serves.
	From store.Position
	// To is where the step should lead; what the node is beyond, or what is not of this
	// store's past, means the head.
	To   store.Position
	Form Form
	// Repair says that the node can tell what it has.
	Repair bool
	// Diverged says that From is not what the node has.
	Diverged bool
	// Whole asks for a snapshot whatever From says.
	Whole bool
}

// Step returns what leads from a node's position towards the head.
func (s *Source) Step(n Need) (*Step, error) {
	head, err := s.o.Store.Position()
	if err != nil {
		return nil, fmt.Errorf("read position: %w", err)
	}
	from := n.From
	wholesale := func(intended bool) *Step { return &Step{Plan: Whole, To: head, Intended: intended} }
	repair := func() *Step {
		if n.Repair {
			return &Step{Plan: Repair, To: head, Intended: true}
		}
		return wholesale(true)
	}
	switch {
	case n.Whole:
		return wholesale(true), nil
	case n.Diverged && from.Lineage == head.Lineage:
		return repair(), nil
	case from == head:
		return &Step{Plan: UpToDate, To: head}, nil
	case from == store.Position{}:
		return wholesale(true), nil
	case from.Lineage != head.Lineage:
		intended, err := s.intended()
		return wholesale(intended), err
	case from.Generation > head.Generation:
		return held(head, from, "generation"), nil
	case from.Generation < head.Generation:
		return repair(), nil
	case from.Revision > head.Revision:
		return held(head, from, "revision"), nil
	case from.Revision == head.Revision:
		return repair(), nil
	}
	to := n.To
	if to.Lineage != head.Lineage || to.Generation != head.Generation || to.Revision <= from.Revision || to.Revision > head.Revision {
		to = head
	}
	step, err := s.delta(from, to, n.Form)
	switch {
	case errors.Is(err, errTorn), errors.Is(err, store.ErrCompacted):
		// The node has that revision of another past, or nobody knows any more.
		return repair(), nil
	case errors.Is(err, errLarge):
		return wholesale(true), nil
	}
	return step, err
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

// Trim lets go of what nobody has asked for in a while.
func (s *Source) Trim() {
	now := s.o.Now()
	s.wholeMu.Lock()
	if s.whole != nil && now.Sub(s.whole.used) > keepUnused {
		s.whole = nil
	}
	s.wholeMu.Unlock()
	s.indexMu.Lock()
	if s.index != nil && now.Sub(s.index.used) > keepUnused {
		s.index, s.mended = nil, nil
	}
	s.indexMu.Unlock()
}

// keepUnused is how long large things stay that nobody asks for.
const keepUnused = time.Minute
