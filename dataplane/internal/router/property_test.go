package router_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// seed of all random cases here.
const seed = 20261124

// dice makes routes and requests of few words, so that many of them meet.
type dice struct{ *rand.Rand }

func newDice(stream uint64) dice {
	return dice{rand.New(rand.NewPCG(seed, stream))} //nolint:gosec // cases, not secrets
}

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
	hosts   = []string{"a.example", "b.example", "x.a.example", "a.com", "a.example:8000", "b.example:9000", "*.example", "*.a.example", "a.*", "x.a.*", "*.example:8000", "*.COM", "*.example:80", "a.*:443"}
	paths   = []string{"=/a", "=/a/b", "=/", "=/a/", "/", "/a", "/ab", "/abc", "/a/", "/a/b", "/a/b/c", "/b", "~/a", "~/a/(?<id>[a-z]+)$", "~/[ab]/.*", "~/(a|b)", "~/a|/b", "~/a?/b", "~/A", "~(?i)/A", "~/a/b{1,2}/?"}
	headers = []string{"1", "2", "One", "~*^v[0-9]$", "~*x", "~*^V5$"}
	snis    = []string{"a.example", "*.example", "a.*", "b.example."}
)

func (d dice) id() string {
	var id [16]byte
	for i := range id {
		id[i] = byte(d.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return uuid.UUID(id).String()
}

// route makes a classic route.
func (d dice) route() *entity.Route {
	r := &entity.Route{
		ID: d.id(), Methods: d.some(0.2, "GET", "POST", "PUT"), Hosts: d.some(0.4, hosts...), CreatedAt: int64(d.IntN(5)),
		Paths: d.some(0.7, paths...), SNIs: d.some(0.1, snis...), RegexPriority: d.IntN(4) - 1,
		Protocols: [][]string{{"http", "https"}, {"http"}, {"https"}, {"grpc"}, {"grpcs", "grpc"}, {"grpcs"}}[d.IntN(6)],
	}
	for _, name := range d.some(0.2, "X-V", "x-w", "X_V") {
		if r.Headers == nil {
			r.Headers = map[string][]string{}
		}
		r.Headers[name] = append(d.some(0.4, "1", "2", "three", "~*5"), d.one(headers...))
	}
	for range d.IntN(20) / 18 {
		r.Sources = append(r.Sources, entity.Endpoint{IP: d.one("", "10.0.0.1", "10.0.0.0/8", "::1"), Port: 1000 * d.IntN(2)})
		r.Destinations = append(r.Destinations, entity.Endpoint{IP: d.one("127.0.0.1", "0.0.0.0/0"), Port: 8000})
	}
	return r
}

// dense makes a classic route of a set where many meet at the same place.
func (d dice) dense() *entity.Route {
	r := &entity.Route{ID: d.id(), Paths: []string{d.one("/", "/a", "~/a", "~/[a-z]/(b|c)", "~/[a-z]+/bb/?", "~/.*/c/d", "~/[ab]/b(/c/d)?")}}
	switch d.IntN(4) {
	case 0:
		r.Methods = []string{d.one("GET", "POST", "PUT"), "DELETE"}
	case 1:
		r.Headers = map[string][]string{d.one("x-v", "x-w"): {d.one("1", "2", "One", "Three", "v5")}}
	case 2:
		r.SNIs = []string{d.one(snis...)}
	}
	return r
}

// some routes of a flavor, and the questions that their expressions are.
func (d dice) routes(flavor entity.Flavor, n int) *naive {
	out := &naive{flavor: flavor, questions: map[string]question{}}
	dense := d.IntN(3) == 0
	for range n {
		r := d.route()
		if dense {
			r = d.dense()
		}
		if flavor == entity.Expressions && d.IntN(2) == 0 {
			out.questions[r.ID] = d.question(3)
			r = &entity.Route{ID: r.ID, Protocols: r.Protocols, Expression: out.questions[r.ID].String(), Priority: uint64(d.IntN(5))}
		}
		out.routes = append(out.routes, r)
	}
	return out
}

func (d dice) request() *router.Request {
	q := &router.Request{HostPort: d.IntN(2) * (8000 + 1000*d.IntN(2))}
	q.Request = expression.Request{
		Method: d.one("GET", "POST", "DELETE"), Host: d.one("", "a.example", "b.example", "x.a.example", "y.example", "a.com", "x.a.net", "other", "example", ".example", "a."),
		Port: 8000, Path: d.one("/", "/a", "/A", "/ab", "/abcd", "/a/", "/a/b", "/a/bb/", "/a/b/c/d", "/b", "/b/b", "/c", "/c/b", "*"),
		Protocol: d.one("http", "https"), Header: &pdk.Header{}, RawQuery: d.one("", "q=1", "q", "q=a+b&r=1", "r=&q=2&q=1"),
		Source:      netip.AddrPortFrom(netip.MustParseAddr(d.one("10.0.0.1", "10.9.9.9", "::1")), uint16(1000*d.IntN(2))),
		Destination: netip.MustParseAddrPort(d.one("127.0.0.1:8000", "127.0.0.2:8000")),
	}
	if q.HostPort != 0 {
		q.Port = q.HostPort
	}
	if q.Protocol == "https" {
		q.SNI = d.one("", "a.example", "A.example.", "b.example", "a.com")
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
	f := found{route: m.Route.ID, prefix: m.Prefix}
	if m.Route.Expression == "" && len(m.Values) > 0 {
		f.values = m.Values
	}
	return f, true
}

var flavors = []entity.Flavor{entity.TraditionalCompatible, entity.Traditional, entity.Expressions}

// rounds is how often a property is tried: a little by default, and as often as
// ROUTER_ROUNDS says.
func rounds(t *testing.T, otherwise int) int {
	t.Helper()
	s := os.Getenv("ROUTER_ROUNDS")
	if s == "" {
		if testing.Short() {
			return otherwise / 4
		}
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAgreesWithNaive compares random tables with a matcher that looks at everything. A
// million requests are ROUTER_ROUNDS=5600.
func TestAgreesWithNaive(t *testing.T) {
	for i, flavor := range flavors {
		t.Run(string(flavor), func(t *testing.T) {
			d := dice{rand.New(rand.NewPCG(seed, uint64(i)))} //nolint:gosec // cases, not secrets
			cases, matched := 0, 0
			for round := range rounds(t, 60) {
				n := d.routes(flavor, 1+d.IntN(80))
				table := update(t, router.New(flavor), n.routes)
				if table.Len() != len(n.routes) {
					t.Fatalf("seed %d round %d: Len() = %d, want %d", seed, round, table.Len(), len(n.routes))
				}
				for range 60 {
					q := d.request()
					want, wantOK := n.match(q)
					got, ok := match(table, q)
					if ok != wantOK || !cmp.Equal(got, want, cmp.AllowUnexported(found{})) {
						t.Fatalf("seed %d round %d: %s\nfound %v %+v, want %v %+v\n%s\n%s", seed, round, describe(q), ok, got, wantOK, want, find(n.routes, got.route), find(n.routes, want.route))
					}
					cases++
					if ok {
						matched++
					}
					if cases%8 == 0 {
						explained(t, n, table, q, got)
					}
				}
			}
			t.Logf("%d cases, %d of them with a route", cases, matched)
			if matched < cases/3 || matched > cases*199/200 {
				t.Errorf("%d of %d cases have a route, which tests little", matched, cases)
			}
		})
	}
}

// explained holds that Explain lists what matches, each with a reason why it lost.
func explained(t *testing.T, n *naive, table *router.Table, q *router.Request, winner found) {
	t.Helper()
	best := map[string]place{}
	n.all(q, func(f found, k place) {
		if old, ok := best[f.route]; !ok || k.compare(old) > 0 {
			best[f.route] = k
		}
	})
	want := slices.SortedFunc(maps.Keys(best), func(a, b string) int { return best[b].compare(best[a]) })
	var got []string
	for i, c := range table.Explain(q) {
		got = append(got, c.Route.ID)
		if (c.Lost == "") != (i == 0) || c.Lost == "the same place in the order of precedence" {
			t.Fatalf("%s: candidate %d lost: %q", describe(q), i, c.Lost)
		}
		if i == 0 && (c.Route.ID != winner.route || c.Prefix != winner.prefix) {
			t.Fatalf("%s: explained by %s %s, matched by %+v", describe(q), c.Route.ID, c.Prefix, winner)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s: explained by %v, want %v", describe(q), got, want)
	}
}

// TestUpdatesEqualRebuild changes one table many times and compares it with tables that
// are made at once; tables before stay as they were.
func TestUpdatesEqualRebuild(t *testing.T) {
	for i, flavor := range flavors {
		t.Run(string(flavor), func(t *testing.T) { updatesEqualRebuild(t, flavor, uint64(i)) })
	}
}

func updatesEqualRebuild(t *testing.T, flavor entity.Flavor, stream uint64) {
	d := dice{rand.New(rand.NewPCG(seed, 10+stream))} //nolint:gosec // cases, not secrets
	table, now := router.New(flavor), map[string]*entity.Route{}
	questions := map[string]question{}
	naiveOf := func(routes []*entity.Route) *naive {
		return &naive{flavor: flavor, routes: routes, questions: maps.Clone(questions)}
	}
	for round := range rounds(t, 50) {
		before, old := table, naiveOf(list(now))
		var put []*entity.Route
		var removed []string
		for id := range now {
			switch d.IntN(8) {
			case 0:
				removed = append(removed, id)
			case 1:
				n := d.routes(flavor, 1)
				n.routes[0].ID, questions[id] = id, n.questions[n.routes[0].ID]
				put = append(put, n.routes[0])
			}
		}
		n := d.routes(flavor, d.IntN(30))
		put = append(put, n.routes...)
		maps.Copy(questions, n.questions)
		for _, id := range removed {
			delete(now, id)
		}
		for _, r := range put {
			now[r.ID] = r
		}
		table = update(t, table, put, append(removed, "never-there")...)
		routes := list(now)
		rebuilt := update(t, router.New(flavor), routes)
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
			want, wantOK = old.match(q)
			if ok != wantOK || got.route != want.route {
				t.Fatalf("seed %d round %d: %s: the table before an update finds %v %+v, want %v %+v", seed, round, describe(q), ok, got, wantOK, want)
			}
		}
	}
	table = update(t, table, nil, slices.Collect(maps.Keys(now))...)
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
	return fmt.Sprintf("%s %s://%s:%d(%d)%s?%s %s from %s to %s with %v", q.Method, q.Protocol, q.Host, q.Port, q.HostPort, q.Path, q.RawQuery, q.SNI, q.Source, q.Destination, q.Header.Fields())
}
