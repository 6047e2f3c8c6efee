package hub

import (
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

const (
	// ledgerSize is of how many revisions it is known when which node applied them.
	ledgerSize = 512
	// mostReasons bounds the different reasons that are kept against a revision, and
	// reasonErrors what is kept of each.
	mostReasons  = 64
	reasonErrors = 20
)

// What a node made of a revision, in ledger entries: one of these or the milliseconds until
// it was applied, counted from timeBase.
const (
	notConcerned uint32 = iota
	awaited
	declined
	timeBase
)

// ledger is what became of the last revisions at the nodes: four bytes a revision and node.
// Its methods are called with the hub's lock.
type ledger struct {
	entries []*entry // by revision, rising without gaps
	// numbers that nodes had who are not listed any more.
	free []uint32
	next uint32

	toLast, toEach histogram
	refused        uint64
}

// entry is a revision.
type entry struct {
	position store.Position
	noted    time.Time
	// nodes is what became of it, by the number of the node.
	nodes []uint32
	// left are those that were connected and have not answered; applied and declined those
	// that have.
	left, applied, declined int
	// last is how long it took until the last of them had applied it; 0 while some have not.
	last    time.Duration
	reasons []*reason
}

// reason is why nodes refused a revision.
type reason struct {
	at     time.Time
	errors []Refusal
	nodes  []uint32
}

func (l *ledger) number() uint32 {
	if n := len(l.free); n > 0 {
		number := l.free[n-1]
		l.free = l.free[:n-1]
		return number
	}
	l.next++
	return l.next - 1
}

// forget gives the number of a node to another one.
func (l *ledger) forget(number uint32) {
	for _, e := range l.entries {
		e.set(number, notConcerned)
		for _, r := range e.reasons {
			r.nodes = slices.DeleteFunc(r.nodes, func(n uint32) bool { return n == number })
		}
	}
	l.free = append(l.free, number)
}

// note begins entries for all revisions from an old head to a new one.
func (l *ledger) note(old, head store.Position, now time.Time, connected []uint32) {
	first := max(old.Revision+1, head.Revision-min(head.Revision, ledgerSize-1))
	if old.Lineage != head.Lineage || old.Generation != head.Generation || old.Revision >= head.Revision {
		first, l.entries = head.Revision, nil
	}
	if n := len(l.entries); n > 0 && l.entries[n-1].position.Revision+1 != first {
		l.entries = nil
	}
	for revision := first; revision <= head.Revision; revision++ {
		e := &entry{position: head, noted: now, left: len(connected)}
		e.position.Revision = revision
		if revision != head.Revision {
			e.position.Root = store.Position{}.Root // only the log knows it
		}
		for _, number := range connected {
			e.set(number, awaited)
		}
		l.entries = append(l.entries, e)
	}
	if over := len(l.entries) - ledgerSize; over > 0 {
		l.entries = slices.Delete(l.entries, 0, over)
	}
}

// between returns the entries behind one revision up to another.
func (l *ledger) between(after, upTo uint64) []*entry {
	if len(l.entries) == 0 {
		return nil
	}
	first := l.entries[0].position.Revision
	from, to := 0, 0
	if after+1 > first {
		from = int(min(after+1-first, uint64(len(l.entries)))) //nolint:gosec // bounded by the length
	}
	if upTo+1 > first {
		to = int(min(upTo+1-first, uint64(len(l.entries)))) //nolint:gosec // bounded by the length
	}
	return l.entries[from:max(from, to)]
}

func (l *ledger) entry(revision uint64) *entry {
	if list := l.between(revision-1, revision); revision > 0 && len(list) == 1 {
		return list[0]
	}
	return nil
}

// appliedBy notes that a node has gone from one position to another.
func (l *ledger) appliedBy(number uint32, from, to store.Position, now time.Time) {
	list := l.between(from.Revision, to.Revision)
	if from.Lineage != to.Lineage || from.Generation != to.Generation {
		list = l.between(to.Revision-min(to.Revision, 1), to.Revision) // what it did not have it has not waited for
	}
	for _, e := range list {
		if e.position.Lineage != to.Lineage || e.position.Generation != to.Generation {
			continue
		}
		took := max(0, now.Sub(e.noted))
		switch e.get(number) {
		case awaited:
			e.left--
			e.applied++
			l.toEach.observe(took)
			if e.left == 0 {
				e.last = max(took, 1)
				l.toLast.observe(took)
			}
		case notConcerned, declined:
		default:
			continue
		}
		if e.get(number) != declined {
			e.set(number, timeBase+uint32(min(took.Milliseconds(), 1<<31))) //nolint:gosec // bounded
		}
	}
}

// declinedBy notes that a node does not go from one position to another, and why.
func (l *ledger) declinedBy(number uint32, from, to store.Position, why []Refusal, now time.Time) {
	l.refused++
	for _, e := range l.between(from.Revision, to.Revision) {
		switch e.get(number) {
		case awaited:
			e.left--
			e.declined++
		case notConcerned:
		default:
			continue
		}
		e.set(number, declined)
		e.reason(number, why, now)
	}
}

// leftBy notes that a node has gone which has not answered.
func (l *ledger) leftBy(number uint32, from uint64) {
	for _, e := range l.between(from, 1<<63) {
		if e.get(number) == awaited {
			e.left--
			e.set(number, notConcerned)
		}
	}
}

func (e *entry) get(number uint32) uint32 {
	if int(number) < len(e.nodes) {
		return e.nodes[number]
	}
	return notConcerned
}

func (e *entry) set(number, to uint32) {
	if int(number) >= len(e.nodes) {
		if to == notConcerned {
			return
		}
		e.nodes = append(e.nodes, make([]uint32, int(number)+1-len(e.nodes))...)
	}
	e.nodes[number] = to
}

// reason keeps why a node refused. Nodes mostly have the same reasons.
func (e *entry) reason(number uint32, why []Refusal, now time.Time) {
	why = why[:min(len(why), reasonErrors)]
	for _, r := range e.reasons {
		if slices.Equal(r.errors, why) {
			r.nodes = append(r.nodes, number)
			return
		}
	}
	if len(e.reasons) < mostReasons {
		e.reasons = append(e.reasons, &reason{now, slices.Clone(why), []uint32{number}})
	}
}

// histogram counts how long something took.
type histogram struct {
	buckets [len(histogramBounds) + 1]uint64
	sum     time.Duration
}

// histogramBounds are the upper bounds of buckets.
var histogramBounds = [...]time.Duration{ //nolint:gochecknoglobals // a constant
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute,
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(histogramBounds) && d > histogramBounds[i] {
		i++
	}
	h.buckets[i]++
	h.sum += d
}
