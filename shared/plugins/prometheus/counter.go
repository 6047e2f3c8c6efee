package prometheus

import (
	"math/bits"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
)

// shards is a power of two: as many as there are processors, but not more than 8.
var shards = min(8, 1<<bits.Len(uint(runtime.GOMAXPROCS(0)-1)))

// shard picks one at random: two processors seldom meet in one.
func shard() int { return int(rand.Uint32()) & (shards - 1) }

// counter counts up.
type counter struct{ cells []cell }

type cell struct {
	n atomic.Uint64
	_ [56]byte // no other shard shares the cache line
}

func newCounter() counter { return counter{make([]cell, shards)} }

func (c *counter) add(n uint64) { c.cells[shard()].n.Add(n) }

func (c *counter) total() (n uint64) {
	for i := range c.cells {
		n += c.cells[i].n.Load()
	}
	return n
}

// Kong's buckets, in milliseconds.
var (
	kongBuckets     = []int64{1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000}
	upstreamBuckets = []int64{25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10000, 30000, 60000}
)

// histogram counts values by bucket. A shard has the buckets, what is above them, and the
// sum.
type histogram struct {
	bounds []int64
	cells  []atomic.Uint64
	width  int
}

func newHistogram(bounds []int64) histogram {
	width := (len(bounds) + 2 + 7) &^ 7
	return histogram{bounds: bounds, cells: make([]atomic.Uint64, width*shards), width: width}
}

func (h *histogram) observe(v int64) {
	i := 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	at := shard() * h.width
	h.cells[at+i].Add(1)
	h.cells[at+len(h.bounds)+1].Add(uint64(v))
}

// read adds all shards up: the values in each bucket alone, those above all, the sum.
func (h *histogram) read(buckets []uint64) (_ []uint64, sum uint64) {
	buckets = append(buckets[:0], make([]uint64, len(h.bounds)+1)...)
	for at := 0; at < len(h.cells); at += h.width {
		for i := range buckets {
			buckets[i] += h.cells[at+i].Load()
		}
		sum += h.cells[at+len(h.bounds)+1].Load()
	}
	return buckets, sum
}
