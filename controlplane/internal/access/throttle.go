package access

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"
)

// Bounds of a Throttle.
const (
	// free failures of an address are answered at once.
	free = 5
	// firstDelay holds the answer to the next failure, and doubles with each.
	firstDelay = 250 * time.Millisecond
	// longestDelay is where that ends.
	longestDelay = 10 * time.Second
	// forget is how long an address must be quiet to begin afresh.
	forget = 10 * time.Minute
	// mostHeld bounds the answers that are held for one address: more requests without a
	// token that is good are refused without being looked at.
	mostHeld = 4
	// mostAddresses bounds the memory; the address that failed longest ago is forgotten.
	mostAddresses = 10_000
)

// TooMany stands for an answer that can not be held any more.
const TooMany time.Duration = -1

// Throttle slows those down who try tokens that are not good, by address. The networks of
// 64 bits that clients of IPv6 choose addresses in count as one. It is safe for concurrent
// use and its memory is bounded. The zero value is not usable: see NewThrottle.
type Throttle struct {
	now func() time.Time

	mu        sync.Mutex
	addresses map[netip.Addr]*list.Element // of *failures
	recent    *list.List                   // the most recent failure first
}

type failures struct {
	address netip.Addr
	count   int
	held    int
	last    time.Time
}

// NewThrottle makes a throttle; now nil means time.Now.
func NewThrottle(now func() time.Time) *Throttle {
	if now == nil {
		now = time.Now
	}
	return &Throttle{now: now, addresses: map[netip.Addr]*list.Element{}, recent: list.New()}
}

// Blocked tells whether so many answers are held for an address that no more of its
// tokens are looked at, and after how long it should try again.
func (t *Throttle) Blocked(address netip.Addr) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.addresses[network(address)]
	if e == nil {
		return 0, false
	}
	f := e.Value.(*failures)
	return delay(f.count), f.held >= mostHeld
}

// Hold waits as long as somebody must who tried a token that is not good, and returns
// false when too many wait already.
func (t *Throttle) Hold(ctx context.Context, address netip.Addr) bool {
	wait, release := t.Failed(address)
	defer release()
	if wait <= 0 {
		return wait != TooMany
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return true
}

// Failed notes that a token was not good, and returns how long the answer must be held and
// what to call once it was. It is TooMany when as many are held as may be, which those who
// come at the same moment find out only here.
func (t *Throttle) Failed(address netip.Addr) (hold time.Duration, release func()) {
	address = network(address)
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.addresses[address]
	if e == nil {
		if t.recent.Len() >= mostAddresses {
			oldest := t.recent.Back()
			delete(t.addresses, oldest.Value.(*failures).address)
			t.recent.Remove(oldest)
		}
		e = t.recent.PushFront(&failures{address: address})
		t.addresses[address] = e
	}
	f := e.Value.(*failures)
	if now.Sub(f.last) > forget {
		f.count = 0
	}
	f.count++
	f.last = now
	t.recent.MoveToFront(e)
	hold = delay(f.count)
	switch {
	case hold == 0:
		return 0, func() {}
	case f.held >= mostHeld:
		return TooMany, func() {}
	}
	f.held++
	return hold, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		f.held--
	}
}

func delay(count int) time.Duration {
	if count <= free {
		return 0
	}
	d := firstDelay
	for range count - free - 1 {
		if d *= 2; d >= longestDelay {
			return longestDelay
		}
	}
	return d
}

// network is what counts as one address.
func network(address netip.Addr) netip.Addr {
	address = address.Unmap().WithZone("")
	if address.Is6() {
		if p, err := address.Prefix(64); err == nil {
			return p.Masked().Addr()
		}
	}
	return address
}
