package rpc_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-gateway/sluice/controlplane/internal/traffic"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
)

func slice(sequence uint64, series ...*configv1.TrafficSeries) *configv1.SyncRequest {
	return &configv1.SyncRequest{Message: &configv1.SyncRequest_Traffic{Traffic: &configv1.Traffic{Slices: []*configv1.TrafficSlice{
		{Sequence: sequence, AgeMs: 100, LengthMs: 1000, Series: series},
	}}}}
}

func series() *configv1.TrafficSeries {
	return &configv1.TrafficSeries{Service: id("s"), Route: id("r"), Statuses: []uint32{200, 3, 5, 1}, BytesIn: 10, Total: []uint32{40, 1, 0, 2, 3, 1}}
}

// beat returns the next beat that confirms something.
func (n *node) beat() *configv1.Beat {
	n.t.Helper()
	for {
		m, err := n.stream.Recv()
		if err != nil {
			n.t.Fatalf("stream ended: %v", err)
		}
		if b := m.GetBeat(); b.GetTrafficSequence() > 0 {
			return b
		}
	}
}

func (p *plane) requests() uint64 {
	p.t.Helper()
	r, err := p.traffic.Query(traffic.Query{Window: time.Minute})
	if err != nil {
		p.t.Fatal(err)
	}
	return r.Total.Stats.Requests
}

// TestTraffic: what nodes count is taken, confirmed with a beat, and known when it comes
// again on another stream.
func TestTraffic(t *testing.T) {
	p := start(t)
	me := hello("n")
	n := p.connect(me)
	n.say(slice(1, series()))
	n.say(slice(2, series()))
	b := n.beat()
	if b.GetTrafficSequence() != 2 || b.GetTrafficIntervalMs() != 2000 {
		t.Errorf("the beat says %v", b)
	}
	r, err := p.traffic.Query(traffic.Query{Window: time.Minute, Node: me.GetNodeId()})
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Total.Stats; s.Requests != 8 || s.Codes["200"] != 6 || s.Statuses["5xx"] != 2 || s.BytesIn != 20 || s.Latency.Total == nil || len(r.Routes) != 1 || r.Routes[0].Route != id("r") {
		t.Errorf("kept %+v, routes %+v", s, r.Routes)
	}
	// The connection breaks before the node has heard the beat: it says it again.
	_ = n.stream.CloseSend()
	n = p.connect(me)
	n.say(slice(2, series()))
	n.say(slice(3, series()))
	if b := n.beat(); b.GetTrafficSequence() == 2 { // of the connection before
		b = n.beat()
		if b.GetTrafficSequence() != 3 {
			t.Errorf("the beat says %v", b)
		}
	}
	if got := p.requests(); got != 12 {
		t.Errorf("%d requests, want 12", got)
	}
}

// TestTrafficThatIsNone ends the stream.
func TestTrafficThatIsNone(t *testing.T) {
	for name, s := range map[string]*configv1.TrafficSeries{
		"half a pair":   {Statuses: []uint32{200}},
		"bucket":        {Total: []uint32{1 << 20, 1}},
		"bucket beyond": {Total: []uint32{1<<32 - 1, 1, 1<<32 - 1, 1}},
		"status":        {Statuses: []uint32{5000, 1}},
		"id":            {Route: string(make([]byte, 100))},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			n := p.connect(hello("n"))
			n.say(slice(1, s))
			for {
				if _, err := n.stream.Recv(); err != nil {
					if status.Code(err) != codes.InvalidArgument {
						t.Errorf("the stream ends with %v", err)
					}
					break
				}
			}
			if got := p.requests(); got != 0 {
				t.Errorf("%d requests are kept", got)
			}
		})
	}
}
