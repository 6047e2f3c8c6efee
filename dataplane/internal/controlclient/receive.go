package controlclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

const (
	// maxChunks bounds a snapshot.
	maxChunks = 1 << 16
	// A snapshot that takes away more than half of at least this many entities needs a
	// control plane that says that it is meant.
	minLosing = 4
)

var errNotMeant = errors.New("the snapshot takes most entities away and does not say that this is meant")

// assembly is a snapshot, or a large delta, of which some chunks are there.
type assembly struct {
	from, to config.Position // from of a delta
	chunks   []chunk
	next     uint32
	meant    bool
	dropped  []byte
}

// chunk is nil until it is there.
type chunk struct {
	sum     string
	changes []config.Change
	there   bool
}

func (s *session) frame(ctx context.Context, m *configv1.Frame) error {
	began := time.Now()
	from, err := s.position(m.GetFrom())
	if err != nil {
		return badMessage("start of a frame", err)
	}
	to, err := s.position(m.GetTo())
	if err != nil {
		return badMessage("end of a frame", err)
	}
	changes, err := s.c.decoder.decode(m.GetChanges(), m.GetEncoding(), m.GetPayload(), m.GetRawLength(), nil)
	if err != nil {
		return badMessage("changes of a frame", err)
	}
	u := config.Update{From: from, To: to, Changes: changes, Source: config.SourceStream}
	if ns := m.GetCommittedAtNs(); ns > 0 {
		u.CommittedAt = time.Unix(0, ns)
	}
	return s.apply(ctx, u, m.GetDropped(), m.GetRemovalIntended(), began)
}

func (s *session) chunk(ctx context.Context, m *configv1.SnapshotChunk) error {
	began := time.Now()
	to, err := s.position(m.GetTo())
	if err != nil {
		return badMessage("position of a snapshot", err)
	}
	a := s.whole
	if a == nil || to != a.to || int(m.GetCount()) != len(a.chunks) {
		// The first of a whole that no manifest has announced.
		if m.GetIndex() != 0 {
			return badMessage("snapshot", errors.New("its first chunk is missing"))
		}
		if m.GetCount() == 0 || m.GetCount() > maxChunks {
			return badMessage("snapshot", fmt.Errorf("it has %d chunks", m.GetCount()))
		}
		a = &assembly{to: to, chunks: make([]chunk, m.GetCount())}
		s.whole = a
		if m.GetFrom() != nil {
			if a.from, err = s.position(m.GetFrom()); err != nil {
				return badMessage("start of a delta", err)
			}
		}
		a.dropped = m.GetDropped()
	}
	if m.GetIndex() < a.next || m.GetIndex() >= uint32(len(a.chunks)) {
		return badMessage("snapshot", errors.New("chunks are not in order"))
	}
	changes, err := s.c.decoder.decode(m.GetChanges(), m.GetEncoding(), m.GetPayload(), m.GetRawLength(), m.GetChecksum())
	if err != nil {
		return badMessage("changes of a snapshot", err)
	}
	a.meant = m.GetRemovalIntended()
	a.chunks[m.GetIndex()] = chunk{string(m.GetChecksum()), changes, true}
	if a.next = m.GetIndex() + 1; int(a.next) < len(a.chunks) {
		return nil
	}
	s.whole = nil
	u := config.Update{Whole: a.from.IsZero(), From: a.from, To: a.to, Source: config.SourceStream}
	for i := range a.chunks {
		if !a.chunks[i].there {
			return badMessage("snapshot", fmt.Errorf("chunk %d of %d is missing", i, len(a.chunks)))
		}
		u.Changes = append(u.Changes, a.chunks[i].changes...)
	}
	return s.apply(ctx, u, a.dropped, a.meant, began)
}

func badMessage(what string, err error) error {
	return status.Errorf(codes.InvalidArgument, "%s: %v", what, err)
}

// apply proves, builds, swaps and acknowledges an update. dropped are the hashes of
// entities that it takes away.
func (s *session) apply(ctx context.Context, u config.Update, dropped []byte, meant bool, began time.Time) error {
	c := s.c
	c.lock()
	state, reasons, err := s.applyLocked(ctx, &u, dropped, meant)
	serving, sequence := c.state.position, c.state.sequence
	c.applying.Unlock()
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case state == configv1.Ack_STATE_DIVERGED:
		return s.acknowledge(state, u.To, serving, nil, 0)
	case state == configv1.Ack_STATE_REJECTED:
		c.log.Error("configuration refused", "revision", u.To.Revision, "errors", len(reasons), "first", first(reasons))
		c.update(func(f *Facts) { f.Refused, f.Reasons, f.Behind = u.To, reasons, false })
		return s.acknowledge(state, u.To, serving, reasons, 0)
	}
	took := time.Since(began)
	c.update(func(f *Facts) {
		if f.Head.Lineage != u.To.Lineage || f.Head.Revision < u.To.Revision {
			f.Head = u.To
		}
	})
	err = s.acknowledge(state, u.To, serving, reasons, took)
	c.saver.add(unsaved{u, sequence})
	c.log.Debug("configuration applied", "revision", u.To.Revision, "changes", len(u.Changes), "whole", u.Whole, "duration", took.String())
	return err
}

