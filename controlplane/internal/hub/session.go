package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/snapshot"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// Hello is how a node introduces itself.
type Hello struct {
	NodeID, BootID, Hostname, Version, IP string
	Labels                                map[string]string
	Position                              store.Position
	Source                                string
	CertExpiry                            time.Time
}

// Errors of Connect.
var (
	ErrStopping  = errors.New("control plane stops")
	ErrDuplicate = errors.New("another process with this node id is connected")
)

// Session is one connected node. Next is called by one goroutine, the others by another.
type Session struct {
	hub     *Hub
	node    *node
	boot    string
	signal  chan struct{} // capacity 1
	created time.Time

	// guarded by hub.mu
	held        bool
	outstanding store.Position // sent and not answered
	skip        store.Position // refused; nothing is sent until the head is another
	force       bool           // the node asked for a repair
	repaired    store.Position // what the last repair led to
	commands    []*Command
	pending     map[uint64]*Command
	replies     []any
	ended       bool
	goodbye     string
	retry       time.Duration
}

// Connect makes a node's session. A node that comes back before its old connection was
// missed replaces it; a node id that two processes use at the same time is ErrDuplicate
// for the second.
func (h *Hub) Connect(hello Hello) (*Session, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopping {
		return nil, ErrStopping
	}
	now := h.o.Now()
	n := h.nodes[hello.NodeID]
	if n == nil {
		n = &node{Row: Row{ID: hello.NodeID, CreatedAt: now}}
		h.nodes[hello.NodeID] = n
	}
	if old := n.session; old != nil {
		if old.boot != hello.BootID && now.Sub(n.LastSeen) < 2*BeatInterval {
			h.log.Warn("two processes use one node id", "node_id", hello.NodeID, "hostname", hello.Hostname, "ip", hello.IP, "other_ip", n.IP)
			return nil, ErrDuplicate
		}
		old.end("the node has connected again", 0)
	}
	s := &Session{hub: h, node: n, boot: hello.BootID, signal: make(chan struct{}, 1), pending: map[uint64]*Command{}, created: now}
	n.session = s
	n.Hostname, n.IP, n.Version, n.Labels = hello.Hostname, hello.IP, hello.Version, hello.Labels
	n.Position, n.Persisted, n.Source = hello.Position, store.Position{}, hello.Source
	n.CertExpiry, n.LastSeen, n.Reason, n.RefusedAt, n.Refusals = hello.CertExpiry, now, "", nil, nil
	h.dirty = true
	h.announceLocked()
	s.wake()
	h.log.Info("node connected", "node_id", n.ID, "hostname", n.Hostname, "ip", n.IP, "version", n.Version, "revision", n.Position.Revision)
	return s, nil
}

// BeatInterval is how often both sides say that they live. Three missed end a session.
const BeatInterval = 5 * time.Second

// Close ends the session from the wire's side.
func (s *Session) Close(reason error) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.ended = true
	for id, c := range s.pending {
		delete(s.pending, id)
		c.answer(nil, errors.New("the node has disconnected"))
	}
	for _, c := range s.commands {
		c.answer(nil, errors.New("the node has disconnected"))
	}
	s.commands, s.replies = nil, nil
	if s.node.session != s {
		return
	}
	s.node.session = nil
	s.node.LastSeen = h.o.Now()
	h.dirty = true
	h.announceLocked()
	h.log.Info("node disconnected", "node_id", s.node.ID, "hostname", s.node.Hostname, "reason", reason)
}

func (s *Session) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// end makes Next say goodbye; hub.mu is held.
func (s *Session) end(reason string, retry time.Duration) {
	if !s.ended {
		s.ended, s.goodbye, s.retry = true, reason, retry
		s.wake()
	}
}

// Delivery is what a node is to be sent. One field is set.
type Delivery struct {
	Step    *snapshot.Step
	Command *Command
	// Reply is what was given to Session.Reply.
	Reply   any
	Beat    bool
	Goodbye *Goodbye
}

// Goodbye ends a session.
type Goodbye struct {
	Reason string
	Retry  time.Duration
}

// Head returns what the control plane's beats carry.
func (s *Session) Head() store.Position {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return s.hub.head
}

// Next waits for something to send. beat asks for a heartbeat. After a Goodbye or an
// error there is nothing more.
func (s *Session) Next(ctx context.Context, beat <-chan time.Time) (Delivery, error) {
	for {
		d, err := s.due()
		if err != nil || d != (Delivery{}) {
			return d, err
		}
		select {
		case <-ctx.Done():
			return Delivery{}, ctx.Err()
		case <-s.signal:
		case <-beat:
			return Delivery{Beat: true}, nil
		}
	}
}

