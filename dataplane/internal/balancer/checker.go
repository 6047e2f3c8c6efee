package balancer

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// checker probes addresses when they are due, from one goroutine that waits and one for
// each probe under way. It forgets addresses that no newest view has any more.
type checker struct {
	b      *Balancer
	cancel context.CancelFunc
	ctx    context.Context //nolint:containedctx // the life of the checker itself
	work   sync.WaitGroup
	wake   chan struct{} // capacity 1

	mu     sync.Mutex
	due    schedule
	closed bool
}

// checkOf is one address that is to be probed.
type checkOf struct {
	at    time.Time
	group *group
	state *state
	again bool // it was probed before
}

const (
	// sweepEvery is how often what nobody uses is looked for.
	sweepEvery = time.Minute
	// whenFull is when an address is looked at again whose upstream has as many probes
	// under way as it may.
	whenFull = 20 * time.Millisecond
	// unchecked is when an address is looked at again whose health of now is not checked.
	unchecked = time.Second
)

func newChecker(b *Balancer) *checker {
	c := &checker{b: b, wake: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.work.Go(c.run)
	return c
}

func (c *checker) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.work.Wait()
}

// look takes up the addresses of a view that it does not know yet. Their first checks
// are spread over a part of the interval.
func (c *checker) look(u *Upstream) {
	l := u.now.Load()
	spread := max(shorter(u.Entity.HealthChecks.Active.Healthy.Interval, u.Entity.HealthChecks.Active.Unhealthy.Interval)/10, time.Millisecond)
	now := time.Now()
	added := false
	c.mu.Lock()
	for _, a := range l.all {
		if !a.dynamic && !a.state.checked.Swap(true) {
			heap.Push(&c.due, &checkOf{at: now.Add(rand.N(spread)), group: u.group, state: a.state})
			added = true
		}
	}
	c.mu.Unlock()
	if added {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// shorter is the shorter interval of those that are on.
func shorter(a, b float64) time.Duration {
	switch {
	case a <= 0:
		return seconds(b)
	case b <= 0:
		return seconds(a)
	}
	return seconds(min(a, b))
}

func (c *checker) run() {
	timer := time.NewTimer(sweepEvery)
	defer timer.Stop()
	swept := time.Now()
	for {
		now := time.Now()
		if now.Sub(swept) >= sweepEvery {
			swept = now
			c.b.sweep(now)
		}
		wait := min(c.start(now), sweepEvery)
		timer.Reset(wait)
		select {
		case <-c.ctx.Done():
			return
		case <-timer.C:
		case <-c.wake:
		}
	}
}

// start begins the checks that are due, and returns when the next one is.
func (c *checker) start(now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.due) > 0 {
		next := c.due[0]
		if wait := next.at.Sub(now); wait > 0 {
			return wait
		}
		u := next.group.newest()
		if u == nil || !u.checks || !u.has(next.state) {
			heap.Pop(&c.due)
			next.state.checked.Store(false)
			continue
		}
		interval := seconds(u.Entity.HealthChecks.Active.Healthy.Interval)
		if next.state.down.Load() {
			interval = seconds(u.Entity.HealthChecks.Active.Unhealthy.Interval)
		}
		switch {
		case interval <= 0:
			next.at = now.Add(unchecked) // this health is not checked; the other one may come
		case !u.prober.begin():
			next.at = now.Add(whenFull + rand.N(whenFull))
		default:
			// A check that takes longer than the interval must not meet the next one.
			heap.Pop(&c.due)
			c.work.Go(func() { c.check(u, next, interval) })
			continue
		}
		heap.Fix(&c.due, 0)
	}
	return sweepEvery
}

// check makes one check and notes the next.
func (c *checker) check(u *Upstream, of *checkOf, interval time.Duration) {
	began := time.Now()
	u.prober.check(c.ctx, u, of.state)
	u.prober.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	// The first checks of many addresses come soon; from the second ones on they are
	// spread over the whole interval, and stay so.
	of.at = began.Add(interval/2 + rand.N(interval+1))
	if of.again {
		of.at = began.Add(interval*9/10 + rand.N(interval/5+1))
	}
	of.again = true
	heap.Push(&c.due, of)
	if c.due[0] == of {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// has tells whether a state is one of the view's addresses.
func (u *Upstream) has(s *state) bool {
	for _, a := range u.now.Load().all {
		if a.state == s {
			return true
		}
	}
	return false
}

// schedule is a heap of checks, the one that is due first at the front.
type schedule []*checkOf

// Len implements heap.Interface.
func (s *schedule) Len() int { return len(*s) }

// Less implements heap.Interface.
func (s *schedule) Less(i, j int) bool { return (*s)[i].at.Before((*s)[j].at) }

// Swap implements heap.Interface.
func (s *schedule) Swap(i, j int) { (*s)[i], (*s)[j] = (*s)[j], (*s)[i] }

// Push implements heap.Interface.
func (s *schedule) Push(v any) { *s = append(*s, v.(*checkOf)) } //nolint:forcetypeassert // nothing else is pushed

// Pop implements heap.Interface.
func (s *schedule) Pop() any {
	n := len(*s) - 1
	v := (*s)[n]
	(*s)[n] = nil
	*s = (*s)[:n]
	return v
}
