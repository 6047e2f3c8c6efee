package rpc

import (
	"crypto/sha256"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/controlplane/internal/snapshot"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// compressFrom is the size from which a change list is compressed. A frame of one
// route stays readable and costs no decoder.
const compressFrom = 4 << 10

const encodingZstd = "zstd"

// Encoder implements snapshot.Encoder.
type Encoder struct {
	zstd *zstd.Encoder
	must map[string]bool
}

// NewEncoder makes an encoder. A node that does not know one of the kinds in must has
// to refuse what it is sent; other kinds that it does not know it ignores.
func NewEncoder(must []string) (*Encoder, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, fmt.Errorf("make compressor: %w", err)
	}
	e := &Encoder{zstd: z, must: map[string]bool{}}
	for _, kind := range must {
		e.must[kind] = true
	}
	return e, nil
}

func (e *Encoder) changes(in []store.Change) []*configv1.Change {
	out := make([]*configv1.Change, len(in))
	all := make([]configv1.Change, len(in))
	for i, c := range in {
		all[i].Op = configv1.Change_OP_PUT
		if c.Op == store.Delete {
			all[i].Op = configv1.Change_OP_DELETE
		}
		all[i].Kind, all[i].Id, all[i].Body, all[i].MustUnderstand = c.Kind, c.ID, c.Body, e.must[c.Kind]
		out[i] = &all[i]
	}
	return out
}

// compress returns the encoded list and, when that is worth it, its compressed form.
func (e *Encoder) compress(changes []*configv1.Change) (raw, payload []byte, err error) {
	raw, err = proto.Marshal(&configv1.ChangeList{Changes: changes})
	if err != nil {
		return nil, nil, fmt.Errorf("encode change list: %w", err)
	}
	if len(raw) >= compressFrom {
		payload = e.zstd.EncodeAll(raw, nil)
	}
	return raw, payload, nil
}

// Frame implements snapshot.Encoder.
func (e *Encoder) Frame(f *snapshot.Frame) ([]byte, error) {
	m := &configv1.Frame{From: position(f.From), To: position(f.To), RemovalIntended: f.RemovalIntended, CommittedAtNs: f.At.UnixNano()}
	changes := e.changes(f.Changes)
	raw, payload, err := e.compress(changes)
	if err != nil {
		return nil, err
	}
	if payload == nil {
		m.Changes = changes
	} else {
		m.Encoding, m.Payload, m.RawLength = encodingZstd, payload, uint64(len(raw))
	}
	return proto.Marshal(&configv1.SyncResponse{Message: &configv1.SyncResponse_Frame{Frame: m}})
}

// Chunk implements snapshot.Encoder.
func (e *Encoder) Chunk(c *snapshot.Chunk) ([]byte, error) {
	m := &configv1.SnapshotChunk{To: position(c.To), Index: uint32(c.Index), Count: uint32(c.Count), RemovalIntended: c.RemovalIntended}
	changes := e.changes(c.Changes)
	raw, payload, err := e.compress(changes)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	m.Checksum = sum[:]
	if payload == nil {
		m.Changes = changes
	} else {
		m.Encoding, m.Payload, m.RawLength = encodingZstd, payload, uint64(len(raw))
	}
	return proto.Marshal(&configv1.SyncResponse{Message: &configv1.SyncResponse_SnapshotChunk{SnapshotChunk: m}})
}

func position(p store.Position) *configv1.Position {
	if p == (store.Position{}) {
		return nil
	}
	return &configv1.Position{Lineage: p.Lineage, Generation: p.Generation, Revision: p.Revision, Root: p.Root[:]}
}

func fromProto(p *configv1.Position) (store.Position, error) {
	if p == nil {
		return store.Position{}, nil
	}
	root, err := roothash.RootFrom(p.GetRoot())
	if err != nil {
		return store.Position{}, err
	}
	if len(p.GetLineage()) > maxText {
		return store.Position{}, errTooLong
	}
	return store.Position{Lineage: p.GetLineage(), Generation: p.GetGeneration(), Revision: p.GetRevision(), Root: root}, nil
}
