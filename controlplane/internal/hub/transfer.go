package hub

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/snapshot"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

const (
	// maxTransfers bounds the snapshots and repairs that are sent at a time.
	maxTransfers = 16
	// slotTime is how long one counts: what takes longer is slow, and costs little.
	slotTime = time.Minute
	// inventoryTime is how long a node may take to tell what it has.
	inventoryTime = 30 * time.Second
	// maxInventory bounds the hashes that a node tells in a repair, and maxAskedEntities
	// those that it is asked for: beyond that it gets a snapshot.
	maxInventory     = 1 << 20
	maxAskedEntities = maxInventory / 2
)

var errInventory = errors.New("the node tells what it was not asked for")

// transfer is a snapshot or a repair that is prepared with a node.
type transfer struct {
	whole *snapshot.Snapshot // of a snapshot
	// of a repair
	from store.Position
	diff *snapshot.Difference // what was asked for, nil until the buckets are known
	has  map[uint32][]uint64
	told int
	// asked is when the node was asked.
	asked time.Time
}

// Query asks a node what it has.
type Query struct {
	// Buckets to list; none means the hashes of all.
	Buckets []uint32
}

// Inventory is what a node says that it has.
type Inventory struct {
	Position store.Position
	// Hashes of all buckets; nil when it is not about that.
	Hashes []roothash.BucketHash
	// Entities are short hashes of entities, by bucket.
	Entities map[uint32][]uint64
	// Chunks has a bit for each chunk of a manifest.
	Chunks []byte
	Last   bool
}

// slots are the transfers under way, and those who wait for their turn.
type slots struct {
	taken map[*Session]time.Time
	queue []*Session
}

// takeLocked gives a slot to a session, or puts it into the queue.
func (s *slots) takeLocked(session *Session, now time.Time) bool {
	if _, has := s.taken[session]; has {
		return true
	}
	if len(s.queue) == 0 && s.freeLocked(now) {
		s.taken[session] = now
		return true
	}
	if !session.queued {
		session.queued = true
		s.queue = append(s.queue, session)
	}
	return false
}

func (s *slots) freeLocked(now time.Time) bool {
	if len(s.taken) < maxTransfers {
		return true
	}
	for session, since := range s.taken {
		if now.Sub(since) > slotTime {
			delete(s.taken, session)
		}
	}
	return len(s.taken) < maxTransfers
}

// leaveLocked takes a session out, and gives its slot on.
func (s *slots) leaveLocked(session *Session, now time.Time) {
	delete(s.taken, session)
	if session.queued {
		session.queued = false
		i := slices.Index(s.queue, session)
		s.queue = slices.Delete(s.queue, i, i+1)
	}
	s.grantLocked(now)
}

func (s *slots) grantLocked(now time.Time) {
	for len(s.queue) > 0 && s.freeLocked(now) {
		next := s.queue[0]
		s.queue = slices.Delete(s.queue, 0, 1)
		next.queued = false
		s.taken[next] = now
		next.wake()
	}
}

// placeLocked is the place in the queue, from 1; 0 outside of it.
func (s *slots) placeLocked(session *Session) int { return slices.Index(s.queue, session) + 1 }

// begin prepares a snapshot or a repair for which there is a slot, and returns what the
// node is sent first.
func (s *Session) begin(step *snapshot.Step) (Delivery, error) {
	h := s.hub
	h.mu.Lock()
	from, skip := s.node.Position, s.skip
	h.mu.Unlock()
	if step.Plan == snapshot.Repair {
		h.mu.Lock()
		defer h.mu.Unlock()
		s.transfer = &transfer{from: from, asked: h.o.Now(), has: map[uint32][]uint64{}}
		return Delivery{Query: &Query{}}, nil
	}
	whole, err := h.o.Source.Whole(s.form, step.Intended, from, skip)
	if err != nil {
		return Delivery{}, fmt.Errorf("prepare snapshot: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.manifest && len(whole.Messages) > 1 {
		s.transfer = &transfer{whole: whole, asked: h.o.Now()}
		return Delivery{Manifest: whole.Manifest}, nil
	}
	s.sendLocked(snapshot.Whole, whole.To)
	return Delivery{Snapshot: whole}, nil
}

// sendLocked notes what is sent from now on.
func (s *Session) sendLocked(plan snapshot.Plan, to store.Position) {
	s.transfer, s.ready = nil, nil
	s.outstanding, s.sent, s.diverged = to, plan, 0
}

// Sent tells that a delivery is on its way, so that others get the slot.
func (s *Session) Sent(d Delivery) {
	s.hub.sent.count(&d)
	if d.Snapshot == nil && (d.Step == nil || d.Step.Plan == snapshot.Delta) {
		return // it had none
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.hub.slots.leaveLocked(s, s.hub.o.Now())
}

// Inventory takes what the node says that it has. An error ends the session.
func (s *Session) Inventory(in Inventory) error {
	h := s.hub
	h.mu.Lock()
	s.seenLocked()
	t := s.transfer
	h.mu.Unlock()
	var d Delivery
	var err error
	switch {
	case t == nil:
		return nil // the answer comes late
	case t.whole != nil && in.Hashes == nil && len(in.Entities) == 0:
		d.Snapshot, d.Skip = t.whole, in.Chunks
	case t.whole == nil && t.diff == nil && in.Hashes != nil:
		t.from = in.Position
		d, err = s.compare(t, in.Hashes)
	case t.whole == nil && t.diff != nil && in.Hashes == nil && in.Chunks == nil:
		d, err = s.list(t, in)
	default:
		return errInventory
	}
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if d.empty() {
		return nil
	}
	if s.transfer != nil {
		s.transfer.asked = h.o.Now()
	}
	s.ready = &d
	s.wake()
	return nil
}

// compare asks for the buckets that differ.
func (s *Session) compare(t *transfer, hashes []roothash.BucketHash) (Delivery, error) {
	diff, err := s.hub.o.Source.Compare(hashes)
	if err != nil {
		return Delivery{}, err
	}
	t.diff = &diff
	if diff.Entities > maxAskedEntities {
		return s.instead()
	}
	if len(diff.Buckets) == 0 {
		return s.mend(t)
	}
	return Delivery{Query: &Query{Buckets: diff.Buckets}}, nil
}

// list takes a part of the entities of the buckets that differ.
func (s *Session) list(t *transfer, in Inventory) (Delivery, error) {
	for number, hashes := range in.Entities {
		if _, asked := slices.BinarySearch(t.diff.Buckets, number); !asked {
			return Delivery{}, errInventory
		}
		if t.told += len(hashes); t.told > maxInventory {
			return s.instead()
		}
		t.has[number] = append(t.has[number], hashes...)
	}
	if !in.Last {
		return Delivery{}, nil
	}
	return s.mend(t)
}

func (s *Session) mend(t *transfer) (Delivery, error) {
	for _, number := range t.diff.Buckets {
		if _, told := t.has[number]; !told {
			t.has[number] = nil
		}
	}
	step, err := s.hub.o.Source.Mend(t.from, *t.diff, t.has, s.form)
	if err != nil {
		return Delivery{}, err
	}
	if step.Plan == snapshot.Whole {
		return s.instead()
	}
	return Delivery{Step: step}, nil
}

// instead makes it a snapshot.
func (s *Session) instead() (Delivery, error) {
	return s.begin(&snapshot.Step{Plan: snapshot.Whole, Intended: true})
}
