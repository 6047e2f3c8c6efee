package counters

import (
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/shared/sketch"
)

// Sample is what one request did.
type Sample struct {
	Status int
	// In and Out are bytes from and to the client, Failed how many tries failed.
	In, Out int64
	Failed  int
	// Total is the time from the first byte of the request to the last one of the answer,
	// Upstream from sending the request on to the head of its answer, Gateway until it was
	// sent on. What is negative was not measured.
	Total, Upstream, Gateway time.Duration
}

// Series are the counters of one key. It is safe for concurrent use.
type Series struct {
	// shards has one at first, and as many as there are workers once there is much to
	// count. Its length is a power of two.
	shards  atomic.Pointer[[]*shard]
	retired atomic.Bool

	// used and key are for the set.
	key  Key
	used time.Time
}

// shard is where one worker counts.
type shard struct {
	statuses                 [statusSlots]atomic.Uint32
	in, out, failed          atomic.Uint64
	total, upstream, gateway [sketch.Buckets]atomic.Uint32
	_                        [64]byte // no other one shares a cache line
}

// Add counts a request. Workers with different numbers seldom meet.
func (s *Series) Add(worker uint32, m *Sample) {
	shards := *s.shards.Load()
	c := shards[int(worker)&(len(shards)-1)]
	if m.Total >= 0 {
		c.total[sketch.Bucket(m.Total)].Add(1)
	}
	if m.Upstream >= 0 {
		c.upstream[sketch.Bucket(m.Upstream)].Add(1)
	}
	if m.Gateway >= 0 {
		c.gateway[sketch.Bucket(m.Gateway)].Add(1)
	}
	if m.In > 0 {
		c.in.Add(uint64(m.In))
	}
	if m.Out > 0 {
		c.out.Add(uint64(m.Out))
	}
	if m.Failed > 0 {
		c.failed.Add(uint64(m.Failed))
	}
	// Last: whoever cuts a slice looks at the rest only where there is a status.
	c.statuses[statusSlot(m.Status)].Add(1)
}

// grow gives each worker a shard; what was counted stays in the first one.
func (s *Series) grow(n int) {
	old := *s.shards.Load()
	if len(old) >= n {
		return
	}
	next := make([]*shard, n)
	copy(next, old)
	for i := len(old); i < n; i++ {
		next[i] = &shard{}
	}
	s.shards.Store(&next)
}

// cut takes what was counted since the last time. It returns false when there is nothing.
func (s *Series) cut(d *Delta) bool {
	shards := *s.shards.Load()
	var statuses [statusSlots]uint32
	found := false
	for _, c := range shards {
		for i := range c.statuses {
			if c.statuses[i].Load() != 0 {
				statuses[i] += c.statuses[i].Swap(0)
				found = true
			}
		}
	}
	if !found {
		return false
	}
	d.Key = s.key
	for i, n := range statuses {
		if n > 0 {
			d.Statuses = append(d.Statuses, Count{uint32(slotStatus[i]), n})
			d.requests += uint64(n)
		}
	}
	var sum [sketch.Buckets]uint32
	for _, c := range shards {
		d.In += c.in.Swap(0)
		d.Out += c.out.Swap(0)
		d.Failed += c.failed.Swap(0)
	}
	d.Total = cutSketch(shards, &sum, func(c *shard) *[sketch.Buckets]atomic.Uint32 { return &c.total })
	d.Upstream = cutSketch(shards, &sum, func(c *shard) *[sketch.Buckets]atomic.Uint32 { return &c.upstream })
	d.Gateway = cutSketch(shards, &sum, func(c *shard) *[sketch.Buckets]atomic.Uint32 { return &c.gateway })
	return true
}

func cutSketch(shards []*shard, sum *[sketch.Buckets]uint32, of func(*shard) *[sketch.Buckets]atomic.Uint32) []Count {
	clear(sum[:])
	used := 0
	for _, c := range shards {
		cells := of(c)
		for i := range cells {
			if cells[i].Load() != 0 {
				if sum[i] == 0 {
					used++
				}
				sum[i] += cells[i].Swap(0)
			}
		}
	}
	if used == 0 {
		return nil
	}
	out := make([]Count, 0, used)
	for i, n := range sum {
		if n > 0 {
			out = append(out, Count{uint32(i), n})
		}
	}
	return out
}

// known are the statuses that are counted one by one, the others by class.
var known = [...]uint16{
	100, 101, 103, 200, 201, 202, 203, 204, 205, 206, 207, 300, 301, 302, 303, 304, 307, 308,
	400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 494, 499,
	500, 501, 502, 503, 504, 505, 507, 508, 511,
}

const (
	classes     = 6 // 0 for what is no status
	statusSlots = len(known) + classes
)

// slots are the places of statuses, slotStatus the statuses of places.
var slots, slotStatus = func() (at [600]uint8, status [statusSlots]uint16) {
	for i := range classes {
		status[i] = uint16(i)
	}
	for i := range at {
		at[i] = uint8(i / 100)
	}
	for i, s := range known {
		at[s] = uint8(classes + i)
		status[classes+i] = s
	}
	return at, status
}()

func statusSlot(status int) int {
	if uint(status) >= uint(len(slots)) {
		return 0
	}
	return int(slots[status])
}
