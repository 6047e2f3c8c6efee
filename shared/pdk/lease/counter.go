package lease

import (
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// patience is how long a request goes on asking while there is something left that others
// are faster to take.
const patience = 2 * askTimeout

// Counter is one counter as this node sees it, in one window at a time. It is safe for
// concurrent use.
type Counter struct {
	table *Table
	name  string

	mu     sync.Mutex
	window Window
	limit  uint64
	// used was taken here, held was granted besides and is left; others is what other
	// nodes have taken or hold, as last heard.
	used, held, others uint64
	// ahead is how much may be held ahead of need.
	ahead uint64
	// waiting requests are woken by closing answered.
	waiting  uint64
	answered chan struct{}
	// queued tells that it will be asked about, asking that it is.
	queued, asking bool
	// Until full nothing is asked, because nothing was left.
	full        time.Time
	taken, told time.Time // when something was last taken here, and told
}

// Take takes one of the window unless limit is reached, and returns how many all nodes
// had taken before. It waits for the control plane when the node has none left; for a
// second at most.
func (c *Counter) Take(w Window, limit uint64) (before uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.openLocked(w, limit)
	for began := time.Now(); ; {
		now := time.Now()
		before = c.others + c.used
		if c.held > 0 {
			c.held--
			c.used++
			c.taken = now
			if c.ahead > 1 && c.held < c.ahead/2 {
				c.queueLocked()
			}
			return min(before, c.limit-1), true
		}
		if nodes := c.table.alone(now); nodes > 0 {
			if c.used >= max(1, c.limit/uint64(nodes)) {
				return c.limit, false
			}
			c.used++
			c.taken = now
			return min(before, c.limit-1), true
		}
		if now.Before(c.full) || now.Sub(began) >= patience {
			return c.limit, false
		}
		c.waitLocked()
	}
}

// Undo gives back what Take took in the window.
func (c *Counter) Undo(w Window) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.window == w && c.used > 0 {
		c.used--
		c.held++
	}
}

// Add counts n more of a window, whether or not the limit is reached.
func (c *Counter) Add(w Window, limit, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.openLocked(w, limit)
	c.used += n
	c.taken = time.Now()
	c.queueLocked()
}

// Count returns how many all nodes have taken in the window, as far as is known.
func (c *Counter) Count(w Window, limit uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := c.window != w
	c.openLocked(w, limit)
	if fresh && c.table.alone(time.Now()) == 0 {
		c.waitLocked()
	}
	return c.others + c.used
}

// Known returns the same and waits for nobody.
func (c *Counter) Known(w Window) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.window != w {
		return 0
	}
	return c.others + c.used
}

// openLocked begins a window, unless it is one that has passed.
func (c *Counter) openLocked(w Window, limit uint64) {
	c.limit = max(1, limit)
	if w.Start <= c.window.Start && c.window.End > 0 {
		return
	}
	c.window = w
	c.used, c.held, c.others, c.full = 0, 0, 0, time.Time{}
}

// waitLocked waits for an answer of the control plane.
func (c *Counter) waitLocked() {
	if c.answered == nil {
		c.answered = make(chan struct{})
	}
	answered := c.answered
	c.waiting++
	c.queueLocked()
	c.mu.Unlock()
	timer := time.NewTimer(2 * askTimeout) // nobody asks any more when the config is gone
	select {
	case <-answered:
	case <-timer.C:
	}
	timer.Stop()
	c.mu.Lock()
	c.waiting--
}

func (c *Counter) queueLocked() {
	if c.queued {
		return
	}
	c.queued = true
	if !c.asking {
		c.table.enqueue(c)
	}
}

// request puts a question together.
func (c *Counter) request() pdk.LeaseRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queued, c.asking = false, true
	r := pdk.LeaseRequest{Counter: c.name, Start: c.window.Start, End: c.window.End, Limit: c.limit, Used: c.used, Held: c.held, Waiting: c.waiting}
	if now := time.Now(); now.Sub(c.taken) < idle || c.waiting > 0 {
		r.Ahead = c.limit // the control plane says how much that may be
	}
	return r
}

func (c *Counter) granted(r *pdk.LeaseRequest, g *pdk.LeaseGrant, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.window.Start == r.Start && c.window.End == r.End {
		c.held += g.Granted
		c.others = g.Taken - min(g.Taken, r.Used+r.Held+g.Granted)
		c.ahead, c.told = g.Ahead, now
		if g.Granted < r.Waiting {
			c.full = now.Add(full)
		}
	}
	c.doneLocked()
}

func (c *Counter) failed(time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doneLocked()
}

// doneLocked wakes who waits. What was queued meanwhile is asked next.
func (c *Counter) doneLocked() {
	c.asking = false
	if c.answered != nil {
		close(c.answered)
		c.answered = nil
	}
	if c.queued {
		c.table.enqueue(c)
	}
}

// look gives back an idle share, and reminds the control plane now and then.
func (c *Counter) look(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case now.Unix() >= c.window.End:
	case c.held > 0 && now.Sub(c.taken) >= idle:
		if !c.asking {
			c.held = 0
			c.queueLocked()
		}
	case c.used > 0 && now.Sub(c.told) >= remind:
		c.queueLocked()
	}
}

func (c *Counter) remind() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used > 0 || c.held > 0 {
		c.queueLocked()
	}
}

// past tells whether the window has ended and nobody waits.
func (c *Counter) past(now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.window.End > 0 && now > c.window.End && c.waiting == 0 && !c.queued && !c.asking
}
