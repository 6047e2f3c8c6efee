package bolt

import (
	"sync"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// notifier tells listeners the newest position. A listener that is slow misses
// positions in between, never the last one.
type notifier struct {
	mu        sync.Mutex
	listeners map[chan store.Position]struct{}
	closed    bool
}

func (n *notifier) add() (<-chan store.Position, func()) {
	ch := make(chan store.Position, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ch, func() {}
	}
	if n.listeners == nil {
		n.listeners = map[chan store.Position]struct{}{}
	}
	n.listeners[ch] = struct{}{}
	return ch, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.listeners, ch)
	}
}

func (n *notifier) send(p store.Position) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for ch := range n.listeners {
		select {
		case <-ch:
		default:
		}
		ch <- p // there is room: only send puts anything in
	}
}

func (n *notifier) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed, n.listeners = true, nil
}
