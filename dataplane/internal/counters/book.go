package counters

import (
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/shared/sketch"
)

// book is where workers note what requests did, until it is full or a slice ends.
type book struct {
	mu    sync.Mutex
	used  int
	notes [256]note
	_     [64]byte // no other one shares a cache line
}

// note is a Sample, made small.
type note struct {
	series                           *Series
	in, out                          int64
	failed                           uint32
	status, total, upstream, gateway uint8 // the slot and the buckets
}

// unmeasured is the bucket of what was not measured.
const unmeasured = 0xff

// All buckets and slots must be different from it.
const _ = uint(unmeasured - max(sketch.Buckets, statusSlots))

// Add counts a request of a series. Workers with different numbers seldom meet.
func (s *Set) Add(worker uint32, series *Series, m *Sample) {
	mask := uint32(len(s.books) - 1)
	b := s.books[worker&mask]
	if !b.mu.TryLock() {
		// Who has it may have lost its processor.
		if b = s.books[(worker+1)&mask]; !b.mu.TryLock() {
			b.mu.Lock()
		}
	}
	b.notes[b.used] = note{
		series: series, in: max(m.In, 0), out: max(m.Out, 0), failed: uint32(max(m.Failed, 0)), status: uint8(statusSlot(m.Status)),
		total: bucket(m.Total), upstream: bucket(m.Upstream), gateway: bucket(m.Gateway),
	}
	if b.used++; b.used == len(b.notes) {
		s.count(b)
	}
	b.mu.Unlock()
}

func bucket(d time.Duration) uint8 {
	if d < 0 {
		return unmeasured
	}
	return uint8(sketch.Bucket(d))
}

// count empties a book that is locked into the series.
func (s *Set) count(b *book) {
	if b.used == 0 {
		return
	}
	s.counting.Lock()
	defer s.counting.Unlock()
	for i := range b.notes[:b.used] {
		n := &b.notes[i]
		c := n.series
		c.requests++
		c.statuses[n.status]++
		c.in += uint64(n.in)
		c.out += uint64(n.out)
		c.failed += uint64(n.failed)
		if n.total != unmeasured {
			c.total[n.total]++
		}
		if n.upstream != unmeasured {
			c.upstream[n.upstream]++
		}
		if n.gateway != unmeasured {
			c.gateway[n.gateway]++
		}
	}
	b.used = 0
}
