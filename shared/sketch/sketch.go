// Package sketch says how latencies are counted on both planes: in buckets whose width
// grows with the latency, so that a quantile is off by 6 % at most whatever it is, and
// sketches of any number of nodes and seconds add up to the sketch of all. It owns where
// buckets begin and how a quantile is read; it refuses to keep counts, which each plane
// does in its own way.
package sketch

import (
	"math/bits"
	"time"
)

const (
	// perOctave is how many buckets there are from a latency to its double.
	perOctave = 1 << octaveBits
	// octaveBits is the logarithm of that.
	octaveBits = 3
	octaves    = 25
)

// Buckets is how many there are: from below a microsecond to more than 120 seconds. It
// is a part of the protocol.
const Buckets = octaves * perOctave

// Bucket returns the bucket of a latency; one that is negative counts as none at all, one
// that is too long as the longest.
func Bucket(d time.Duration) int {
	if d < 0 {
		return 0
	}
	us := uint64(d) / 1000
	if us < perOctave {
		return int(us)
	}
	shift := bits.Len64(us) - octaveBits - 1
	return min((shift+1)<<octaveBits+int(us>>shift)&(perOctave-1), Buckets-1)
}

// Bounds returns where a bucket begins and ends.
func Bounds(bucket int) (from, to time.Duration) {
	if bucket < perOctave {
		return time.Duration(bucket) * time.Microsecond, time.Duration(bucket+1) * time.Microsecond
	}
	shift := bucket>>octaveBits - 1
	low := perOctave + bucket&(perOctave-1)
	return time.Duration(low<<shift) * time.Microsecond, time.Duration((low+1)<<shift) * time.Microsecond
}

// Counts are how many latencies each bucket has.
type Counts [Buckets]uint64

// Total is how many latencies there are.
func (c *Counts) Total() (n uint64) {
	for _, v := range c {
		n += v
	}
	return n
}

// Quantile returns the latency that a part q, from 0 to 1, of all does not exceed; 0 when
// there are none.
func (c *Counts) Quantile(q float64) time.Duration {
	total := c.Total()
	if total == 0 {
		return 0
	}
	rank := min(max(q, 0), 1) * float64(total)
	below := 0.0
	last := time.Duration(0)
	for i, v := range c {
		if v == 0 {
			continue
		}
		from, to := Bounds(i)
		if n := float64(v); below+n >= rank {
			return from + time.Duration(float64(to-from)*(rank-below)/n)
		}
		below += float64(v)
		last = to
	}
	return last
}

// Mean returns the average, taking each latency as the middle of its bucket.
func (c *Counts) Mean() time.Duration {
	n, sum := uint64(0), 0.0
	for i, v := range c {
		if v > 0 {
			from, to := Bounds(i)
			n += v
			sum += float64(v) * float64(from+to) / 2
		}
	}
	if n == 0 {
		return 0
	}
	return time.Duration(sum / float64(n))
}
