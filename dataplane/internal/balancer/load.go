package balancer

import (
	"math/rand/v2"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// few is up to how many addresses all are compared. Of more, two that are drawn by weight
// are: the better of two is nearly as good as the best, and does not attract everybody.
const few = 8

// cost is what going to an address costs; lower is better.
type cost func(a *address, now int64, mean float64) float64

// connectionsOf is the number of requests under way, with this one, for the weight.
func connectionsOf(a *address, _ int64, _ float64) float64 {
	return float64(a.state.active.Load()+1) / float64(a.weight)
}

// latencyOf is the moving average of the time to a response head, times the requests
// under way with this one, for the weight. Newcomers count as the mean of the others.
func latencyOf(a *address, now int64, mean float64) float64 {
	l := a.state.latency(now)
	if l == 0 {
		l = mean
	}
	return l * float64(a.state.active.Load()+1) / float64(a.weight)
}

// least picks the address with the lowest cost that was not tried, any of equals.
func (u *Upstream) least(l *live, x *pdk.Exchange, skip *Skip, of cost) *address {
	now := int64(0)
	if l.ramping || u.algorithm == peakEWMA {
		// When the request came is near enough, and reading a clock is not free.
		if now = x.Start.UnixNano(); x.Start.IsZero() {
			now = time.Now().UnixNano()
		}
	}
	if len(l.usable) > few {
		if a := u.betterOfTwo(l, skip, of, now); a != nil {
			return a
		}
	}
	mean := 0.0
	if u.algorithm == peakEWMA {
		mean = meanLatency(l.usable, now)
	}
	var best *address
	var lowest float64
	start := rand.IntN(len(l.usable))
	for i := range l.usable {
		a := l.usable[(start+i)%len(l.usable)]
		if skip.n > 0 && skip.has(a.state) {
			continue
		}
		c := of(a, now, mean)
		if l.ramping {
			c /= a.state.ramp(now, u.slowStart)
		}
		if best == nil || c < lowest {
			best, lowest = a, c
		}
	}
	return best
}

// betterOfTwo compares two addresses that are drawn by weight, or returns nil when those
// that it drew were tried.
func (u *Upstream) betterOfTwo(l *live, skip *Skip, of cost, now int64) *address {
	var pair [2]*address
	for i := range pair {
		for range 4 {
			a := l.weighted(rand.Uint64())
			if a != pair[0] && !(skip.n > 0 && skip.has(a.state)) {
				pair[i] = a
				break
			}
		}
	}
	if pair[0] == nil || pair[1] == nil {
		return pair[0]
	}
	c, d := of(pair[0], now, 0), of(pair[1], now, 0)
	if c == 0 || d == 0 {
		mean := max(meanLatency(pair[:], now), 1)
		c, d = of(pair[0], now, mean), of(pair[1], now, mean)
	}
	if l.ramping {
		c /= pair[0].state.ramp(now, u.slowStart)
		d /= pair[1].state.ramp(now, u.slowStart)
	}
	if d < c {
		return pair[1]
	}
	return pair[0]
}

// meanLatency is the mean of the moving averages that there are.
func meanLatency(list []*address, now int64) float64 {
	sum, n := 0.0, 0
	for _, a := range list {
		if l := a.state.latency(now); l > 0 {
			sum += l
			n++
		}
	}
	if n == 0 {
		return 1
	}
	return sum / float64(n)
}
