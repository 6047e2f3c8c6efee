package admin_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// mark is a stored mark.
type mark struct {
	Address string `json:"address"`
	Healthy bool   `json:"healthy"`
	At      int64  `json:"at"`
	Target  struct {
		ID string `json:"id"`
	} `json:"target"`
}

// marks returns what is stored, by the address that was marked.
func (s *server) marks() map[string]mark {
	s.t.Helper()
	out := map[string]mark{}
	err := s.store.View(func(tx store.Tx) error {
		return tx.List("target_marks", "", 100, func(_ string, body []byte) bool {
			var m mark
			if err := json.Unmarshal(body, &m); err != nil {
				s.t.Error(err)
			}
			out[m.Address] = m
			return true
		})
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// TestMarks holds that a mark is stored once for a target or one of its addresses, later
// than all before it, and that it goes with
// its target.
func TestMarks(t *testing.T) {
	s := newServer(t, nil)
	s.do("POST", "/upstreams", asForm, "name=u").is(201)
	s.do("POST", "/upstreams/u/targets", asForm, "target=10.0.0.1:80").is(201)
	s.do("POST", "/upstreams/u/targets", asForm, "target=name.test:81").is(201)
	last := int64(0)
	put := func(path string, status int) {
		t.Helper()
		s.do("PUT", "/upstreams/u/targets/"+path, nil, "").is(status)
	}
	for i, state := range []string{"unhealthy", "healthy", "unhealthy"} {
		r := s.do("PUT", "/upstreams/u/targets/10.0.0.1:80/"+state, nil, "").is(204)
		if r.header.Get("X-Sluice-Revision") == "" {
			t.Error("the answer names no revision")
		}
		m := s.marks()
		if len(m) != 1 || m[""].Healthy != (state == "healthy") || m[""].At <= last || m[""].Target.ID == "" {
			t.Errorf("mark %d: %+v", i, m)
		}
		last = m[""].At
	}
	put("name.test:81/10.0.0.7/unhealthy", 204)
	put("name.test:81/10.0.0.7:8443/unhealthy", 204)
	put("name.test:81/%5B::1%5D:82/healthy", 204)
	put("10.0.0.1:80/10.0.0.1/healthy", 204)
	m := s.marks()
	for address, healthy := range map[string]bool{"": false, "10.0.0.7:81": false, "10.0.0.7:8443": false, "[::1]:82": true, "10.0.0.1:80": true} {
		if got, ok := m[address]; !ok || got.Healthy != healthy {
			t.Errorf("%q: %+v, there %v", address, got, ok)
		}
	}
	put("10.0.0.1:80/10.0.0.2:80/healthy", 404)
	put("name.test:81/nonsense/healthy", 400)
	put("nope:1/healthy", 404)
	s.do("PUT", "/upstreams/nope/targets/10.0.0.1:80/healthy", nil, "").is(404)
	// A document neither shows marks nor takes them away from targets that stay.
	if doc := s.do("GET", "/config", nil, ""); strings.Contains(doc.body, "target_marks") {
		t.Error("marks are exported")
	}
	s.do("GET", "/target_marks", nil, "").is(404)
	s.do("DELETE", "/upstreams/u/targets/name.test:81", nil, "").is(204)
	if m := s.marks(); len(m) != 2 {
		t.Errorf("after its target is gone: %+v", m)
	}
}

// TestMarkWithoutDatabase holds that marks can be given when entities come from a document.
func TestMarkWithoutDatabase(t *testing.T) {
	var api catalog.API
	s := newServer(t, func(o *admin.Options) { api = o.Catalog })
	s.do("POST", "/upstreams", asForm, "name=u").is(201)
	s.do("POST", "/upstreams/u/targets", asForm, "target=10.0.0.1:80").is(201)
	other := newServer(t, func(o *admin.Options) { o.Catalog = catalog.ReadOnly(api) })
	other.do("POST", "/upstreams", asForm, "name=v").is(405)
	other.do("PUT", "/upstreams/u/targets/10.0.0.1:80/unhealthy", nil, "").is(204)
	if m := s.marks(); len(m) != 1 || m[""].Healthy {
		t.Errorf("%+v", m)
	}
}

// TestHealthOfNodes holds that each node's view is shown with since when and why, and that
// of a node that does not answer what it reported counts.
func TestHealthOfNodes(t *testing.T) {
	f := &fleet{}
	s := newServer(t, func(o *admin.Options) { o.Fleet = f })
	s.do("POST", "/upstreams", asForm, "name=u").is(201)
	var upstream, target struct{ ID string }
	s.do("GET", "/upstreams/u", nil, "").is(200).into(&upstream)
	s.do("POST", "/upstreams/u/targets", asForm, "target=name.test:80").is(201).into(&target)
	f.replies = func(string, string) []pdk.NodeReply {
		return []pdk.NodeReply{{NodeID: "a", Hostname: "host-a", Result: json.RawMessage(`{"` + target.ID + `":{
			"health":"UNHEALTHY","dns":"SRV","since":1700000000,"why":"checks","detail":"2 timeouts",
			"addresses":[{"ip":"10.0.0.1","port":81,"health":"UNHEALTHY","weight":7,"since":1700000000,"why":"checks","detail":"2 timeouts"}]}}`)}}
	}
	s.do("GET", "/upstreams/u/health", nil, "").is(200).
		says(`"dns":"SRV"`).says(`"weight":{"available":0,"total":7,"unavailable":7}`).
		says(`"nodes":[{"addresses":[{"detail":"2 timeouts","health":"UNHEALTHY","ip":"10.0.0.1","port":81,"since":1700000000,"weight":7,"why":"checks"}],"detail":"2 timeouts","health":"UNHEALTHY","hostname":"host-a","node_id":"a","since":1700000000,"why":"checks"}]`)
	f.replies = nil
	report := hub.BalancerReport{Troubles: []hub.Trouble{
		{Upstream: upstream.ID, Target: target.ID, Health: "DNS_ERROR", Since: 5, Why: "names"}, {Upstream: "other", Target: "t", Health: "UNHEALTHY"},
	}}
	f.nodes = []map[string]any{{"id": "b", "hostname": "host-b", "connected": false, "balancer": report}, {"id": "c", "connected": true}}
	s.do("GET", "/upstreams/u/health", nil, "").is(200).says(`"health":"HEALTHCHECKS_OFF"`).
		says(`"nodes":[{"addresses":[],"health":"DNS_ERROR","hostname":"host-b","node_id":"b","reported":true,"since":5,"why":"names"}]`)
	f.nodes[0]["connected"] = true
	s.do("GET", "/upstreams/u/health", nil, "").is(200).says(`"health":"DNS_ERROR","id"`)
}
