package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
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
	// Joined tells that the node has a certificate of its own, made with a join token.
	Joined bool
	// Form is how the node takes messages; Repair and Manifest say that it can tell what
	// it has.
	Form             snapshot.Form
	Repair, Manifest bool
	// Refused is what the node refused last, and why.
	Refused  store.Position
	Refusals []Refusal
}

// Errors of sessions, the first two of Connect.
var (
	ErrStopping  = errors.New("control plane stops")
	ErrDuplicate = errors.New("another process with this node id is connected")
	// ErrClosed is Next's after Close.
	ErrClosed = errors.New("the session is closed")
)

// Session is one connected node. Next, Welcome and Sent are called by one goroutine, the
// others by another.
type Session struct {
	hub      *Hub
	node     *node
	boot     string
	signal   chan struct{} // capacity 1
	created  time.Time
	form     snapshot.Form
	repair   bool
	manifest bool
	over     atomic.Bool // set by end

	// guarded by hub.mu
	held        bool
	known       bool           // the node's position is one of this store's
	outstanding store.Position // sent and not answered
	sent        snapshot.Plan  // how
	skip        store.Position // refused; nothing is sent until something else is due
	diverged    snapshot.Plan  // Repair or Whole when that has to help
	transfer    *transfer      // what is being prepared
	ready       *Delivery      // of the transfer
	queued      bool           // for a slot
	round       uint64         // the last one that it was part of
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
		n = &node{Row: Row{ID: hello.NodeID, CreatedAt: now}, number: h.ledger.number()}
		h.nodes[hello.NodeID] = n
	}
	if old := n.session; old != nil {
		if old.boot != hello.BootID && now.Sub(n.LastSeen) < 2*BeatInterval {
			n.Reason = fmt.Sprintf("another process uses the same node id: %s at %s", hello.Hostname, hello.IP)
			h.log.Warn("two processes use one node id", "node_id", hello.NodeID, "hostname", hello.Hostname, "ip", hello.IP, "other_ip", n.IP)
			return nil, ErrDuplicate
		}
		old.end("the node has connected again", 0)
		h.leaveRoundLocked(old)
		h.slots.leaveLocked(old, now)
		h.ledger.appliedBy(n.number, n.Position, hello.Position, now) // it may not have told
	}
	s := &Session{
		hub: h, node: n, boot: hello.BootID, signal: make(chan struct{}, 1), pending: map[uint64]*Command{}, created: now,
		form: hello.Form, repair: hello.Repair, manifest: hello.Manifest, skip: hello.Refused,
	}
	if n.session == nil {
		h.connected++
	}
	n.session = s
	n.Hostname, n.IP, n.Version, n.Labels = hello.Hostname, hello.IP, hello.Version, hello.Labels
	n.Position, n.Persisted, n.Source = hello.Position, store.Position{}, hello.Source
	n.CertExpiry, n.Joined, n.LastSeen, n.Reason, n.RefusedAt, n.Refusals, n.LeftOut = hello.CertExpiry, hello.Joined, now, "", nil, nil, nil
	if hello.Refused != (store.Position{}) {
		n.RefusedAt, n.Refusals = &hello.Refused, hello.Refusals
	}
	s.known = hello.Position == h.head
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
	s.commands, s.replies, s.transfer, s.ready = nil, nil, nil, nil
	h.leaveRoundLocked(s)
	h.slots.leaveLocked(s, h.o.Now())
	if s.node.session != s {
		return
	}
	s.node.session = nil
	h.connected--
	h.ledger.leftBy(s.node.number, s.node.Position.Revision)
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
		s.over.Store(true)
		s.wake()
	}
}

// Ended tells that nothing of the node counts any more: what is left to say is Next's
// Goodbye.
func (s *Session) Ended() bool { return s.over.Load() }

// Delivery is what a node is to be sent. One field is set, and Skip with Snapshot.
type Delivery struct {
	Step *snapshot.Step
	// Snapshot is sent without the chunks whose bit is set in Skip.
	Snapshot *snapshot.Snapshot
	Skip     []byte
	Manifest []byte
	Query    *Query
	Command  *Command
	// Reply is what was given to Session.Reply.
	Reply   any
	Beat    bool
	Goodbye *Goodbye
}

