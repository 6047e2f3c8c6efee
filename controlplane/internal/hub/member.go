package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Errors of asking for one node.
var (
	ErrUnknown      = errors.New("there is no such node")
	ErrNotConnected = errors.New("the node is not connected")
)

// Online tells whether a node has a session.
func (h *Hub) Online(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nodes[id]
	return n != nil && n.session != nil
}

// Known tells whether a node is listed.
func (h *Hub) Known(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.nodes[id] != nil
}

// Renewed notes when a node's new certificate expires. Its stream goes on with the old one.
func (h *Hub) Renewed(id string, expires time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.nodes[id]; n != nil {
		n.CertExpiry = expires
		h.dirty = true
	}
}

// Evict ends a node's session, when it has one, and says why. retry is how long it should
// stay away.
func (h *Hub) Evict(id, reason string, retry time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.nodes[id]; n != nil && n.session != nil {
		h.log.Warn("node is parted with", "node_id", id, "hostname", n.Hostname, "reason", reason)
		n.session.end(reason, retry)
	}
}

// Remove takes a node that is not connected off the list. It tells whether it was there.
func (h *Hub) Remove(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.nodes[id]
	if n == nil || n.session != nil && !n.session.ended {
		return false
	}
	delete(h.nodes, id) // a session that ends keeps what it has of it
	h.dirty = true
	h.announceLocked()
	return true
}

// Command asks one connected node, and waits for its answer until ctx ends.
func (h *Hub) Command(ctx context.Context, id, target, name string, arguments any) (json.RawMessage, error) {
	encoded, err := json.Marshal(arguments)
	if err != nil {
		return nil, fmt.Errorf("encode arguments of %s %s: %w", target, name, err)
	}
	h.mu.Lock()
	n := h.nodes[id]
	if n == nil || n.session == nil || n.session.ended {
		h.mu.Unlock()
		if n == nil {
			return nil, ErrUnknown
		}
		return nil, ErrNotConnected
	}
	session := n.session
	c := h.askLocked(session, target, name, encoded)
	h.mu.Unlock()
	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
		session.forget(c)
		return nil, fmt.Errorf("no answer from the node: %w", ctx.Err())
	}
}

// askLocked has a session ask its node; h.mu is held.
func (h *Hub) askLocked(s *Session, target, name string, arguments json.RawMessage) *Command {
	h.commands++
	c := &Command{ID: h.commands, Target: target, Name: name, Arguments: arguments, done: make(chan struct{})}
	s.commands = append(s.commands, c)
	s.wake()
	return c
}
