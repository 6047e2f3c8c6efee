package balancer

import (
	"slices"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// maxWheel bounds the wheel of a round robin; larger sums of weights are scaled down.
const maxWheel = 1 << 14

// roundRobin is a wheel with as many places for a target as its weight, spread
// evenly, and a hand.
type roundRobin struct {
	wheel []*Target
	hand  atomic.Uint64
}

func newRoundRobin(u *Upstream) *roundRobin {
	divisor, sum := 0, 0
	for _, t := range u.Targets {
		divisor = gcd(divisor, t.Weight)
		sum += t.Weight
	}
	if sum == 0 {
		return &roundRobin{}
	}
	scale := 1.0
	if sum/divisor > maxWheel {
		scale = float64(maxWheel) * float64(divisor) / float64(sum)
	}
	type place struct {
		at float64
		t  *Target
	}
	var places []place
	for _, t := range u.Targets {
		n := int(float64(t.Weight/divisor)*scale + 0.5)
		if t.Weight > 0 {
			n = max(n, 1)
		}
		for k := range n {
			places = append(places, place{(float64(k) + 0.5) / float64(n), t})
		}
	}
	slices.SortStableFunc(places, func(a, b place) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return a.t.index - b.t.index
	})
	r := &roundRobin{wheel: make([]*Target, len(places))}
	for i, p := range places {
		r.wheel[i] = p.t
	}
	return r
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func (r *roundRobin) pick(_ *pdk.Exchange, _ *Upstream, skip *Skip) *Target {
	if len(r.wheel) == 0 {
		return nil
	}
	start := r.hand.Add(1) - 1
	for i := range uint64(len(r.wheel)) {
		if t := r.wheel[(start+i)%uint64(len(r.wheel))]; !skip.has(t) {
			if i > 0 {
				r.hand.Add(i)
			}
			return t
		}
	}
	return nil
}
