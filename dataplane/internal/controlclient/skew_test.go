package controlclient_test

import (
	"errors"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/controlclient"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/dictionary"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

var errNotYet = errors.New("not yet")

func unknown() []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 999, protowire.BytesType), "what nobody knows yet")
}

// TestNewerControlPlane holds that what this node does not know is passed over, and that
// entities of kinds and with fields that it does not know are kept as they came.
func TestNewerControlPlane(t *testing.T) {
	c, a, dir := newControl(t), &applier{}, t.TempDir()
	c.features = []string{"telepathy"}
	cl := c.start(a, func(o *controlclient.Options) { o.Cache = openCache(t, dir) })
	s := c.next(time.Second)
	strange := &configv1.SyncResponse{}
	strange.ProtoReflect().SetUnknown(unknown())
	s.say(strange)
	tree := roothash.New()
	changes := []*configv1.Change{
		{Op: configv1.Change_OP_PUT, Kind: "services", Id: "1", Body: []byte(`{"id":"1","gravity":9.81}`)},
		{Op: configv1.Change_OP_PUT, Kind: "novelties", Id: "2", Body: []byte(`not even JSON`), MustUnderstand: true},
	}
	for _, ch := range changes {
		ch.ProtoReflect().SetUnknown(unknown())
		tree.Put(ch.GetKind(), ch.GetId(), ch.GetBody())
	}
	root := tree.Root()
	chunk := &configv1.SnapshotChunk{To: &configv1.Position{Lineage: "l", Generation: 1, Revision: 1, Root: root[:]}, Count: 1, Changes: changes}
	chunk.ProtoReflect().SetUnknown(unknown())
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_SnapshotChunk{SnapshotChunk: chunk}})
	// A control plane that does not name the feature gets whole positions.
	if ack := s.ack(configv1.Ack_STATE_APPLIED); ack.GetPosition().GetLineage() != "l" || len(ack.GetPosition().GetRoot()) != roothash.Size {
		t.Errorf("ack %v", ack)
	}
	s.ack(configv1.Ack_STATE_PERSISTED)
	cl.stop()
	loaded := openCache(t, dir).Load(nil).Update
	if len(loaded.Changes) != 2 || loaded.To.Root != root {
		t.Fatalf("on disk is %+v", loaded)
	}
	for _, ch := range loaded.Changes {
		if ch.Kind == "novelties" && (string(ch.Body) != "not even JSON" || !ch.MustUnderstand) {
			t.Errorf("kept is %+v", ch)
		}
	}
}

// TestOtherProtocol holds that a node serves on when nobody speaks its language.
func TestOtherProtocol(t *testing.T) {
	c, a := newControl(t), &applier{}
	cl := c.start(a, nil)
	s := c.next(time.Second)
	s.snapshot(1, many(3), false)
	s.ack(configv1.Ack_STATE_APPLIED)
	s.end <- nil
	s = <-c.streams
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Welcome{Welcome: &configv1.Welcome{Protocol: 2, Head: at(9, nil)}}})
	eventually(t, func() error {
		if f := cl.Facts(); f.ControlError == "" || f.Connected {
			return errNotYet
		}
		return nil
	})
	if a.count() != 3 || cl.Facts().Position.Revision != 1 {
		t.Errorf("serves %v", a.has)
	}
}

func TestDictionary(t *testing.T) {
	c, a := newControl(t), &applier{}
	c.start(a, nil)
	s := c.next(time.Second)
	e := many(3)
	raw, err := proto.Marshal(&configv1.ChangeList{Changes: puts(e)})
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderDict(dictionary.One))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = z.Close() }()
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_SnapshotChunk{SnapshotChunk: &configv1.SnapshotChunk{
		To: at(1, e), Count: 1, Encoding: "zstd-1", Payload: z.EncodeAll(raw, nil), RawLength: uint64(len(raw)),
	}}})
	s.ack(configv1.Ack_STATE_APPLIED)
	if a.count() != 3 {
		t.Errorf("serves %v", a.has)
	}
}

// TestLowerGeneration holds that a store that was left behind is not followed.
func TestLowerGeneration(t *testing.T) {
	c, a := newControl(t), &applier{}
	c.start(a, nil)
	s := c.next(time.Second)
	e := many(3)
	to := at(1, e)
	to.Generation = 5
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_SnapshotChunk{SnapshotChunk: &configv1.SnapshotChunk{To: to, Count: 1, Changes: puts(e)}}})
	s.ack(configv1.Ack_STATE_APPLIED)
	s.snapshot(7, many(4), true)
	ack := s.ack(configv1.Ack_STATE_REJECTED)
	if ack.GetServing().GetGeneration() != 5 || a.count() != 3 || a.last.Source != config.SourceStream {
		t.Errorf("ack %v, serves %v", ack, a.has)
	}
}
