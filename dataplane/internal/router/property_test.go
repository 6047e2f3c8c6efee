package router_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// seed of all random cases here.
const seed = 20261124

// dice makes routes and requests of few words, so that many of them meet.
type dice struct{ *rand.Rand }

func (d dice) one(of ...string) string { return of[d.IntN(len(of))] }

func (d dice) some(chance float64, of ...string) []string {
	var out []string
	for d.Float64() < chance && len(out) < len(of) {
		if s := d.one(of...); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

var (
	hosts   = []string{"a.example", "b.example", "x.a.example", "a.com", "a.example:8000", "b.example:9000", "*.example", "*.a.example", "a.*", "x.a.*", "*.example:8000", "*.COM"}
	paths   = []string{"/", "/a", "/ab", "/abc", "/a/", "/a/b", "/a/b/c", "/b", "~/a", "~/a/(?<id>[a-z]+)$", "~/[ab]/.*", "~/(a|b)", "~/a|/b", "~/a?/b", "~/A", "~(?i)/A", "~/a/b{1,2}/?"}
	headers = []string{"1", "2", "One", "~*^v[0-9]$", "~*x"}
	snis    = []string{"a.example", "*.example", "a.*", "b.example."}
)

func (d dice) route() *entity.Route {
	var id [16]byte
	for i := range id {
		id[i] = byte(d.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	r := &entity.Route{
		ID: uuid.UUID(id).String(), Methods: d.some(0.2, "GET", "POST", "PUT"), Hosts: d.some(0.4, hosts...),
		Paths: d.some(0.7, paths...), SNIs: d.some(0.1, snis...), RegexPriority: d.IntN(4) - 1,
	}
	for _, name := range d.some(0.2, "X-V", "x-w") {
		if r.Headers == nil {
			r.Headers = map[string][]string{}
		}
		r.Headers[name] = append(d.some(0.4, "1", "2", "three"), d.one(headers...))
	}
	for range d.IntN(20) / 18 {
		r.Sources = append(r.Sources, entity.Endpoint{IP: d.one("", "10.0.0.1", "10.0.0.0/8", "::1"), Port: 1000 * d.IntN(2)})
		r.Destinations = append(r.Destinations, entity.Endpoint{IP: d.one("127.0.0.1", "0.0.0.0/0"), Port: 8000})
	}
	return r
}

func (d dice) request() *router.Request {
	q := &router.Request{
		Method: d.one("GET", "POST", "DELETE"), Host: d.one("", "a.example", "b.example", "x.a.example", "y.example", "a.com", "x.a.net", "other", "example", ".example"),
		Port: 8000 + 1000*d.IntN(2), Path: d.one("/", "/a", "/A", "/ab", "/abcd", "/a/", "/a/b", "/a/bb/", "/a/b/c/d", "/b", "/b/b", "/c", "/c/b", "*"),
		TLS: d.IntN(2) == 0, SNI: d.one("", "a.example", "A.example.", "b.example", "a.com"), Header: &pdk.Header{},
		Source:      netip.AddrPortFrom(netip.MustParseAddr(d.one("10.0.0.1", "10.9.9.9", "::1")), uint16(1000*d.IntN(2))),
		Destination: netip.MustParseAddrPort(d.one("127.0.0.1:8000", "127.0.0.2:8000")),
	}
	for _, name := range d.some(0.6, "x-v", "X-W", "x_v", "other") {
		for range 1 + d.IntN(2) {
			q.Header.Add(name, d.one("1", "2", "ONE", "three", "v5", "V5", "axe", ""))
		}
	}
	return q
}

func update(t *testing.T, table *router.Table, put []*entity.Route, removed ...string) *router.Table {
	t.Helper()
	next, errs := table.Update(put, removed)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return next
}

func match(table *router.Table, q *router.Request) (found, bool) {
	var m router.Match
	if !table.Match(q, &m) {
		return found{}, false
	}
	return found{m.Route.ID, m.Prefix, m.Groups}, true
}

// TestAgreesWithNaive compares random tables with a matcher that looks at everything.
func TestAgreesWithNaive(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // cases, not secrets
	cases, matched := 0, 0
	for round := range 400 {
		var routes []*entity.Route
		for range 1 + d.IntN(40) {
			routes = append(routes, d.route())
		}
		table := update(t, &router.Table{}, routes)
		if table.Len() != len(routes) {
			t.Fatalf("seed %d round %d: Len() = %d, want %d", seed, round, table.Len(), len(routes))
		}
		for range 60 {
			q := d.request()
			want, wantOK := naive(routes, q)
			got, ok := match(table, q)
			if ok != wantOK || !cmp.Equal(got, want, cmp.AllowUnexported(found{})) {
				t.Fatalf("seed %d round %d: %s\nfound %v %+v, want %v %+v\n%s\n%s", seed, round, describe(q), ok, got, wantOK, want, find(routes, got.route), find(routes, want.route))
			}
			cases++
			if ok {
				matched++
			}
		}
	}
	t.Logf("%d cases, %d of them with a route", cases, matched)
	if matched < cases/3 || matched > cases*19/20 {
		t.Errorf("%d of %d cases have a route, which tests little", matched, cases)
	}
}

// TestUpdatesEqualRebuild changes one table many times and compares it with tables that
// are made at once; tables before stay as they were.
func TestUpdatesEqualRebuild(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(seed, 2))} //nolint:gosec // cases, not secrets
	table, now := &router.Table{}, map[string]*entity.Route{}
	for round := range 300 {
		before, old := table, list(now)
		var put []*entity.Route
		var removed []string
		for id := range now {
			switch d.IntN(8) {
			case 0:
				removed = append(removed, id)
			case 1:
				r := d.route()
				r.ID = id
				put = append(put, r)
			}
		}
		for range d.IntN(6) {
			put = append(put, d.route())
		}
		for _, id := range removed {
			delete(now, id)
		}
		for _, r := range put {
			now[r.ID] = r
		}
		table = update(t, table, put, append(removed, "never-there")...)
		routes := list(now)
		rebuilt := update(t, &router.Table{}, routes)
		if table.Len() != len(now) {
			t.Fatalf("seed %d round %d: Len() = %d, want %d", seed, round, table.Len(), len(now))
		}
		for range 40 {
			q := d.request()
			got, ok := match(table, q)
			want, wantOK := match(rebuilt, q)
			if ok != wantOK || !cmp.Equal(got, want, cmp.AllowUnexported(found{})) {
				t.Fatalf("seed %d round %d: %s: found %v %+v, a rebuilt table %v %+v", seed, round, describe(q), ok, got, wantOK, want)
			}
			got, ok = match(before, q)
			want, wantOK = naive(old, q)
			if ok != wantOK || got.route != want.route {
				t.Fatalf("seed %d round %d: %s: the table before an update finds %v %+v, want %v %+v", seed, round, describe(q), ok, got, wantOK, want)
			}
		}
	}
	var all []string
	for id := range now {
		all = append(all, id)
	}
	table = update(t, table, nil, all...)
	if _, ok := match(table, d.request()); ok || table.Len() != 0 {
		t.Errorf("a table that was emptied has %d routes", table.Len())
	}
}

func list(routes map[string]*entity.Route) []*entity.Route {
	var out []*entity.Route
	for _, r := range routes {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *entity.Route) int { return cmpText(a.ID, b.ID) })
	return out
}

func cmpText(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

func find(routes []*entity.Route, id string) string {
	for _, r := range routes {
		if r.ID == id {
			return fmt.Sprintf("%+v", *r)
		}
	}
	return "no route"
}

func describe(q *router.Request) string {
	return fmt.Sprintf("%s %s:%d%s tls=%v %s from %s to %s with %v", q.Method, q.Host, q.Port, q.Path, q.TLS, q.SNI, q.Source, q.Destination, q.Header.Fields())
}
