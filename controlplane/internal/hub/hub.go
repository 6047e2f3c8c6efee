// Package hub knows the nodes: which are connected, what each serves, what it was sent
// and what it refused. It owns a cursor a node and nothing that grows with what a node
// has missed, releases whoever waits for a position to be applied, and asks nodes
// questions on behalf of the Admin API. It refuses to know the wire: rpc moves what a
// Session wants moved.
package hub

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/controlplane/internal/snapshot"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// Options of a Hub.
type Options struct {
	Store  store.Store
	Source *snapshot.Source
	// PurgeDelay is how long a node that went away stays listed; 0 means 14 days.
	PurgeDelay time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Hub is the fleet. It is safe for concurrent use.
type Hub struct {
	o   Options
	log hclog.Logger

	mu       sync.Mutex
	nodes    map[string]*node
	head     store.Position
	target   store.Position // what the round under way leads to
	round    round
	slots    slots
	changed  chan struct{} // closed and replaced when a node's position changes
	waiting  int           // how many wait for changed
	dirty    bool          // nodes differ from what is stored
	stopping bool
	commands uint64
	// connected is how many nodes have a session.
	connected int
	ledger    ledger
	sent      sent
}

// node is a row of the fleet, connected or not.
type node struct {
	Row
	session *Session // nil when not connected
	facts   Facts    // what it has told last
	number  uint32   // in the ledger
}

// New makes a hub with the nodes that the store remembers.
func New(o Options) (*Hub, error) {
	if o.Store == nil || o.Source == nil {
		return nil, errors.New("hub needs a store and a snapshot source")
	}
	if o.PurgeDelay == 0 {
		o.PurgeDelay = 14 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	h := &Hub{
		o: o, log: o.Logger, nodes: map[string]*node{}, changed: make(chan struct{}),
		slots: slots{taken: map[*Session]time.Time{}},
	}
	var err error
	if h.head, err = o.Store.Position(); err != nil {
		return nil, err
	}
	h.target = h.head
	return h, h.load()
}

const persistEvery = 5 * time.Second

// Run wakes nodes when the store changes and keeps the list of nodes, until ctx ends.
func (h *Hub) Run(ctx context.Context) error {
	positions, cancel := h.o.Store.Notify()
	defer cancel()
	ticker := time.NewTicker(persistEvery)
	defer ticker.Stop()
	late := time.NewTimer(roundTime)
	defer late.Stop()
	// What was committed before Notify.
	if p, err := h.o.Store.Position(); err == nil {
		h.lead(p)
	}
	for {
		select {
		case <-ctx.Done():
			return h.persist(context.WithoutCancel(ctx))
		case p := <-positions:
			if !h.lead(p) {
				late.Reset(roundTime)
			}
		case <-late.C:
			if !h.hurry() {
				late.Reset(roundTime)
			}
		case <-ticker.C:
			h.o.Source.Trim()
			h.mu.Lock()
			h.slots.grantLocked(h.o.Now())
			h.mu.Unlock()
			if err := h.persist(ctx); err != nil && ctx.Err() == nil {
				h.log.Warn("list of nodes is not stored", "error", err)
			}
		}
	}
}

// Stop ends all sessions with a goodbye and refuses new ones.
func (h *Hub) Stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopping = true
	for _, n := range h.nodes {
		if n.session != nil {
			n.session.end("control plane stops", time.Second)
		}
	}
}

// announceLocked releases who waits for positions.
func (h *Hub) announceLocked() {
	if h.waiting > 0 {
		close(h.changed)
		h.changed = make(chan struct{})
		h.waiting = 0
	}
}
