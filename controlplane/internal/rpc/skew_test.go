package rpc_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
)

// unknown is a field of a later version.
func unknown() []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 999, protowire.BytesType), "what nobody knows yet")
}

// TestNewerNodes holds that a node that says more than this control plane knows is served.
func TestNewerNodes(t *testing.T) {
	p := start(t)
	head := p.put(names(20)...)
	h := able("n")
	h.ProtocolMax = 7
	h.Features = append(h.Features, "telepathy", "zstd-99")
	h.ProtoReflect().SetUnknown(unknown())
	n := p.connect(h)
	if w := n.hear().GetWelcome(); w.GetProtocol() != 1 {
		t.Errorf("welcome %v", w)
	}
	to, _ := n.apply()
	n.equals(head)
	// Messages that this control plane does not know are passed over.
	strange := &configv1.SyncRequest{}
	strange.ProtoReflect().SetUnknown(unknown())
	n.say(strange)
	ack := &configv1.Ack{State: configv1.Ack_STATE_APPLIED, Position: to}
	ack.ProtoReflect().SetUnknown(unknown())
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ack{Ack: ack}})
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ack{Ack: &configv1.Ack{State: 77, Position: to}}})
	head = p.put("next")
	if to, _ := n.apply(); to.GetRevision() != head.Revision {
		t.Errorf("revision %d", to.GetRevision())
	}
}

// TestOlderNodes holds that a node gets nothing that it does not name: no compression, no
// manifest, no questions, no parts, no short positions.
func TestOlderNodes(t *testing.T) {
	p := start(t)
	head := p.put(names(300)...)
	n := p.connect(hello("n"))
	n.hear()
	for i := 0; ; i++ {
		c := n.hear().GetSnapshotChunk()
		if c == nil || c.GetEncoding() != "" || len(c.GetChanges()) == 0 || c.GetTo().GetLineage() == "" || int(c.GetIndex()) != i {
			t.Fatalf("chunk %v", c)
		}
		n.change(c.GetChanges(), "", nil)
		if c.GetIndex() == c.GetCount()-1 {
			break
		}
	}
	n.equals(head)
	n.ack(configv1.Ack_STATE_APPLIED, inProto(head))
	then := head
	head = p.put(names(380)[300:]...)
	f := n.hear().GetFrame()
	if f == nil || f.GetEncoding() != "" || len(f.GetChanges()) != 80 || f.GetFrom().GetRevision() != then.Revision || f.GetTo().GetLineage() != head.Lineage || len(f.GetFrom().GetRoot()) != 32 {
		t.Fatalf("frame %v", f)
	}
}

// TestLeftOut holds that what a node does without is told.
func TestLeftOut(t *testing.T) {
	p := start(t)
	head := p.put("a")
	n := p.connect(hello("n"))
	n.hear()
	n.apply()
	n.ack(configv1.Ack_STATE_APPLIED, inProto(head), &configv1.EntityError{Kind: "novelties", Id: "7", Message: "this node does not know the kind"})
	// An answer to a question comes after what was said before it.
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ask{Ask: &configv1.Ask{Id: 1}}})
	n.hear()
	row := p.hub.Nodes()[0]
	if list, ok := row["left_out"].([]hub.Refusal); !ok || len(list) != 1 || list[0].Kind != "novelties" || row["state"] != "applied" {
		t.Errorf("row %v", row)
	}
}
