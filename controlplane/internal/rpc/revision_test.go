package rpc_test

import (
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
)

// until waits for what the hub hears on another goroutine.
func until(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !check(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// TestRevisionAtNodes: who applied a revision and when, who refused it and why, who is
// missing.
func TestRevisionAtNodes(t *testing.T) {
	p := start(t)
	names := []string{"good", "bad", "slow"}
	nodes := map[string]*node{}
	p.put("first")
	for _, name := range names {
		n := p.connect(hello(name))
		n.hear()
		to, _ := n.apply()
		n.ack(configv1.Ack_STATE_APPLIED, to)
		nodes[name] = n
	}
	first := p.hub.Nodes()
	until(t, "all nodes to be where they are", func() bool {
		first = p.hub.Nodes()
		for _, row := range first {
			if row["state"] != "applied" {
				return false
			}
		}
		return len(first) == 3
	})
	began := time.Now()
	head := p.put("second")
	for name, n := range nodes {
		to, _ := n.apply()
		switch name {
		case "good":
			n.ack(configv1.Ack_STATE_APPLIED, to)
		case "bad":
			n.ack(configv1.Ack_STATE_REJECTED, to, &configv1.EntityError{Kind: "services", Id: id("second"), Name: "second", Field: "host", Message: "no"})
		}
	}
	var r hub.Revision
	until(t, "two answers", func() bool {
		r = p.hub.Revision(head.Revision)
		return len(r.Applied) == 1 && len(r.Refused) == 1
	})
	if !r.Known || r.Last != 0 || r.Applied[0].ID != id("good") || r.Applied[0].At.Before(began.Add(-time.Second)) || r.Applied[0].At.After(time.Now()) {
		t.Errorf("applied %+v", r)
	}
	if e := r.Refused[0]; e.ID != id("bad") || e.Hostname != "bad" || len(e.Errors) != 1 || e.Errors[0] != (hub.Refusal{Kind: "services", ID: id("second"), Name: "second", Field: "host", Message: "no"}) || e.At.IsZero() {
		t.Errorf("refused %+v", e)
	}
	if len(r.Missing) != 1 || r.Missing[0].ID != id("slow") || !r.Missing[0].Connected || r.Missing[0].Serving.Revision != head.Revision-1 {
		t.Errorf("missing %+v", r.Missing)
	}
	if c := p.hub.RevisionCounts([]uint64{head.Revision, head.Revision - 1}); c[0].Applied != 1 || c[0].Refused != 1 || c[0].Missing != 1 || c[1].Applied != 3 {
		t.Errorf("counts %+v", c)
	}
	for _, row := range p.hub.Nodes() {
		lag, _ := row["lag_seconds"].(float64)
		if behind := row["hostname"] != "good"; behind != (lag > 0) || row["applied_revision"] == nil {
			t.Errorf("%s is %v s behind, at %v", row["hostname"], lag, row["applied_revision"])
		}
		if row["hostname"] == "bad" && row["refused_revision"] != head.Revision {
			t.Errorf("bad has refused %v", row["refused_revision"])
		}
	}
	// Once the slow one goes the rest is complete.
	_ = nodes["slow"].stream.CloseSend()
	until(t, "a node to be gone", func() bool {
		r = p.hub.Revision(head.Revision)
		return len(r.Missing) == 1 && !r.Missing[0].Connected
	})
	f := p.hub.Figures()
	if f.Connected != 2 || f.Refused != 1 || f.States[hub.Away] != 1 || f.States[hub.Refused] != 1 || f.Sent["snapshot"] != 3 || f.Sent["delta"] != 3 || f.SentBytes < 3*500 {
		t.Errorf("figures %+v", f)
	}
	// All of the next one's nodes apply it.
	next := p.put("third")
	for _, name := range []string{"good", "bad"} {
		to, _ := nodes[name].apply()
		nodes[name].ack(configv1.Ack_STATE_APPLIED, to)
	}
	until(t, "the last of them", func() bool { return p.hub.Revision(next.Revision).Last > 0 })
	if r := p.hub.Revision(head.Revision); len(r.Refused) != 1 || r.Refused[0].Serving.Revision != next.Revision {
		t.Errorf("the refusal is forgotten: %+v", r)
	}
	total := uint64(0)
	f = p.hub.Figures()
	for _, n := range f.ToLast {
		total += n
	}
	if total == 0 || f.ToLastSum == 0 || len(f.ToEach) != len(f.Bounds)+1 {
		t.Errorf("figures %+v", f)
	}
}
