// Package lease takes from counters that all nodes share, such as the requests of one
// consumer in a minute, for plugins. The control plane keeps the counters and grants
// each node what it waits for, and a small share ahead of need when the limit is large,
// so that most requests wait for nobody. All that is granted together is never more than
// the limit. What a node holds and does not need goes back.
//
// While the control plane is away, a node takes what it holds and besides, in each
// window, up to the limit divided by the number of nodes that were connected: all nodes
// together at most that share more than the limit. A node that has not heard of the
// control plane since its start takes itself for the only one.
//
// The package refuses to know what is counted and why.
package lease

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

const (
	// MaxCounters bounds the counters of a Table; when it is reached, others go.
	MaxCounters = 1 << 17

	shards = 32
	// batch is how many counters are asked about at once.
	batch = 1024
	// askTimeout bounds how long requests wait for the control plane.
	askTimeout = time.Second
	// tick is how often idle shares are looked for.
	tick = 250 * time.Millisecond
	// idle is how long a share is kept unused.
	idle = time.Second
	// remind is how often a node says again what it has used: a control plane that was
	// started anew does not know.
	remind = 10 * time.Second
	// full is how long a counter of which nothing was left is not asked about.
	full = 50 * time.Millisecond
	// away is how long a control plane that did not answer is not asked.
	away = 500 * time.Millisecond
)

// Window is a span of time, in seconds since 1970.
type Window struct {
	Start, End int64
}

// Table is the counters of one plugin config on this node. It is safe for concurrent use.
type Table struct {
	control pdk.Control
	seed    maphash.Seed
	shards  [shards]shard

	running chan struct{} // held by Run
	wake    chan struct{}

	mu     sync.Mutex
	queue  []*Counter
	nodes  int // connected ones when last heard of
	gone   time.Time
	missed bool // the control plane did not answer the last time
}

type shard struct {
	mu       sync.Mutex
	counters map[string]*Counter
}

// New makes a table. Run must be called for it to work.
func New(control pdk.Control) *Table {
	t := &Table{control: control, seed: maphash.MakeSeed(), running: make(chan struct{}, 1), wake: make(chan struct{}, 1), nodes: 1}
	for i := range t.shards {
		t.shards[i].counters = map[string]*Counter{}
	}
	return t
}

// Counter returns the counter of that name. All nodes' counters of one name in one plugin
// are the same.
func (t *Table) Counter(name string) *Counter {
	s := &t.shards[maphash.String(t.seed, name)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counters[name]
	if c == nil {
		if len(s.counters) >= MaxCounters/shards {
			s.makeRoomLocked()
		}
		c = &Counter{table: t, name: string([]byte(name))}
		s.counters[c.name] = c
	}
	return c
}

// makeRoomLocked drops counters of windows that have passed, else some of the others.
func (s *shard) makeRoomLocked() {
	s.sweepLocked(time.Now().Unix())
	drop := len(s.counters) - MaxCounters/shards*3/4
	for name := range s.counters {
		if drop <= 0 {
			return
		}
		delete(s.counters, name)
		drop--
	}
}

func (s *shard) sweepLocked(now int64) {
	for name, c := range s.counters {
		if c.past(now) {
			delete(s.counters, name)
		}
	}
}

// Len returns the number of counters.
func (t *Table) Len() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += len(t.shards[i].counters)
		t.shards[i].mu.Unlock()
	}
	return n
}

// Run asks the control plane until ctx ends. One runs at a time; another waits.
func (t *Table) Run(ctx context.Context) {
	select {
	case t.running <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-t.running }()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case now := <-ticker.C:
			t.look(now)
		}
		for t.ask(ctx) {
		}
	}
}

// look drops what has passed, and queues what is to be told without being asked.
func (t *Table) look(now time.Time) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.sweepLocked(now.Unix())
		all := make([]*Counter, 0, len(s.counters))
		for _, c := range s.counters {
			all = append(all, c)
		}
		s.mu.Unlock()
		for _, c := range all {
			c.look(now)
		}
	}
}

func (t *Table) enqueue(c *Counter) {
	t.mu.Lock()
	t.queue = append(t.queue, c)
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// ask asks about what is queued, and tells whether there was anything.
func (t *Table) ask(ctx context.Context) bool {
	t.mu.Lock()
	n := min(len(t.queue), batch)
	list := t.queue[:n:n]
	t.queue = t.queue[n:]
	if len(t.queue) == 0 {
		t.queue = nil
	}
	t.mu.Unlock()
	if n == 0 {
		return false
	}
	requests := make([]pdk.LeaseRequest, n)
	for i, c := range list {
		requests[i] = c.request()
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	grants, err := t.control.Lease(ctx, requests)
	cancel()
	now := time.Now()
	t.heard(grants, err, now)
	for i, c := range list {
		if err != nil {
			c.failed(now)
		} else {
			c.granted(&requests[i], &grants[i], now)
		}
	}
	return true
}

// heard notes whether the control plane is there. When it comes back it is told of all
// counters: it may have forgotten them.
func (t *Table) heard(grants []pdk.LeaseGrant, err error, now time.Time) {
	t.mu.Lock()
	back := err == nil && t.missed
	t.missed = err != nil
	if err != nil {
		t.gone = now.Add(away)
	} else {
		t.gone = time.Time{}
		for i := range grants {
			t.nodes = max(1, grants[i].Nodes)
		}
	}
	t.mu.Unlock()
	if back {
		t.each((*Counter).remind)
	}
}

func (t *Table) each(fn func(c *Counter)) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		all := make([]*Counter, 0, len(s.counters))
		for _, c := range s.counters {
			all = append(all, c)
		}
		s.mu.Unlock()
		for _, c := range all {
			fn(c)
		}
	}
}

// alone returns how many nodes there were while the control plane is away, 0 when it
// is not.
func (t *Table) alone(now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Before(t.gone) {
		return t.nodes
	}
	return 0
}
