package router_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func at(path string) *router.Request {
	return &router.Request{Request: expression.Request{Path: path, Header: &pdk.Header{}}}
}

func TestErrorsNameTheField(t *testing.T) {
	good := &entity.Route{ID: "good", Paths: []string{"/good"}}
	table := update(t, &router.Table{}, []*entity.Route{good})
	for _, c := range []struct {
		field string
		route entity.Route
	}{
		{"hosts.2", entity.Route{Hosts: []string{"a.example", "a.*.example"}}},
		{"hosts.1", entity.Route{Hosts: []string{"a.example:0"}}},
		{"hosts.1", entity.Route{Hosts: []string{"a.example:x"}}},
		{"hosts.1", entity.Route{Hosts: []string{"*"}}},
		{"hosts.1", entity.Route{Hosts: []string{""}}},
		{"paths.2", entity.Route{Paths: []string{"/a", "~/a(", "/b"}}},
		{"headers.x-v", entity.Route{Headers: map[string][]string{"x-v": {"~*["}}}},
		{"sources.1.ip", entity.Route{Sources: []entity.Endpoint{{IP: "1.2.3"}}}},
		{"destinations.2.ip", entity.Route{Destinations: []entity.Endpoint{{IP: "::1"}, {IP: "10.0.0.0/33"}}}},
	} {
		c.route.ID, c.route.Name = "wrong", "name"
		next, errs := table.Update([]*entity.Route{{ID: "other", Paths: []string{"/other"}}, &c.route}, []string{"good"})
		if next != nil || len(errs) != 1 || errs[0].RouteID != "wrong" || errs[0].Name != "name" || errs[0].Field != c.field || errs[0].Message == "" {
			t.Errorf("%s: %+v", c.field, errs)
		}
	}
	q := at("/good")
	if got, ok := match(table, q); !ok || got.route != "good" || table.Len() != 1 {
		t.Error("a refused update has changed the table")
	}
}

// TestPathsAsWritten holds that text beyond ASCII matches requests in their escaped form.
func TestPathsAsWritten(t *testing.T) {
	table := update(t, &router.Table{}, []*entity.Route{
		{ID: "1", Paths: []string{"/café"}}, {ID: "2", Paths: []string{"/caf%C3%A9/x"}}, {ID: "3", Paths: []string{"/a b"}},
	})
	for path, want := range map[string]router.Match{
		"/caf%C3%A9":   {Prefix: "/caf%C3%A9", Shown: "/café"},
		"/caf%C3%A9/y": {Prefix: "/caf%C3%A9", Shown: "/café"},
		"/a%20b":       {Prefix: "/a%20b", Shown: "/a b"},
	} {
		var m router.Match
		if !table.Match(at(path), &m) {
			t.Errorf("%s does not match", path)
			continue
		}
		if m.Prefix != want.Prefix || m.Shown != want.Shown {
			t.Errorf("%s: %+v", path, m)
		}
	}
}

// TestGroups holds that a regular expression tells its groups with their names.
func TestGroups(t *testing.T) {
	table := update(t, &router.Table{}, []*entity.Route{{ID: "1", Paths: []string{`~/u/(?<id>\d+)(/x)?`}}, {ID: "2", Paths: []string{`~/look(?=ahead)`}}})
	var m router.Match
	if !table.Match(at("/u/12/y"), &m) {
		t.Fatal("no match")
	}
	if m.Prefix != "/u/12" || !cmp.Equal(m.Values, []string{"/u/12", "12", ""}) || !cmp.Equal(m.Names, []string{"", "id", ""}) {
		t.Errorf("%+v", m)
	}
	for path, want := range map[string]bool{"/lookahead": true, "/lookbehind": false} {
		if got := table.Match(at(path), &m); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestMatchesAllocateNothing(t *testing.T) {
	var routes []*entity.Route
	for i := range 500 {
		routes = append(
			routes,
			&entity.Route{ID: fmt.Sprint("p", i), Paths: []string{fmt.Sprintf("/svc%d", i)}},
			&entity.Route{ID: fmt.Sprint("h", i), Hosts: []string{fmt.Sprintf("h%d.example", i)}, Methods: []string{"GET"}},
			&entity.Route{ID: fmt.Sprint("w", i), Hosts: []string{fmt.Sprintf("*.w%d.example", i)}, Paths: []string{"/w"}, Headers: map[string][]string{"x-v": {"One"}}},
			&entity.Route{ID: fmt.Sprint("e", i), Hosts: []string{fmt.Sprintf("e%d.*", i)}, SNIs: []string{"*.example"}},
			&entity.Route{ID: fmt.Sprint("r", i), Paths: []string{fmt.Sprintf(`~/re%d/\d+$`, i)}},
		)
	}
	table := update(t, &router.Table{}, routes)
	header := &pdk.Header{}
	header.Add("X-V", "ONE")
	for _, e := range []expression.Request{
		{Method: "GET", Host: "any.test", Path: "/svc77/x/y"},
		{Method: "GET", Host: "h400.example", Path: "/svc77"},
		{Method: "PUT", Host: "a.b.w3.example", Path: "/w/x"},
		{Method: "PUT", Host: "e42.test", Path: "/", Protocol: "https", SNI: "a.example"},
		{Method: "GET", Host: "none.test", Path: "/nowhere"},
		{Method: "GET", Host: "none.test", Path: "/re7/x"},
	} {
		e.Header = header
		q := router.Request{Request: e}
		var m router.Match
		if n := testing.AllocsPerRun(200, func() { table.Match(&q, &m) }); n > 0 {
			t.Errorf("%s%s costs %v allocations", q.Host, q.Path, n)
		}
	}
}
