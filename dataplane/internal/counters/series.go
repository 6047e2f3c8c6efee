package counters

import (
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

// Series are the counters of one key.
type Series struct {
	// key and used are for the set.
	key  Key
	used time.Time

	// What follows is counted since the last cut, under the set's counting.
	requests                 uint64
	statuses                 [statusSlots]uint32
	in, out, failed          uint64
	total, upstream, gateway [sketch.Buckets]uint32
}

// cut takes what was counted since the last time. It returns false when there is nothing.
func (s *Series) cut(d *Delta) bool {
	if s.requests == 0 {
		return false
	}
	d.Key, d.requests, d.In, d.Out, d.Failed = s.key, s.requests, s.in, s.out, s.failed
	s.requests, s.in, s.out, s.failed = 0, 0, 0, 0
	d.Statuses = take(s.statuses[:])
	for i := range d.Statuses {
		d.Statuses[i].Of = uint32(slotStatus[d.Statuses[i].Of])
	}
	d.Total, d.Upstream, d.Gateway = take(s.total[:]), take(s.upstream[:]), take(s.gateway[:])
	return true
}

// take takes the cells that are not 0.
func take(cells []uint32) []Count {
	used := 0
	for _, n := range cells {
		if n != 0 {
			used++
		}
	}
	if used == 0 {
		return nil
	}
	out := make([]Count, 0, used)
	for i, n := range cells {
		if n != 0 {
			out = append(out, Count{uint32(i), n})
		}
	}
	clear(cells)
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
