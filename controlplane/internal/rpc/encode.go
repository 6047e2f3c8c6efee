package rpc

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/controlplane/internal/snapshot"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/dictionary"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

const (
	// compressFrom is the size from which a change list is compressed. Below it the
	// dictionary is what makes it small.
	compressFrom = 4 << 10
	// smallFrom is the size below which a change list is left alone.
	smallFrom = 128
)

const (
	encodingZstd  = "zstd"
	encodingZstd1 = "zstd-1"
)

// Encoder implements snapshot.Encoder.
type Encoder struct {
	zstd, small *zstd.Encoder // small has dictionary 1
	must        map[string]bool
}

// NewEncoder makes an encoder. A node that does not know one of the kinds in must has
// to refuse what it is sent; other kinds that it does not know it ignores.
func NewEncoder(must []string) (*Encoder, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, fmt.Errorf("make compressor: %w", err)
	}
	small, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false), zstd.WithEncoderDict(dictionary.One))
	if err != nil {
		return nil, fmt.Errorf("make compressor with dictionary 1: %w", err)
	}
	e := &Encoder{zstd: z, small: small, must: map[string]bool{}}
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

// List implements snapshot.Encoder.
func (e *Encoder) List(changes []store.Change, form snapshot.Form) (snapshot.Part, error) {
	return e.list(e.changes(changes), form)
}

func (e *Encoder) list(changes []*configv1.Change, form snapshot.Form) (snapshot.Part, error) {
	raw, err := proto.Marshal(&configv1.ChangeList{Changes: changes})
	if err != nil {
		return snapshot.Part{}, fmt.Errorf("encode change list: %w", err)
	}
	part := snapshot.Part{Bytes: raw, Raw: len(raw), Sum: sha256.Sum256(raw)}
	switch {
	case len(raw) >= compressFrom && form&snapshot.Zstd != 0:
		part.Encoding, part.Bytes = encodingZstd, e.zstd.EncodeAll(raw, nil)
	case len(raw) >= smallFrom && len(raw) < compressFrom && form&snapshot.Dictionary != 0:
		if small := e.small.EncodeAll(raw, nil); len(small) < len(raw)*9/10 {
			part.Encoding, part.Bytes = encodingZstd1, small
		}
	}
	return part, nil
}

// Frame implements snapshot.Encoder.
func (e *Encoder) Frame(f *snapshot.Frame, form snapshot.Form) ([]byte, error) {
	m := &configv1.Frame{From: position(f.From), To: position(f.To), RemovalIntended: f.RemovalIntended, Dropped: shorts(f.Dropped)}
	if !f.At.IsZero() {
		m.CommittedAtNs = f.At.UnixNano()
	}
	if form&snapshot.Short != 0 && f.From.Lineage == f.To.Lineage && f.From.Generation == f.To.Generation {
		m.From.Root = m.From.GetRoot()[:shortRoot]
		for _, p := range []*configv1.Position{m.GetFrom(), m.GetTo()} {
			p.Lineage, p.Generation = "", 0
		}
	}
	changes := e.changes(f.Changes)
	part, err := e.list(changes, form)
	if err != nil {
		return nil, err
	}
	if part.Encoding == "" {
		m.Changes = changes
	} else {
		m.Encoding, m.Payload, m.RawLength = part.Encoding, part.Bytes, uint64(part.Raw)
	}
	return proto.Marshal(&configv1.SyncResponse{Message: &configv1.SyncResponse_Frame{Frame: m}})
}

// shortRoot is how many bytes of a root a short position has.
const shortRoot = 8

// Chunk implements snapshot.Encoder.
func (e *Encoder) Chunk(c *snapshot.Chunk, _ snapshot.Form) ([]byte, error) {
	m := &configv1.SnapshotChunk{
		From: position(c.From), To: position(c.To), Index: uint32(c.Index), Count: uint32(c.Count), RemovalIntended: c.RemovalIntended,
		Checksum: c.Part.Sum[:], Dropped: shorts(c.Dropped),
	}
	if c.Part.Encoding == "" {
		list := &configv1.ChangeList{}
		if err := proto.Unmarshal(c.Part.Bytes, list); err != nil {
			return nil, fmt.Errorf("decode change list: %w", err)
		}
		m.Changes = list.GetChanges()
	} else {
		m.Encoding, m.Payload, m.RawLength = c.Part.Encoding, c.Part.Bytes, uint64(c.Part.Raw)
	}
	return proto.Marshal(&configv1.SyncResponse{Message: &configv1.SyncResponse_SnapshotChunk{SnapshotChunk: m}})
}

// Manifest implements snapshot.Encoder.
func (e *Encoder) Manifest(m *snapshot.Manifest) ([]byte, error) {
	out := &configv1.Manifest{To: position(m.To), Kinds: m.Kinds, MustUnderstand: slices.Sorted(maps.Keys(e.must))}
	for i := range m.Chunks {
		c := &m.Chunks[i]
		out.Chunks = append(out.Chunks, &configv1.ManifestChunk{Checksum: c.Sum[:], FirstKind: uint32(c.Kind), FirstId: c.FirstID})
	}
	return proto.Marshal(&configv1.SyncResponse{Message: &configv1.SyncResponse_Manifest{Manifest: out}})
}

func shorts(hashes []uint64) []byte {
	var b []byte
	for _, h := range hashes {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return b
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