// applyLocked says what became of an update. An error ends the session.
func (s *session) applyLocked(ctx context.Context, u *config.Update, dropped []byte, meant bool) (configv1.Ack_State, []config.EntityError, error) {
	c := s.c
	if c.excludes(u.To) {
		_, why, _ := c.refused()
		return configv1.Ack_STATE_REJECTED, []config.EntityError{{Message: why}}, nil
	}
	if at := c.state.position; u.To.Lineage == at.Lineage && u.To.Generation < at.Generation {
		return configv1.Ack_STATE_REJECTED, []config.EntityError{{Message: fmt.Sprintf("the generation %d is lower than that of what is served, %d", u.To.Generation, at.Generation)}}, nil
	}
	s.drop(u, dropped)
	next, err := c.state.next(u)
	if err != nil {
		c.log.Warn("configuration is not what it says; asking for a repair", "revision", u.To.Revision, "error", err)
		return configv1.Ack_STATE_DIVERGED, nil, nil
	}
	if u.Whole && !meant {
		if had, lost := c.state.count(), c.state.losing(next); had >= minLosing && lost*2 > had {
			return configv1.Ack_STATE_REJECTED, []config.EntityError{{Message: fmt.Sprintf("%v: %d of %d", errNotMeant, lost, had)}}, nil
		}
	}
	reasons, err := c.build(ctx, *u)
	switch {
	case err != nil && ctx.Err() != nil:
		return 0, nil, err
	case err != nil:
		if len(reasons) == 0 {
			reasons = []config.EntityError{{Message: err.Error()}}
		}
		return configv1.Ack_STATE_REJECTED, reasons, nil
	}
	next.commit()
	c.state, c.leftovers = next, nil
	c.served(*u, reasons)
	c.update(func(f *Facts) { f.Integrity.Repaired, f.Integrity.asked = f.Integrity.Repaired+f.Integrity.asked, 0 })
	return configv1.Ack_STATE_APPLIED, reasons, nil
}

// maxReasons bounds what one ack carries, maxReason each text in bytes.
const (
	maxReasons = 100
	maxReason  = 1 << 10
)

// shortRoot is how many bytes of a root a short position has.
const shortRoot = 8

func (s *session) acknowledge(state configv1.Ack_State, p, serving config.Position, reasons []config.EntityError, took time.Duration) error {
	a := &configv1.Ack{State: state, ApplyUs: uint64(took.Microseconds())}
	if s.short && (state == configv1.Ack_STATE_APPLIED || state == configv1.Ack_STATE_PERSISTED) {
		a.Position = &configv1.Position{Revision: p.Revision, Root: p.Root[:shortRoot]}
	} else {
		a.Position, a.Serving = toProto(p), toProto(serving)
	}
	a.Errors = refusals(reasons)
	return s.send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ack{Ack: a}})
}

func refusals(reasons []config.EntityError) (out []*configv1.EntityError) {
	for _, r := range reasons[:min(len(reasons), maxReasons)] {
		out = append(out, &configv1.EntityError{Kind: cut(r.Kind), Id: cut(r.ID), Name: cut(r.Name), Field: cut(r.Field), Message: cut(r.Message)})
	}
	return out
}

const (
	// maxTold and maxToldText bound the same in a hello, which may be small only.
	maxTold     = 20
	maxToldText = 256
)

// told are the reasons of a refusal in a hello.
func told(reasons []config.EntityError) []*configv1.EntityError {
	out := refusals(reasons[:min(len(reasons), maxTold)])
	for _, e := range out {
		for _, text := range []*string{&e.Kind, &e.Id, &e.Name, &e.Field, &e.Message} {
			*text = strings.ToValidUTF8((*text)[:min(len(*text), maxToldText)], "")
		}
	}
	return out
}

// cut keeps a message of a hundred reasons far from the limits of the wire.
func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxReason)], "") }

func toProto(p config.Position) *configv1.Position {
	if p.IsZero() {
		return nil
	}
	return &configv1.Position{Lineage: p.Lineage, Generation: p.Generation, Revision: p.Revision, Root: p.Root[:]}
}

// position reads a position, a short one too.
func (s *session) position(p *configv1.Position) (config.Position, error) {
	if p == nil || p.GetLineage() != "" {
		return fromProto(p)
	}
	s.c.lock()
	serving := s.c.state.position
	s.c.applying.Unlock()
	if root := p.GetRoot(); len(root) == shortRoot && serving.Revision == p.GetRevision() && bytes.HasPrefix(serving.Root[:], root) {
		return serving, nil
	} else if len(root) == shortRoot {
		return config.Position{Lineage: s.head.Lineage, Generation: s.head.Generation, Revision: p.GetRevision()}, nil
	}
	out, err := fromProto(p)
	out.Lineage, out.Generation = s.head.Lineage, s.head.Generation
	return out, err
}

func fromProto(p *configv1.Position) (config.Position, error) {
	if p == nil {
		return config.Position{}, errors.New("no position")
	}
	root, err := roothash.RootFrom(p.GetRoot())
	if err != nil {
		return config.Position{}, err
	}
	return config.Position{Lineage: p.GetLineage(), Generation: p.GetGeneration(), Revision: p.GetRevision(), Root: root}, nil
}
