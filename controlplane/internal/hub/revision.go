package hub

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/snapshot"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// Revision is what became of a revision at the nodes.
type Revision struct {
	// Known tells whether it was noted when nodes applied it: those of before the start of
	// the control plane, and old ones, were not.
	Known bool
	// Noted is when nodes began to be told.
	Noted time.Time
	// Applied, Refused and Missing are nodes in the order of their ids. A node that has
	// refused it stays there, whatever it applies later. Of nodes that are away, those are
	// missing that do not have it.
	Applied, Refused, Missing []NodeRevision
	// Last is how long it took until the last of the nodes that were connected had applied
	// it; 0 when not all have.
	Last time.Duration
}

// NodeRevision is what a node made of a revision.
type NodeRevision struct {
	ID, Hostname string
	Connected    bool
	// At is when; zero when that is not known, such as of a node that came with it.
	At time.Time
	// Serving is what the node serves now.
	Serving store.Position
	Errors  []Refusal
}

// Revision tells what became of a revision.
func (h *Hub) Revision(n uint64) Revision {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := Revision{}
	e := h.ledger.entry(n)
	if e != nil {
		out.Known, out.Noted, out.Last = true, e.noted, e.last
	}
	for _, node := range h.nodes {
		at := NodeRevision{ID: node.ID, Hostname: node.Hostname, Connected: node.session != nil, Serving: node.Position}
		state := notConcerned
		if e != nil {
			state = e.get(node.number)
		}
		has := h.hasLocked(node, n)
		switch {
		case state == declined:
			for _, r := range e.reasons {
				if slices.Contains(r.nodes, node.number) {
					at.At, at.Errors = r.at, r.errors
				}
			}
			out.Refused = append(out.Refused, at)
		case state >= timeBase:
			at.At = e.noted.Add(time.Duration(state-timeBase) * time.Millisecond)
			out.Applied = append(out.Applied, at)
		case has:
			out.Applied = append(out.Applied, at)
		default:
			out.Missing = append(out.Missing, at)
		}
	}
	for _, list := range [][]NodeRevision{out.Applied, out.Refused, out.Missing} {
		slices.SortFunc(list, func(a, b NodeRevision) int { return strings.Compare(a.ID, b.ID) })
	}
	return out
}

// hasLocked tells whether a node serves a revision of this store, or a later one.
func (h *Hub) hasLocked(n *node, revision uint64) bool {
	p := n.Position
	return p.Lineage == h.head.Lineage && p.Generation == h.head.Generation && p.Revision >= revision && p.Revision <= h.head.Revision &&
		(n.session == nil || n.session.known)
}

// Counts are how many nodes did what with a revision.
type Counts struct {
	Known                     bool
	Applied, Refused, Missing int
	Last                      time.Duration
}

// RevisionCounts tells for each of some revisions how many nodes did what.
func (h *Hub) RevisionCounts(revisions []uint64) []Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Counts, len(revisions))
	for i, n := range revisions {
		c := &out[i]
		e := h.ledger.entry(n)
		if e != nil {
			c.Known, c.Last = true, e.last
		}
		for _, node := range h.nodes {
			state := notConcerned
			if e != nil {
				state = e.get(node.number)
			}
			switch {
			case state == declined:
				c.Refused++
			case state >= timeBase || h.hasLocked(node, n):
				c.Applied++
			default:
				c.Missing++
			}
		}
	}
	return out
}

// connectedLocked returns the numbers of the nodes that a change is for.
func (h *Hub) connectedLocked() []uint32 {
	out := make([]uint32, 0, h.connected)
	for _, n := range h.nodes {
		if s := n.session; s != nil && !s.ended && !s.held {
			out = append(out, n.number)
		}
	}
	return out
}

// Figures are what the link has done since the start.
type Figures struct {
	// Bounds are the upper bounds of the buckets of ToEach and ToLast, which have one more.
	Bounds []time.Duration
	// ToEach and ToLast count, not added up, how long nodes and the last of them took to
	// apply a revision.
	ToEach, ToLast       []uint64
	ToEachSum, ToLastSum time.Duration
	// Connected, and by state, all that are listed.
	Connected int
	States    map[State]int
	// Refused are refusals, Sent what was sent by its plan, such as "delta", and SentBytes
	// how much that was.
	Refused   uint64
	Sent      map[string]uint64
	SentBytes uint64
}

// Figures returns what the link has done.
func (h *Hub) Figures() Figures {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := &h.ledger
	f := Figures{
		Bounds: histogramBounds[:], ToEach: slices.Clone(l.toEach.buckets[:]), ToLast: slices.Clone(l.toLast.buckets[:]),
		ToEachSum: l.toEach.sum, ToLastSum: l.toLast.sum, Connected: h.connected, Refused: l.refused,
		States: map[State]int{Syncing: 0, Applied: 0, Refused: 0, Held: 0, Away: 0},
		Sent:   map[string]uint64{"delta": h.sent.deltas.Load(), "repair": h.sent.repairs.Load(), "snapshot": h.sent.snapshots.Load()}, SentBytes: h.sent.bytes.Load(),
	}
	for _, n := range h.nodes {
		f.States[h.stateLocked(n)]++
	}
	return f
}

// sent counts what nodes were sent. It needs no lock.
type sent struct{ deltas, repairs, snapshots, bytes atomic.Uint64 }

// count counts a delivery that is on its way.
func (s *sent) count(d *Delivery) {
	var messages [][]byte
	switch {
	case d.Snapshot != nil:
		s.snapshots.Add(1)
		messages = d.Snapshot.Messages
	case d.Step != nil && d.Step.Plan == snapshot.Repair:
		s.repairs.Add(1)
		messages = d.Step.Messages
	case d.Step != nil:
		s.deltas.Add(1)
		messages = d.Step.Messages
	}
	for i, m := range messages {
		if d.Snapshot != nil && i < len(messages)-1 && i/8 < len(d.Skip) && d.Skip[i/8]&(1<<(i%8)) != 0 {
			continue
		}
		s.bytes.Add(uint64(len(m)))
	}
}