// due returns what is to be sent now. The step is made outside of the lock.
func (s *Session) due() (Delivery, error) {
	h := s.hub
	h.mu.Lock()
	if s.ended {
		defer h.mu.Unlock()
		return Delivery{Goodbye: &Goodbye{s.goodbye, s.retry}}, nil
	}
	if len(s.commands) > 0 {
		defer h.mu.Unlock()
		c := s.commands[0]
		s.commands = s.commands[1:]
		s.pending[c.ID] = c
		return Delivery{Command: c}, nil
	}
	if len(s.replies) > 0 {
		defer h.mu.Unlock()
		r := s.replies[0]
		s.replies = s.replies[1:]
		return Delivery{Reply: r}, nil
	}
	from, force := s.node.Position, s.force
	idle := s.outstanding != store.Position{} || from == h.head && !force || s.skip != store.Position{} && s.skip == h.head
	h.mu.Unlock()
	if idle {
		return Delivery{}, nil
	}
	step, err := h.o.Source.Step(from, force)
	if err != nil {
		return Delivery{}, fmt.Errorf("prepare configuration: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s.held = step.Plan == snapshot.Held
	if s.held && s.node.Reason != step.Reason {
		s.node.Reason = step.Reason
		h.log.Error("node is ahead of the store and held", "node_id", s.node.ID, "reason", step.Reason)
	}
	if len(step.Messages) == 0 {
		return Delivery{}, nil
	}
	s.outstanding, s.force = step.To, false
	if step.Plan == snapshot.Repair {
		s.repaired = step.To
	}
	return Delivery{Step: step}, nil
}

// Plan tells how the node would get to the head, for its welcome.
func (s *Session) Plan() (*snapshot.Step, error) {
	s.hub.mu.Lock()
	from := s.node.Position
	s.hub.mu.Unlock()
	return s.hub.o.Source.Step(from, false)
}

// Applied notes that the node serves a position that it was sent.
func (s *Session) Applied(p store.Position, took time.Duration) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.seenLocked()
	if p != s.outstanding {
		return // of another try, or made up
	}
	n := s.node
	s.outstanding, s.skip = store.Position{}, store.Position{}
	n.Position, n.Source, n.AppliedAt, n.ApplyTime = p, "stream", n.LastSeen, took
	n.RefusedAt, n.Refusals, n.Reason = nil, nil, ""
	h.dirty = true
	h.announceLocked()
	if p != h.head {
		s.wake()
	}
}

// Persisted notes that the node has what it serves on disk.
func (s *Session) Persisted(p store.Position) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.seenLocked()
	if p == s.node.Position {
		s.node.Persisted = p
	}
}

// Rejected notes that the node does not use a position, and why.
func (s *Session) Rejected(p, serving store.Position, why []Refusal) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.seenLocked()
	if p != s.outstanding {
		return
	}
	n := s.node
	s.outstanding, s.skip = store.Position{}, p
	n.RefusedAt, n.Refusals = &p, why
	h.dirty = true
	h.announceLocked()
	message := "no reason given"
	if len(why) > 0 {
		message = why[0].Message
	}
	h.log.Warn("node refuses configuration", "node_id", n.ID, "hostname", n.Hostname, "revision", p.Revision, "serving", serving.Revision, "errors", len(why), "first", message)
	s.wake()
}

// Diverged notes that what the node has is not what its position says.
func (s *Session) Diverged(p, serving store.Position) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.seenLocked()
	again := s.repaired != store.Position{} && s.repaired == s.outstanding
	s.outstanding = store.Position{}
	if again {
		// A whole snapshot did not help: the node would ask forever.
		s.skip = h.head
		s.node.RefusedAt, s.node.Refusals = &p, []Refusal{{Message: "the node computes another root from the whole configuration"}}
		h.announceLocked()
		h.log.Error("node diverges after a repair", "node_id", s.node.ID, "revision", p.Revision)
		return
	}
	s.node.Position, s.force = serving, true
	h.log.Warn("node diverged and is repaired", "node_id", s.node.ID, "revision", p.Revision)
	s.wake()
}

// Beat notes that the node lives, and what it tells about itself: nothing when nothing
// has changed.
func (s *Session) Beat(told []byte) {
	r := report(told)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.seenLocked()
	if r != nil {
		s.node.report = r
	}
}

func (s *Session) seenLocked() { s.node.LastSeen = s.hub.o.Now() }

// Command is a question to a node.
type Command struct {
	ID           uint64
	Target, Name string
	Arguments    json.RawMessage

	done chan struct{}
	// set before done is closed
	result json.RawMessage
	err    error
}

func (c *Command) answer(result json.RawMessage, err error) {
	c.result, c.err = result, err
	close(c.done)
}

// Answered notes the answer to a command.
func (s *Session) Answered(id uint64, result json.RawMessage, err error) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.seenLocked()
	if c := s.pending[id]; c != nil {
		delete(s.pending, id)
		c.answer(result, err)
	}
}
