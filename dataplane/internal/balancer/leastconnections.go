package balancer

import (
	"math/rand/v2"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// leastConnections picks the target with the fewest requests under way for its
// weight, any of equals.
type leastConnections struct{}

func (leastConnections) pick(_ *pdk.Exchange, u *Upstream, skip *Skip) *Target {
	return lowest(u, skip, func(t *Target) float64 { return float64(t.state.active.Load()+1) / float64(t.Weight) })
}

// latency picks the target with the lowest moving average of the time to the response
// head, times the requests under way, for its weight; newcomers count as average.
type latency struct{}

func (latency) pick(_ *pdk.Exchange, u *Upstream, skip *Skip) *Target {
	sum, n := int64(0), int64(0)
	for _, t := range u.Targets {
		if l := t.state.latency.Load(); l > 0 {
			sum, n = sum+l, n+1
		}
	}
	mean := int64(1)
	if n > 0 {
		mean = sum / n
	}
	return lowest(u, skip, func(t *Target) float64 {
		l := t.state.latency.Load()
		if l == 0 {
			l = mean
		}
		return float64(l) * float64(t.state.active.Load()+1) / float64(t.Weight)
	})
}

func lowest(u *Upstream, skip *Skip, cost func(*Target) float64) *Target {
	var best *Target
	var bestCost float64
	for i, start := 0, rand.IntN(max(len(u.Targets), 1)); i < len(u.Targets); i++ {
		t := u.Targets[(start+i)%len(u.Targets)]
		if t.Weight == 0 || skip.has(t) {
			continue
		}
		if c := cost(t); best == nil || c < bestCost {
			best, bestCost = t, c
		}
	}
	return best
}