func (d *Delivery) empty() bool {
	return d.Step == nil && d.Snapshot == nil && d.Manifest == nil && d.Query == nil && d.Command == nil && d.Reply == nil && !d.Beat && d.Goodbye == nil
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
		if err != nil || !d.empty() {
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
	if s.ended && !s.Ended() {
		defer h.mu.Unlock()
		return Delivery{}, ErrClosed // there is nobody to say goodbye to, and no reason for it
	}
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
	if d := s.readyLocked(); d != nil {
		defer h.mu.Unlock()
		return *d, nil
	}
	need, idle := s.needLocked()
	h.leaveRoundLocked(s)
	h.mu.Unlock()
	if idle {
		return Delivery{}, nil
	}
	step, err := h.o.Source.Step(need)
	if err != nil {
		return Delivery{}, fmt.Errorf("prepare configuration: %w", err)
	}
	h.mu.Lock()
	if !s.takesLocked(step) {
		h.mu.Unlock()
		return Delivery{}, nil
	}
	if step.Plan == snapshot.Delta {
		s.sendLocked(snapshot.Delta, step.To)
		h.mu.Unlock()
		return Delivery{Step: step}, nil
	}
	h.mu.Unlock()
	return s.begin(step)
}

// readyLocked returns what a transfer has prepared.
func (s *Session) readyLocked() *Delivery {
	d := s.ready
	if d == nil {
		return nil
	}
	s.ready = nil
	switch {
	case d.Step != nil:
		s.sendLocked(snapshot.Repair, d.Step.To)
	case d.Snapshot != nil:
		s.sendLocked(snapshot.Whole, d.Snapshot.To)
	}
	return d
}

// needLocked tells what the node needs, if anything.
func (s *Session) needLocked() (need snapshot.Need, idle bool) {
	h := s.hub
	if s.transfer != nil {
		if h.o.Now().Sub(s.transfer.asked) > inventoryTime {
			s.end("the node does not tell what it has", time.Second)
		}
		return need, true
	}
	from := s.node.Position
	idle = s.outstanding != store.Position{} || s.queued || s.diverged == 0 && from == h.target || s.skip != store.Position{} && s.skip == h.target
	return snapshot.Need{
		From: from, To: h.target, Form: s.form, Repair: s.repair, Diverged: s.diverged == snapshot.Repair, Whole: s.diverged == snapshot.Whole,
	}, idle
}

// takesLocked notes what a step tells of the node, and tells whether it is sent.
func (s *Session) takesLocked(step *snapshot.Step) bool {
	h := s.hub
	s.held = step.Plan == snapshot.Held
	if s.held && s.node.Reason != step.Reason {
		s.node.Reason = step.Reason
		h.log.Error("node is ahead of the store and held", "node_id", s.node.ID, "reason", step.Reason)
	}
	switch step.Plan {
	case snapshot.UpToDate, snapshot.Delta:
		if !s.known {
			s.known = true
			h.announceLocked()
		}
	case snapshot.Whole, snapshot.Repair:
		s.known = false
		return !s.ended && h.slots.takeLocked(s, h.o.Now())
	case snapshot.Held:
		s.known = false
	}
	return step.Plan == snapshot.Delta && step.To != s.skip && !s.ended
}

// Greeting is what a node is told first.
type Greeting struct {
	Plan   snapshot.Plan
	Head   store.Position
	Reason string
	// Place in the queue for a snapshot, from 1; 0 when the node does not wait.
	Place int
}

// Greet tells how the node will get to the head.
func (s *Session) Greet() (Greeting, error) {
	h := s.hub
	h.mu.Lock()
	need, _ := s.needLocked()
	h.mu.Unlock()
	step, err := h.o.Source.Step(need)
	if err != nil {
		return Greeting{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	g := Greeting{Plan: step.Plan, Head: h.head, Reason: step.Reason}
	s.takesLocked(step)
	if s.queued {
		g.Plan, g.Place = snapshot.Held, h.slots.placeLocked(s)
		g.Reason = fmt.Sprintf("%d other nodes are sent a snapshot before this one", g.Place+maxTransfers-1)
	}
	return g, nil
}

// Known returns the position that a node means with a revision and the start of a root.
func (s *Session) Known(revision uint64, root []byte) store.Position {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	for _, p := range []store.Position{s.outstanding, s.node.Position} {
		if p.Revision == revision && bytes.HasPrefix(p.Root[:], root) {
			return p
		}
	}
	return store.Position{Revision: revision}
}

// Applied notes that the node serves a position that it was sent, and what of it the node
// leaves out.
func (s *Session) Applied(p store.Position, took time.Duration, leftOut []Refusal) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.seenLocked()
	if p != s.outstanding || p == (store.Position{}) {
		return // of another try, or made up
	}
	n := s.node
	s.outstanding, s.skip, s.known, s.diverged = store.Position{}, store.Position{}, true, 0
	h.ledger.appliedBy(n.number, n.Position, p, n.LastSeen)
	n.Position, n.Source, n.AppliedAt, n.ApplyTime = p, "stream", n.LastSeen, took
	n.RefusedAt, n.Refusals, n.Reason, n.LeftOut = nil, nil, "", leftOut
	h.slots.leaveLocked(s, n.LastSeen)
	h.dirty = true
	h.announceLocked()
	if p != h.target {
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
	if p != s.outstanding || p == (store.Position{}) {
		return
	}
	s.refusedLocked(p, why)
	message := "no reason given"
	if len(why) > 0 {
		message = why[0].Message
	}
	h.log.Warn("node refuses configuration", "node_id", s.node.ID, "hostname", s.node.Hostname, "revision", p.Revision, "serving", serving.Revision, "errors", len(why), "first", message)
	s.wake()
}

func (s *Session) refusedLocked(p store.Position, why []Refusal) {
	s.outstanding, s.skip, s.diverged = store.Position{}, p, 0
	s.node.RefusedAt, s.node.Refusals = &p, why
	s.hub.ledger.declinedBy(s.node.number, s.node.Position, p, why, s.node.LastSeen)
	s.hub.slots.leaveLocked(s, s.node.LastSeen)
	s.hub.dirty = true
	s.hub.announceLocked()
}

// Diverged notes that what the node has is not what its position says: p is what it was
// sent and can not prove, or what it serves. A repair comes first, then a snapshot, and
// when that does not help, nothing until the next change.
func (s *Session) Diverged(p, serving store.Position) {
	h := s.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.seenLocked()
	answers := s.outstanding != store.Position{} && p == s.outstanding
	if !answers && s.transfer != nil {
		return // that is what the transfer is for
	}
	plan := snapshot.Repair
	if answers {
		h.slots.leaveLocked(s, s.node.LastSeen)
		s.outstanding = store.Position{}
		switch s.sent {
		case snapshot.Whole:
			s.refusedLocked(p, []Refusal{{Message: "the node computes another root from the whole configuration"}})
			h.log.Error("node diverges after a snapshot", "node_id", s.node.ID, "revision", p.Revision)
			return
		case snapshot.Repair:
			plan = snapshot.Whole
		}
	}
	if serving.Lineage == h.head.Lineage || serving == (store.Position{}) {
		s.node.Position = serving
	}
	s.known = false
	s.diverged = max(s.diverged, plan)
	if s.diverged == snapshot.Repair && !s.repair {
		s.diverged = snapshot.Whole
	}
	h.log.Warn("node diverged and is repaired", "node_id", s.node.ID, "revision", p.Revision, "serving", serving.Revision, "by", s.diverged.String())
	s.wake()
}

// Beat notes that the node lives, and what it tells about itself: nothing when nothing
// has changed.
func (s *Session) Beat(told []byte) {
	r := report(told)
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.seenLocked()
	if len(told) > 0 {
		s.node.facts.Draining = r.Draining
	}
	if r.Balancer != nil {
		s.node.facts.Balancer = r.Balancer
	}
	if r.Configuration != nil {
		s.node.facts.Configuration = r.Configuration
	}
	if r.Integrity != nil {
		s.node.facts.Integrity = r.Integrity
	}
}

// Heard notes that the node lives.
func (s *Session) Heard() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.seenLocked()
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
