// Package lease hands out shares of counters that all nodes take from together: so many
// requests in a window of time. It owns how much each node has taken and still holds of
// a counter, in memory and one window at a time. It refuses to know what is counted.
//
// A node says in each request what it has used of the window and what it holds; that
// word counts, so that a control plane that has just started learns anew what was taken,
// a lost answer is forgotten, and what a node no longer needs comes back to the others.
// What is waited for is granted while the limit lasts. Ahead of need a node holds a
// small share only: all nodes together at most a twenty-fifth of the limit, so that
// idle shares do not keep others from the rest.
package lease

import (
	"sync"
	"time"
)

const (
	// MaxCounters bounds the windows that are counted, all plugins together: some 100 MiB.
	MaxCounters = 1 << 18
	// grace is how long a window is kept after its end: nodes' clocks differ.
	grace = 10 * time.Second
	// aheadShare is the part of a limit that all nodes may hold ahead of need.
	aheadShare = 25
)

// Request of a node for a counter.
type Request struct {
	// Counter names it among those of all plugins.
	Counter string
	// Start and End of the window, in seconds since 1970.
	Start, End int64
	// Limit is how much all nodes together may take.
	Limit uint64
	// Used is how much the node has taken, Held what it has left besides.
	Used, Held uint64
	// Waiting is how much is waited for, Ahead how much more would be taken ahead.
	Waiting, Ahead uint64
}

// Grant answers a request.
type Grant struct {
	// Granted is how much more the node may take; Taken how much all have then taken or
	// hold; Ahead how much a node may hold ahead of need.
	Granted, Taken, Ahead uint64
}

// Options of a Book.
type Options struct {
	// Max bounds the windows that are counted; 0 means MaxCounters.
	Max int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Book is who has taken what. It is safe for concurrent use.
type Book struct {
	max int
	now func() time.Time

	mu      sync.Mutex
	windows map[key]*window
	swept   time.Time
}

type key struct {
	counter    string
	start, end int64
}

// window is one counter in one window: what each node has taken and holds.
type window struct {
	taken map[string]uint64
	total uint64
	asked time.Time
}

// New makes a book.
func New(o Options) *Book {
	if o.Max == 0 {
		o.Max = MaxCounters
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Book{max: o.Max, now: o.Now, windows: map[key]*window{}}
}

// Lease answers a node's request. nodes is how many are connected. ok is false when
// no more windows can be counted.
func (b *Book) Lease(node string, nodes int, r Request) (g Grant, ok bool) {
	g.Ahead = r.Limit / aheadShare / uint64(max(1, nodes))
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	k := key{r.Counter, r.Start, r.End}
	w := b.windows[k]
	if w == nil {
		b.sweepLocked(now)
		if len(b.windows) >= b.max {
			return Grant{}, false
		}
		w = &window{taken: map[string]uint64{}}
		b.windows[k] = w
	}
	w.asked = now
	has := saturated(r.Used, r.Held)
	w.set(node, has)
	left := r.Limit - min(r.Limit, w.total)
	ahead := min(r.Ahead, g.Ahead-min(g.Ahead, r.Held))
	g.Granted = min(left, saturated(r.Waiting, ahead))
	w.set(node, saturated(has, g.Granted))
	g.Taken = w.total
	return g, true
}

func (w *window) set(node string, taken uint64) {
	w.total -= w.taken[node]
	w.taken[node] = min(taken, maxCount)
	w.total += w.taken[node]
}

// maxCount keeps sums of what nodes say from going round.
const maxCount = 1 << 48

func saturated(a, b uint64) uint64 { return min(a, maxCount) + min(b, maxCount) }

// sweepLocked drops windows that have passed: at once when there is no room, else now
// and then.
func (b *Book) sweepLocked(now time.Time) {
	if len(b.windows) < b.max && now.Sub(b.swept) < grace {
		return
	}
	b.swept = now
	for k, w := range b.windows {
		if now.Sub(time.Unix(k.end, 0)) > grace && now.Sub(w.asked) > grace {
			delete(b.windows, k)
		}
	}
}

// Len returns how many windows are counted.
func (b *Book) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.windows)
}
