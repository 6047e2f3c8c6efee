package proxycache

import (
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

const (
	// collapseTimeout bounds how long a request waits for another's answer.
	collapseTimeout = 5 * time.Second
	// passTime is how long requests do not wait for each other after an answer that could
	// not be stored.
	passTime = 10 * time.Second
	// maxPassing bounds what is known of that.
	maxPassing = 4096
)

// flights are the answers that are on their way to the memory: of several requests that
// miss the same answer at the same time, one asks the upstream. It is safe for
// concurrent use.
type flights struct {
	mu      sync.Mutex
	flying  map[key]*flight
	passing map[key]time.Time
}

// flight is one answer on its way. done is closed when it is stored, or will not be.
type flight struct {
	key  key
	done chan struct{}
}

func newFlights() *flights {
	return &flights{flying: map[key]*flight{}, passing: map[key]time.Time{}}
}

// board returns a new flight, or the one to wait for. Both are nil when nobody is to wait.
func (f *flights) board(k *key, now time.Time) (own, other *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if until, ok := f.passing[*k]; ok {
		if now.Before(until) {
			return nil, nil
		}
		delete(f.passing, *k)
	}
	if other = f.flying[*k]; other != nil {
		return nil, other
	}
	own = &flight{key: *k, done: make(chan struct{})}
	f.flying[*k] = own
	return own, nil
}

// land ends a flight. stored tells whether waiting was worth it.
func (f *flights) land(own *flight, stored bool, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flying[own.key] != own {
		return
	}
	delete(f.flying, own.key)
	close(own.done)
	if stored {
		return
	}
	if len(f.passing) >= maxPassing {
		clear(f.passing)
	}
	f.passing[own.key] = now.Add(passTime)
}

// wait waits for another's answer.
func (f *flight) wait() {
	timer := time.NewTimer(collapseTimeout)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
	}
}

// collapse has a request that misses an answer wait for another that has asked for it
// already. It returns the answer if it is there then, else the flight that the request
// is on, nil for none.
func (p *plugin) collapse(x *pdk.Exchange, k *key, d *directives) (*entry, *flight) {
	own, other := p.memory.flights.board(k, x.Start)
	if other == nil {
		return nil, own
	}
	other.wait()
	e := p.memory.get(k, x.Start)
	if p.CacheControl {
		e = e.pick(&x.Request.Header, x.Start)
	}
	if e != nil && p.fresh(e, d, x) {
		return e, nil
	}
	return nil, nil
}
