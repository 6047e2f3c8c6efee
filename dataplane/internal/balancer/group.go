package balancer

import (
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
)

// group is what the views of one upstream share.
type group struct {
	b  *Balancer
	id string
	// epoch counts changes of what may be picked.
	epoch atomic.Uint64
	hand  atomic.Uint64 // of round robin
	limit limiter

	mu     sync.Mutex
	states map[stateKey]*state
	views  []*Upstream // the last one is the newest
	gone   bool        // forgotten by the balancer
	warm   bool        // had addresses: further ones are new
}

// state is what is known of an address over all plans.
type state struct {
	key     stateKey
	address string // ip:port
	// active is the number of requests under way.
	active atomic.Int32
	// down is the result of checks and marks; see health.
	down atomic.Bool
	// ejected is until when the address is taken out, in nanoseconds since 1970, 0 for
	// not; rampFrom is when its slow start began.
	ejected  atomic.Int64
	rampFrom atomic.Int64
	// The moving average of the time to a response head, as the bits of a float64 of
	// nanoseconds, and when it was set last.
	average   atomic.Uint64
	averageAt atomic.Int64
	health    health
	outlier   outlier
	checked   atomic.Bool // the checker knows it
	// unused is since when no view has had it; the group's mu.
	unused time.Time
}

// changed makes the next pick of every view look again.
func (g *group) changed() { g.epoch.Add(1) }

// state returns the state of an address, making it when it is not known. marks are those
// of its target; each is obeyed once.
func (g *group) state(key stateKey, marks []*entity.TargetMark, now time.Time) *state {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.states[key]
	if s == nil {
		s = &state{key: key, address: key.at.String()}
		if g.warm {
			s.rampFrom.Store(now.UnixNano())
		}
		g.states[key] = s
	}
	s.unused = time.Time{}
	for _, m := range marks {
		if m.Address == "" || m.Address == s.address {
			s.health.obey(s, m)
		}
	}
	return s
}

// sweep forgets states that no view has had for a while, and returns whether nothing is
// left.
func (g *group) sweep(now time.Time) (empty bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	used := map[*state]bool{}
	for _, v := range g.views {
		if l := v.now.Load(); l != nil {
			for _, a := range l.all {
				used[a.state] = true
			}
		}
	}
	for key, s := range g.states {
		switch {
		case used[s] || s.active.Load() > 0:
			s.unused = time.Time{}
		case s.unused.IsZero():
			s.unused = now
		case now.Sub(s.unused) >= keepState:
			delete(g.states, key)
		}
	}
	return len(g.views) == 0 && len(g.states) == 0
}

// newest returns the view that checks go by, nil when there is none.
func (g *group) newest() *Upstream {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.views) == 0 {
		return nil
	}
	return g.views[len(g.views)-1]
}

func (g *group) add(u *Upstream) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return false
	}
	g.views = append(g.views, u)
	return true
}

func (g *group) remove(u *Upstream) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.views = slices.DeleteFunc(g.views, func(v *Upstream) bool { return v == u })
}

// decay is the time in which a moving average forgets most of what it was.
const decay = 10 * time.Second

// observe takes a time to a response head into the moving average: one that is longer
// counts at once, shorter ones bring it down by and by.
func (s *state) observe(took time.Duration, now time.Time) {
	at := now.UnixNano()
	before := s.averageAt.Swap(at)
	old := math.Float64frombits(s.average.Load())
	next := float64(took)
	if before != 0 && next < old {
		keep := math.Exp(-float64(max(at-before, 0)) / float64(decay))
		next = old*keep + next*(1-keep)
	}
	s.average.Store(math.Float64bits(next))
}

// latency is the moving average as it is now, 0 when there is none. What was slow is
// given another chance in time.
func (s *state) latency(now int64) float64 {
	average := math.Float64frombits(s.average.Load())
	if average == 0 {
		return 0
	}
	return average * math.Exp(-float64(max(now-s.averageAt.Load(), 0))/float64(decay))
}

// ramp is the part of its share that an address may have now: it grows over the time of
// a slow start, from a tenth to all.
func (s *state) ramp(now int64, window time.Duration) float64 {
	from := s.rampFrom.Load()
	if from == 0 || window <= 0 {
		return 1
	}
	return min(max(float64(now-from)/float64(window), 0.1), 1)
}

// addrPort reads the host of a target as an IP.
func addrPort(host string, port int) (netip.AddrPort, bool) {
	if len(host) > 1 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	a, err := netip.ParseAddr(host)
	return netip.AddrPortFrom(a.Unmap(), uint16(port)), err == nil //nolint:gosec // checked by the schema
}
