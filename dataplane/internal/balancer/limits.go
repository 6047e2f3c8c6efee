package balancer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
)

// limiter bounds what a node does at an upstream at the same time.
type limiter struct {
	on atomic.Bool // else nothing is counted

	mu          sync.Mutex
	limits      entity.UpstreamLimits
	requests    int // those that wait among them
	connections int
	waiting     []chan struct{} // the one that waits for longest is at the front
}

// Refusal says which limit a request was refused for, "" for none.
type Refusal string

// Refusals.
const (
	RefusedRequests Refusal = "max_requests"
	RefusedPending  Refusal = "max_pending"
	RefusedTimeout  Refusal = "pending_timeout"
)

func (l *limiter) configure(e *entity.UpstreamLimits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e == nil {
		l.limits = entity.UpstreamLimits{}
		l.on.Store(false)
	} else {
		l.limits = *e
		l.on.Store(true)
	}
	l.wakeLocked()
}

func (l *limiter) load() (requests, pending int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests, len(l.waiting)
}

// Admit lets a request in, which waits when all connections are in use. When it returns
// true Leave must follow; a refusal says why not, "" with false that nothing is counted.
func (u *Upstream) Admit(ctx context.Context) (admitted bool, why Refusal) {
	l := &u.group.limit
	if !l.on.Load() {
		return false, ""
	}
	l.mu.Lock()
	switch {
	case l.limits.MaxRequests > 0 && l.requests >= l.limits.MaxRequests:
		l.mu.Unlock()
		return false, RefusedRequests
	case l.limits.MaxConnections <= 0 || l.connections < l.limits.MaxConnections && len(l.waiting) == 0:
		l.requests++
		l.connections++
		l.mu.Unlock()
		return true, ""
	case len(l.waiting) >= l.limits.MaxPending:
		l.mu.Unlock()
		return false, RefusedPending
	}
	l.requests++
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	timeout := seconds(l.limits.PendingTimeout)
	l.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-turn:
		return true, ""
	case <-timer.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range l.waiting {
		if w == turn {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			l.requests--
			return false, RefusedTimeout
		}
	}
	return true, "" // its turn came at this very moment
}

// Leave ends what Admit let in.
func (u *Upstream) Leave() {
	l := &u.group.limit
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests--
	l.connections--
	l.wakeLocked()
}

func (l *limiter) wakeLocked() {
	for len(l.waiting) > 0 && (l.limits.MaxConnections <= 0 || l.connections < l.limits.MaxConnections) {
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
		l.connections++
	}
}
