package controlclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

const (
	// maxRaw bounds what one message may become when it is decompressed.
	maxRaw = 64 << 20
	// maxChunks bounds a snapshot.
	maxChunks = 1 << 16
	// A snapshot that takes away more than half of at least this many entities needs a
	// control plane that says that it is meant.
	minLosing = 4
)

var errNotMeant = errors.New("the snapshot takes most entities away and does not say that this is meant")

var decompressor, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxRaw))

// assembly is a snapshot of which some chunks are there.
type assembly struct {
	to      config.Position
	count   uint32
	changes []config.Change
	next    uint32
	meant   bool
}

func (s *session) frame(ctx context.Context, m *configv1.Frame) error {
	began := time.Now()
	from, err := fromProto(m.GetFrom())
	if err != nil {
		return badMessage("start of a frame", err)
	}
	to, err := fromProto(m.GetTo())
	if err != nil {
		return badMessage("end of a frame", err)
	}
	changes, err := decode(m.GetChanges(), m.GetEncoding(), m.GetPayload(), m.GetRawLength(), nil)
	if err != nil {
		return badMessage("changes of a frame", err)
	}
	u := config.Update{From: from, To: to, Changes: changes, Source: config.SourceStream}
	if ns := m.GetCommittedAtNs(); ns > 0 {
		u.CommittedAt = time.Unix(0, ns)
	}
	return s.apply(ctx, u, m.GetRemovalIntended(), began)
}

func (s *session) chunk(ctx context.Context, m *configv1.SnapshotChunk) error {
	began := time.Now()
	to, err := fromProto(m.GetTo())
	if err != nil {
		return badMessage("position of a snapshot", err)
	}
	if m.GetIndex() == 0 {
		if m.GetCount() == 0 || m.GetCount() > maxChunks {
			return badMessage("snapshot", fmt.Errorf("it has %d chunks", m.GetCount()))
		}
		s.whole = &assembly{to: to, count: m.GetCount(), meant: m.GetRemovalIntended()}
	}
	a := s.whole
	if a == nil || m.GetIndex() != a.next || to != a.to || m.GetCount() != a.count {
		return badMessage("snapshot", errors.New("chunks are not in order"))
	}
	changes, err := decode(m.GetChanges(), m.GetEncoding(), m.GetPayload(), m.GetRawLength(), m.GetChecksum())
	if err != nil {
		return badMessage("changes of a snapshot", err)
	}
	a.changes = append(a.changes, changes...)
	if a.next++; a.next < a.count {
		return nil
	}
	s.whole = nil
	return s.apply(ctx, config.Update{Whole: true, To: a.to, Changes: a.changes, Source: config.SourceStream}, a.meant, began)
}

func badMessage(what string, err error) error {
	return status.Errorf(codes.InvalidArgument, "%s: %v", what, err)
}

// apply proves, builds, swaps and acknowledges an update.
func (s *session) apply(ctx context.Context, u config.Update, meant bool, began time.Time) error {
	c := s.c
	next, err := c.state.next(&u)
	if err != nil {
		c.log.Warn("configuration is not what it says; asking for a repair", "revision", u.To.Revision, "error", err)
		return s.acknowledge(configv1.Ack_STATE_DIVERGED, u.To, nil, 0)
	}
	if u.Whole && !meant {
		if had, lost := len(c.state.hashes), c.state.losing(next); had >= minLosing && lost*2 > had {
			c.log.Error("configuration refused", "revision", u.To.Revision, "entities", had, "lost", lost, "error", errNotMeant)
			return s.reject(u.To, []config.EntityError{{Message: fmt.Sprintf("%v: %d of %d", errNotMeant, lost, had)}})
		}
	}
	reasons, err := c.o.Applier.Apply(ctx, u)
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		if len(reasons) == 0 {
			reasons = []config.EntityError{{Message: err.Error()}}
		}
		c.log.Error("configuration refused", "revision", u.To.Revision, "errors", len(reasons), "first", first(reasons))
		return s.reject(u.To, reasons)
	}
	next.commit()
	c.state = next
	c.served(u)
	took := time.Since(began)
	c.update(func(f *Facts) {
		if f.Head.Lineage != u.To.Lineage || f.Head.Revision < u.To.Revision {
			f.Head = u.To
		}
	})
	err = s.acknowledge(configv1.Ack_STATE_APPLIED, u.To, nil, took)
	c.saver.add(u)
	c.log.Debug("configuration applied", "revision", u.To.Revision, "changes", len(u.Changes), "whole", u.Whole, "duration", took.String())
	return err
}

func (s *session) reject(p config.Position, reasons []config.EntityError) error {
	s.c.update(func(f *Facts) { f.Refused, f.Reasons = p, reasons })
	return s.acknowledge(configv1.Ack_STATE_REJECTED, p, reasons, 0)
}

// maxReasons bounds what one ack carries.
const maxReasons = 100

func (s *session) acknowledge(state configv1.Ack_State, p config.Position, reasons []config.EntityError, took time.Duration) error {
	a := &configv1.Ack{State: state, Position: toProto(p), Serving: toProto(s.c.state.position), ApplyUs: uint64(took.Microseconds())}
	for _, r := range reasons[:min(len(reasons), maxReasons)] {
		a.Errors = append(a.Errors, &configv1.EntityError{Kind: r.Kind, Id: r.ID, Name: r.Name, Field: r.Field, Message: r.Message})
	}
	return s.send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ack{Ack: a}})
}

// decode returns the changes of a message, decompressed when that is needed. checksum
// is of the decompressed list; nil is not looked at.
func decode(plain []*configv1.Change, encoding string, payload []byte, rawLength uint64, checksum []byte) ([]config.Change, error) {
	switch encoding {
	case "":
		return convert(plain)
	case "zstd":
	default:
		return nil, fmt.Errorf("encoding %q is not known", encoding)
	}
	if rawLength > maxRaw {
		return nil, fmt.Errorf("it would have %d bytes", rawLength)
	}
	raw, err := decompressor.DecodeAll(payload, make([]byte, 0, rawLength))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if uint64(len(raw)) != rawLength {
		return nil, fmt.Errorf("it has %d bytes decompressed, not %d", len(raw), rawLength)
	}
	if sum := sha256.Sum256(raw); checksum != nil && !bytes.Equal(sum[:], checksum) {
		return nil, errors.New("checksum differs")
	}
	list := &configv1.ChangeList{}
	if err := proto.Unmarshal(raw, list); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return convert(list.GetChanges())
}

func convert(in []*configv1.Change) ([]config.Change, error) {
	out := make([]config.Change, len(in))
	for i, c := range in {
		out[i] = config.Change{Kind: c.GetKind(), ID: c.GetId(), Body: c.GetBody(), MustUnderstand: c.GetMustUnderstand()}
		switch c.GetOp() {
		case configv1.Change_OP_PUT:
			out[i].Op = config.Put
		case configv1.Change_OP_DELETE:
			out[i].Op, out[i].Body = config.Delete, nil
		default:
			return nil, fmt.Errorf("change %d of %s %s says not what to do", i, c.GetKind(), c.GetId())
		}
	}
	return out, nil
}

func toProto(p config.Position) *configv1.Position {
	if p.IsZero() {
		return nil
	}
	return &configv1.Position{Lineage: p.Lineage, Generation: p.Generation, Revision: p.Revision, Root: p.Root[:]}
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
