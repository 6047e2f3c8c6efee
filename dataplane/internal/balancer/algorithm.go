package balancer

import (
	"math/bits"
	"math/rand/v2"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// algorithm is how an upstream's address is chosen.
type algorithm uint8

const (
	roundRobin algorithm = iota + 1
	hashing
	leastConnections
	peakEWMA
	stickySessions
)

func algorithmOf(u *entity.Upstream) algorithm {
	switch u.Algorithm {
	case "least-connections":
		return leastConnections
	case "latency":
		return peakEWMA
	case "consistent-hashing":
		return hashing
	case "sticky-sessions":
		return stickySessions
	default:
		return roundRobin
	}
}

// choose picks one of the usable addresses, of which not all were tried.
func (u *Upstream) choose(l *live, x *pdk.Exchange, skip *Skip) *address {
	if len(l.usable) == 1 && u.algorithm != stickySessions && u.algorithm != hashing {
		return l.usable[0]
	}
	switch u.algorithm {
	case hashing:
		if key, ok := u.hashKey(x); ok {
			return rendezvous(l, key, skip)
		}
	case stickySessions:
		if a := u.held(l, x, skip); a != nil {
			return a
		}
		a := u.turn(l, skip)
		u.hold(l, x, a)
		return a
	case leastConnections:
		return u.least(l, x, skip, connectionsOf)
	case peakEWMA:
		return u.least(l, x, skip, latencyOf)
	}
	return u.turn(l, skip)
}

// maxWheel bounds the wheel of a round robin: so many places for each address. More
// weights than that are spread without a wheel, evenly but not in rounds.
const maxWheel = 128

// wheelOf makes a wheel with as many places for an address as its weight, spread evenly,
// or nil when that would be too many.
func wheelOf(list []*address) []uint16 {
	divisor, sum := uint64(0), uint64(0)
	for _, a := range list {
		divisor = gcd(divisor, uint64(a.weight))
		sum += uint64(a.weight)
	}
	places := sum / divisor
	if places > uint64(len(list)*maxWheel) || len(list) > 1<<16 {
		return nil
	}
	// Each place goes to the address that is furthest behind its share.
	wheel := make([]uint16, places)
	if places == uint64(len(list)) {
		for i := range wheel {
			wheel[i] = uint16(i) //nolint:gosec // bounded above
		}
		return wheel
	}
	order := newTurns(list, divisor)
	for i := range wheel {
		wheel[i] = order.next()
	}
	return wheel
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// turn gives the next address in turn, by weight.
func (u *Upstream) turn(l *live, skip *Skip) *address {
	at := u.group.hand.Add(1) - 1
	a := l.place(at)
	if skip.n == 0 && !l.ramping {
		return a
	}
	now := int64(0)
	if l.ramping {
		now = time.Now().UnixNano()
	}
	for range 2 * len(l.usable) {
		if !skip.has(a.state) && (now == 0 || rand.Float64() < a.state.ramp(now, u.slowStart)) {
			return a
		}
		at = u.group.hand.Add(1) - 1
		a = l.place(at)
	}
	// Light addresses have their turn rarely: the first that was not tried it is.
	start := rand.IntN(len(l.usable))
	for i := range l.usable {
		if b := l.usable[(start+i)%len(l.usable)]; !skip.has(b.state) {
			return b
		}
	}
	return a
}

// golden is 2 to the 64 by the golden ratio: its multiples are spread as evenly as can be
// over the whole range, however many of them there are.
const golden = 0x9e3779b97f4a7c15

// place is the address whose turn the n-th is.
func (l *live) place(n uint64) *address {
	if l.wheel != nil {
		return l.usable[l.wheel[n%uint64(len(l.wheel))]]
	}
	return l.weighted(n * golden)
}

// weighted is the address that a point of the range belongs to, which is divided by
// weight.
func (l *live) weighted(point uint64) *address {
	hi, _ := bits.Mul64(point, l.sums[len(l.sums)-1])
	low, high := 0, len(l.sums)-1
	for low < high {
		if mid := (low + high) / 2; l.sums[mid] > hi {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return l.usable[low]
}
