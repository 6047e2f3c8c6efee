package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Spec says how many of the connected nodes a write waits for.
type Spec struct {
	all     bool
	quorum  bool
	percent int
	number  int
}

// ParseSpec reads all, quorum, a percentage such as 90%, or a number.
func ParseSpec(text string) (Spec, error) {
	wrong := fmt.Errorf("must be all, quorum, a percentage from 1%% to 100%% or a number of nodes, not %q", text)
	switch t := strings.ToLower(strings.TrimSpace(text)); {
	case t == "all":
		return Spec{all: true}, nil
	case t == "quorum":
		return Spec{quorum: true}, nil
	case strings.HasSuffix(t, "%"):
		n, err := strconv.Atoi(strings.TrimSuffix(t, "%"))
		if err != nil || n < 1 || n > 100 {
			return Spec{}, wrong
		}
		return Spec{percent: n}, nil
	default:
		n, err := strconv.Atoi(t)
		if err != nil || n < 0 {
			return Spec{}, wrong
		}
		return Spec{number: n}, nil
	}
}

func (s Spec) needed(connected int) int {
	switch {
	case s.all:
		return connected
	case s.quorum:
		return connected/2 + 1
	case s.percent > 0:
		return (connected*s.percent + 99) / 100
	}
	return s.number
}

// Result of Wait.
type Result struct {
	// Applied of Total connected nodes serve the position or a later one.
	Applied, Total int
	// Missing are the ids of the others; Refused those of them that said no, and why.
	Missing []string
	Refused map[string]string
}

// ErrNotApplied means that fewer nodes than asked for have applied the position.
var ErrNotApplied = errors.New("not applied by as many nodes as asked for")

// Wait returns when as many connected nodes as spec says serve p or something later of
// the same lineage, with ErrNotApplied when ctx ends before or so many refuse that it
// can't come true.
func (h *Hub) Wait(ctx context.Context, p store.Position, spec Spec) (Result, error) {
	for {
		h.mu.Lock()
		result, refused := h.countLocked(p)
		changed := h.changed
		need := spec.needed(result.Total)
		if result.Applied < need {
			h.waiting++
		}
		h.mu.Unlock()
		switch {
		case result.Applied >= need:
			return result, nil
		case need <= result.Total && result.Total-refused < need:
			return result, ErrNotApplied
		}
		select {
		case <-ctx.Done():
			return result, ErrNotApplied
		case <-changed:
		}
	}
}

func (h *Hub) countLocked(p store.Position) (r Result, refused int) {
	for _, n := range h.nodes {
		if n.session == nil {
			continue
		}
		r.Total++
		if q := n.Position; n.session.known && q.Lineage == p.Lineage && (q.Generation > p.Generation || q.Generation == p.Generation && q.Revision >= p.Revision) {
			r.Applied++
			continue
		}
		r.Missing = append(r.Missing, n.ID)
		if n.RefusedAt != nil && n.RefusedAt.Lineage == p.Lineage && n.RefusedAt.Revision >= p.Revision {
			refused++
			if r.Refused == nil {
				r.Refused = map[string]string{}
			}
			why := "no reason given"
			if len(n.Refusals) > 0 {
				why = n.Refusals[0].Message
			}
			r.Refused[n.ID] = why
		}
	}
	slices.Sort(r.Missing)
	return r, refused
}

// Broadcast follows pdk.Fleet: it asks all connected nodes and waits for their answers
// until ctx ends.
func (h *Hub) Broadcast(ctx context.Context, target, name string, arguments any) []pdk.NodeReply {
	encoded, err := json.Marshal(arguments)
	if err != nil {
		return []pdk.NodeReply{{Err: fmt.Errorf("encode arguments of %s %s: %w", target, name, err)}}
	}
	type asked struct {
		reply   pdk.NodeReply
		session *Session
		command *Command
	}
	h.mu.Lock()
	var all []asked
	for _, n := range h.nodes {
		if n.session == nil || n.session.ended {
			continue
		}
		c := h.askLocked(n.session, target, name, encoded)
		all = append(all, asked{pdk.NodeReply{NodeID: n.ID, Hostname: n.Hostname}, n.session, c})
	}
	h.mu.Unlock()
	slices.SortFunc(all, func(a, b asked) int { return strings.Compare(a.reply.NodeID, b.reply.NodeID) })
	replies := make([]pdk.NodeReply, len(all))
	for i, a := range all {
		replies[i] = a.reply
		select {
		case <-a.command.done:
			replies[i].Result, replies[i].Err = a.command.result, a.command.err
		case <-ctx.Done():
			replies[i].Err = fmt.Errorf("no answer from the node: %w", ctx.Err())
			a.session.forget(a.command)
		}
	}
	return replies
}

// forget drops a command that nobody waits for any more.
func (s *Session) forget(c *Command) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.pending, c.ID)
	s.commands = slices.DeleteFunc(s.commands, func(other *Command) bool { return other == c })
}
