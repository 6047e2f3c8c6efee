package controlclient

import (
	"context"
	"fmt"
	"sync"
	"time"

	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

const (
	// maxAsking bounds the questions that wait for an answer at a time.
	maxAsking = 64
	// askTimeout bounds a question whose asker has no earlier deadline.
	askTimeout = 5 * time.Second
	// writeWait is how long the answer to a write waits for the connected nodes.
	writeWait = time.Second
)

// Control returns what the control plane does in the name of a plugin.
func (c *Client) Control(plugin string) pdk.Control { return control{c, plugin} }

// control is one plugin's way to ask. It outlives sessions.
type control struct {
	client *Client
	plugin string
}

var writeOps = map[pdk.WriteOp]configv1.EntityWrite_Op{
	pdk.WriteInsert: configv1.EntityWrite_OP_INSERT,
	pdk.WriteUpdate: configv1.EntityWrite_OP_UPDATE,
	pdk.WriteDelete: configv1.EntityWrite_OP_DELETE,
}

// Write follows pdk.Control.
func (c control) Write(ctx context.Context, writes ...pdk.EntityWrite) error {
	m := &configv1.EntityWrites{WaitMs: uint32(writeWait.Milliseconds())}
	for _, w := range writes {
		m.Writes = append(m.Writes, &configv1.EntityWrite{Op: writeOps[w.Op], Kind: w.Kind, Id: w.ID, Body: w.Body})
	}
	_, err := c.ask(ctx, &configv1.Ask{Plugin: c.plugin, Question: &configv1.Ask_EntityWrites{EntityWrites: m}})
	return err
}

// Lease follows pdk.Control.
func (c control) Lease(ctx context.Context, requests []pdk.LeaseRequest) ([]pdk.LeaseGrant, error) {
	m := &configv1.LeaseRequests{}
	for _, r := range requests {
		m.Requests = append(m.Requests, &configv1.LeaseRequest{
			Counter: r.Counter, WindowStart: r.Start, WindowEnd: r.End, Limit: r.Limit,
			Used: r.Used, Held: r.Held, Waiting: r.Waiting, Ahead: r.Ahead,
		})
	}
	a, err := c.ask(ctx, &configv1.Ask{Plugin: c.plugin, Question: &configv1.Ask_LeaseRequests{LeaseRequests: m}})
	if err != nil {
		return nil, err
	}
	if len(a.GetGrants()) != len(requests) {
		return nil, fmt.Errorf("the control plane answers %d of %d lease requests", len(a.GetGrants()), len(requests))
	}
	out := make([]pdk.LeaseGrant, len(requests))
	for i, g := range a.GetGrants() {
		out[i] = pdk.LeaseGrant{Granted: g.GetGranted(), Taken: g.GetTaken(), Ahead: g.GetAhead(), Nodes: max(1, int(g.GetNodes()))}
	}
	return out, nil
}

func (c control) ask(ctx context.Context, m *configv1.Ask) (*configv1.Answer, error) {
	c.client.mu.Lock()
	live := c.client.live
	c.client.mu.Unlock()
	if live == nil {
		return nil, pdk.ErrControlAway
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	a, err := live.ask(ctx, m)
	if err != nil {
		return nil, err
	}
	return a, outcome(a)
}

// outcome turns an answer into the error that plugins know.
func outcome(a *configv1.Answer) error {
	var err error
	switch a.GetOutcome() {
	case configv1.Answer_OUTCOME_DONE:
		return nil
	case configv1.Answer_OUTCOME_NOT_FOUND:
		err = pdk.ErrWriteGone
	case configv1.Answer_OUTCOME_CONFLICT:
		err = pdk.ErrWriteConflict
	case configv1.Answer_OUTCOME_INVALID, configv1.Answer_OUTCOME_FORBIDDEN:
		err = pdk.ErrWriteRefused
	case configv1.Answer_OUTCOME_BUSY:
		err = pdk.ErrControlBusy
	default:
		return fmt.Errorf("ask the control plane: %s", a.GetError())
	}
	if a.GetError() == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, a.GetError())
}

func (c *Client) setLive(s *session, a *asking) {
	c.mu.Lock()
	c.at, c.live = s, a
	c.mu.Unlock()
}

// asking is the questions of one session.
type asking struct {
	send  func(m *configv1.SyncRequest) error
	slots chan struct{}
	ended chan struct{}

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan *configv1.Answer
}

func newAsking(send func(m *configv1.SyncRequest) error) *asking {
	return &asking{
		send: send, slots: make(chan struct{}, maxAsking), ended: make(chan struct{}), waiting: map[uint64]chan *configv1.Answer{},
	}
}

// end fails the questions that wait.
func (a *asking) end() { close(a.ended) }

func (a *asking) ask(ctx context.Context, m *configv1.Ask) (*configv1.Answer, error) {
	select {
	case a.slots <- struct{}{}:
	case <-a.ended:
		return nil, pdk.ErrControlAway
	case <-ctx.Done():
		return nil, pdk.ErrControlBusy
	}
	defer func() { <-a.slots }()
	answer := make(chan *configv1.Answer, 1)
	a.mu.Lock()
	a.next++
	m.Id = a.next
	a.waiting[m.Id] = answer
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.waiting, m.Id)
		a.mu.Unlock()
	}()
	if err := a.send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ask{Ask: m}}); err != nil {
		return nil, fmt.Errorf("%w: %w", pdk.ErrControlAway, err)
	}
	select {
	case m := <-answer:
		return m, nil
	case <-a.ended:
		return nil, pdk.ErrControlAway
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: no answer: %w", pdk.ErrControlAway, ctx.Err())
	}
}

// answered gives an answer to whoever waits for it.
func (a *asking) answered(m *configv1.Answer) {
	a.mu.Lock()
	answer := a.waiting[m.GetId()]
	delete(a.waiting, m.GetId())
	a.mu.Unlock()
	if answer != nil {
		answer <- m
	}
}
