package retry

import (
	"sync"
	"time"
)

// window is how long requests and further tries count.
const window = 10 * time.Second

// budget bounds further tries to a share of the requests, so that a service that fails
// is not called several times as often as one that does not. It counts in slots of a
// second each.
type budget struct {
	mu    sync.Mutex
	slots [window / time.Second]slot
}

type slot struct {
	second            int64
	requests, retries int
}

// at returns the slot of a second, empty when it has begun.
func (b *budget) at(now time.Time) *slot {
	second := now.Unix()
	s := &b.slots[uint64(second)%uint64(len(b.slots))] //nolint:gosec // only its remainder counts
	if s.second != second {
		*s = slot{second: second}
	}
	return s
}

func (b *budget) request(now time.Time) {
	b.mu.Lock()
	b.at(now).requests++
	b.mu.Unlock()
}

// take tells whether there may be another try, and counts it.
func (b *budget) take(now time.Time, percent float64, least int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	requests, retries := 0, 0
	oldest := now.Unix() - int64(len(b.slots))
	for i := range b.slots {
		if s := &b.slots[i]; s.second > oldest && s.second <= now.Unix() {
			requests += s.requests
			retries += s.retries
		}
	}
	if retries >= least && float64(retries+1) > percent/100*float64(requests) {
		return false
	}
	b.at(now).retries++
	return true
}
