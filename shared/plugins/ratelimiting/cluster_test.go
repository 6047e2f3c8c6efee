package ratelimiting_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/ratelimiting"
)

// shared grants to all nodes of a test what is waited for.
type shared struct {
	pdk.NoControl

	mu    sync.Mutex
	total map[string]uint64
	names map[string]bool
}

func (s *shared) lease(requests []pdk.LeaseRequest) ([]pdk.LeaseGrant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]pdk.LeaseGrant, len(requests))
	for i, r := range requests {
		s.names[r.Counter] = true
		g := min(r.Waiting, r.Limit-min(r.Limit, s.total[r.Counter]))
		s.total[r.Counter] += g
		out[i] = pdk.LeaseGrant{Granted: g, Taken: s.total[r.Counter], Nodes: 2}
	}
	return out, nil
}

func TestCluster(t *testing.T) {
	s := &shared{total: map[string]uint64{}, names: map[string]bool{}}
	node := func() *pdktest.Plugin {
		plane := pdktest.NewPlane(t, ratelimiting.Plugin)
		plane.OnLease = s.lease
		return pdktest.Build(t, pdktest.Options{
			Plugin: ratelimiting.Plugin, Node: pdktest.NewNode(t).WithControl(plane),
			Config: `{"policy":"cluster","minute":3,"hour":5,"limit_by":"header","header_name":"x-id"}`,
		})
	}
	one, two := node(), node()
	long := strings.Repeat("x", 5000)
	for i, want := range []struct {
		p            *pdktest.Plugin
		id           string
		status       int
		minute, hour string
	}{
		{one, "a", 200, "2", "4"},
		{two, "a", 200, "1", "3"},
		{one, "a", 200, "0", "2"},
		{two, "a", 429, "0", "2"},
		{two, "b", 200, "2", "4"},
		{one, long, 200, "2", "4"},
		{two, long, 200, "1", "3"},
	} {
		r := want.p.Do(pdktest.Request{Header: [][2]string{{"x-id", want.id}}})
		if r.Err != nil || r.Status != want.status || r.Get("X-RateLimit-Remaining-Minute") != want.minute || r.Get("X-RateLimit-Remaining-Hour") != want.hour {
			t.Errorf("request %d: %d %v %v", i, r.Status, headers(r), r.Err)
		}
	}
	for name := range s.names {
		if len(name) > 200 {
			t.Errorf("a counter is named %d bytes long", len(name))
		}
	}
}

// Without a control plane a node that knows of no other lets the limit pass.
func TestClusterWithoutControlPlane(t *testing.T) {
	p := build(t, `{"policy":"cluster","minute":2,"fault_tolerant":false}`)
	for i, want := range []int{200, 200, 429} {
		if r := p.Do(pdktest.Request{}); r.Status != want {
			t.Errorf("request %d: %d", i, r.Status)
		}
	}
}
