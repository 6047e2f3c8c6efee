package admin_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/controlplane/internal/traffic"
)

type trafficBody struct {
	Window, Step int64
	Times        []int64
	Total        struct {
		Requests uint64
		Statuses map[string]uint64
		Latency  struct{ Total *struct{ P50 float64 } }
		Points   map[string][]any
	}
	Groups, Services, Routes, Nodes []struct {
		ID, Name, Workspace any
		Rest                bool
		Requests            uint64
		Service             struct{ Name any }
		Points              map[string][]any
	}
	Filter    map[string]any
	Unmatched uint64
}

func counted(k traffic.Key, n uint32) traffic.Cell {
	return traffic.Cell{Key: k, Statuses: []traffic.Count{{Of: 200, N: n}}, Total: []traffic.Count{{Of: 100, N: n}}}
}

func TestTraffic(t *testing.T) {
	at := time.Now().Add(-10 * time.Second)
	store := traffic.New(traffic.Options{Now: func() time.Time { return at }})
	s := newServer(t, func(o *admin.Options) {
		o.Traffic = store
		o.Fleet = &fleet{nodes: []map[string]any{{"id": "n1", "hostname": "east"}, {"id": "n2", "hostname": "west"}}}
	})
	s.do("GET", "/clustering/traffic", nil, "").is(200).says(`"groups":[]`).says(`"latency":{"total":null`)
	var one, route, two, team struct{ ID string }
	s.do("POST", "/workspaces", asJSON, `{"name":"team"}`).is(201).into(&team)
	s.do("POST", "/services", asJSON, `{"name":"one","host":"h"}`).is(201).into(&one)
	s.do("POST", "/services/one/routes", asJSON, `{"name":"r","paths":["/r"]}`).is(201).into(&route)
	s.do("POST", "/team/services", asJSON, `{"name":"two","host":"h"}`).is(201).into(&two)
	store.Add("n1", "n1/a", []traffic.Slice{{Sequence: 1, Length: time.Second, Cells: []traffic.Cell{
		counted(traffic.Key{Service: one.ID, Route: route.ID}, 5), counted(traffic.Key{}, 1), counted(traffic.Key{Route: traffic.Rest}, 2),
	}}})
	store.Add("n2", "n2/a", []traffic.Slice{{Sequence: 1, Length: time.Second, Cells: []traffic.Cell{
		counted(traffic.Key{Workspace: team.ID, Service: two.ID, Route: "gone"}, 7), counted(traffic.Key{Service: one.ID, Route: route.ID}, 1),
	}}})
	at = time.Now()

	var all trafficBody
	s.do("GET", "/clustering/traffic?by=service&window=60&step=10", nil, "").is(200).into(&all)
	if all.Total.Requests != 16 || all.Unmatched != 1 || all.Total.Statuses["2xx"] != 16 || all.Total.Latency.Total == nil || all.Step != 10 {
		t.Errorf("all of it: %+v", all)
	}
	if len(all.Times) < 6 || len(all.Total.Points["p99"]) != len(all.Times) || len(all.Groups) != 2 || len(all.Groups[0].Points["requests"]) != len(all.Times) {
		t.Errorf("points: %v, %+v", all.Times, all.Groups)
	}
	if g := all.Services[0]; g.ID != two.ID || g.Name != "two" || g.Workspace != "team" || g.Requests != 7 || g.Points != nil {
		t.Errorf("the busiest service: %+v", g)
	}
	if g := all.Routes[0]; g.ID != "gone" || g.Name != nil || g.Service.Name != "two" {
		t.Errorf("a route that is gone: %+v", g)
	}
	if g := all.Routes[1]; g.Name != "r" || g.Workspace != "default" || g.Requests != 6 {
		t.Errorf("the next route: %+v", g)
	}
	if g := all.Routes[2]; !g.Rest || g.ID != nil {
		t.Errorf("the rest: %+v", g)
	}
	if g := all.Nodes[0]; len(all.Nodes) != 2 || g.ID != "n1" || g.Name != "east" || g.Requests != 8 {
		t.Errorf("nodes: %+v", all.Nodes)
	}
	for path, want := range map[string]uint64{
		"/clustering/traffic?node=n2": 8, "/clustering/traffic?node=west": 8, "/clustering/traffic?service=one": 6, "/clustering/traffic?route=r&node=n1": 5,
		"/clustering/traffic?service=" + two.ID: 7, "/team/clustering/traffic": 7, "/default/clustering/traffic": 9, "/" + team.ID + "/clustering/traffic": 7,
		"/team/clustering/traffic?service=" + one.ID: 0,
	} {
		var got trafficBody
		s.do("GET", path, nil, "").is(200).into(&got)
		if got.Total.Requests != want {
			t.Errorf("%s: %d requests, want %d", path, got.Total.Requests, want)
		}
	}
	for path, field := range map[string]string{
		"window=0": "window", "window=4000": "window", "step=x": "step", "window=3600&step=1": "step", "by=colour": "by", "top=0": "top", "x=1": "x",
	} {
		s.do("GET", "/clustering/traffic?"+path, nil, "").is(400).says(`{"message":"` + field + ":")
	}
	s.do("GET", "/clustering/traffic?service=nobody", nil, "").is(404)
	s.do("POST", "/clustering/traffic", nil, "").is(405)
}

// TestTrafficIsOfAWorkspace: who may read one workspace sees what happens there, and not
// what happens elsewhere.
func TestTrafficIsOfAWorkspace(t *testing.T) {
	g := newGuarded(t, func(o *admin.Options) { o.Traffic = traffic.New(traffic.Options{}) })
	all := g.token(access.Request{Role: access.ReadOnly})
	admins := g.token(access.Request{Role: access.Admin})
	for _, name := range []string{"team", "other"} {
		if w := g.ask("POST", "/workspaces", admins, `{"name":"`+name+`"}`); w.Code != http.StatusCreated {
			t.Fatal(w.Body)
		}
	}
	bound := g.token(access.Request{Role: access.ReadOnly, Workspace: "team"})
	for _, test := range []struct {
		token, path string
		want        int
	}{
		{all, "/clustering/traffic", 200},
		{all, "/team/clustering/traffic", 200},
		{bound, "/team/clustering/traffic", 200},
		{bound, "/clustering/traffic", 403},
		{bound, "/other/clustering/traffic", 403},
		{bound, "/default/clustering/traffic", 403},
		{"", "/clustering/traffic", 401},
	} {
		if w := g.ask("GET", test.path, test.token, ""); w.Code != test.want {
			t.Errorf("%s: %d %s, want %d", test.path, w.Code, w.Body, test.want)
		}
	}
}
