package hub

import (
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// round is one position on its way to the nodes that wait for one. A change that comes
// while nothing is on its way leaves at once; what comes in the meantime is in the next
// round, so that however fast changes come each round is encoded once.
type round struct {
	number uint64
	// left are the nodes that have not picked up their part.
	left  int
	began time.Time
}

// roundTime bounds how long a round waits for nodes that do not come to pick up.
const roundTime = 100 * time.Millisecond

// lead takes a new head, and returns whether a round to it begins at once.
func (h *Hub) lead(head store.Position) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if head != h.head {
		h.ledger.note(h.head, head, h.o.Now(), h.connectedLocked())
	}
	h.head = head
	if h.round.left > 0 && h.o.Now().Sub(h.round.began) < roundTime {
		return false
	}
	h.nextRoundLocked()
	return true
}

// hurry ends a round that lasts too long. It returns false when it is too early to tell.
func (h *Hub) hurry() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.target == h.head {
		return true
	}
	if h.o.Now().Sub(h.round.began) < roundTime {
		return false
	}
	h.nextRoundLocked()
	return true
}

func (h *Hub) nextRoundLocked() {
	h.target = h.head
	h.round = round{number: h.round.number + 1, began: h.o.Now()}
	for _, n := range h.nodes {
		s := n.session
		if s == nil || s.ended {
			continue
		}
		if _, idle := s.needLocked(); !idle {
			s.round = h.round.number
			h.round.left++
			s.wake()
		}
	}
}

// leaveRoundLocked notes that a node has picked up its part of the round, or never will.
func (h *Hub) leaveRoundLocked(s *Session) {
	if s.round != h.round.number || h.round.left == 0 {
		return
	}
	s.round = 0
	if h.round.left--; h.round.left == 0 && h.target != h.head {
		h.nextRoundLocked()
	}
}
