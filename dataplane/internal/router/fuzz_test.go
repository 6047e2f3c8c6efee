package router_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
)

// FuzzRegex compares what the router makes of a pattern with Go's engine: its place in
// the tree, its pieces of text, and the walk over patterns that need no engine.
func FuzzRegex(f *testing.F) {
	for _, c := range [][2]string{
		{`/u/(?<id>\d+)$`, "/u/12"},
		{`/a/[^/]+/b(/c)?`, "/a/x/b/c"},
		{`/a+b/?$`, "/aab/"},
		{`/(a|b)/c`, "/a/c"},
		{`/x\.(json|xml)`, "/x.xml"},
		{`/é+`, "/éé"},
		{`/.*/end`, "/a/end"},
		{`/a|/b`, "/b"},
		{`(?i)/A`, "/a"},
		{`/(?:ab)+c`, "/ababc"},
		{`/[a-z]*z`, "/zz"},
		{`/a{2,3}`, "/aaa"},
		{`/[^/]+$`, "/é"},
		{`/((x)y)?z`, "/xyz"},
	} {
		f.Add(c[0], c[1])
	}
	others := patterns(40)
	f.Fuzz(func(t *testing.T, pattern, path string) {
		re, err := regexp.Compile("^" + pattern)
		if err != nil || !strings.HasPrefix(pattern, "/") || path == "" {
			return
		}
		route := &entity.Route{ID: "00000000-0000-4000-8000-000000000000", RegexPriority: 1, Paths: []string{"~" + pattern}}
		want := re.FindStringSubmatch(path)
		for _, routes := range [][]*entity.Route{{route}, append(others, route)} { // in a list, and in an index
			table := update(t, router.New(""), routes)
			var m router.Match
			if !table.Match(at(path), &m) || m.Route != route {
				if want != nil {
					t.Fatalf("%q does not match %q", pattern, path)
				}
				continue
			}
			if want == nil || m.Prefix != want[0] || !cmp.Equal(m.Values, want) || !cmp.Equal(m.Names, re.SubexpNames()) {
				t.Fatalf("%q in %q: %q with %q, want %q", pattern, path, m.Values, m.Names, want)
			}
		}
	})
}

// patterns are routes with regular expressions of a lower regex_priority.
func patterns(n int) []*entity.Route {
	var out []*entity.Route
	for i := range n {
		id := "00000000-0000-4000-8000-0000000000" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		out = append(out, &entity.Route{ID: id, Paths: []string{`~/[a-z]+/only` + id[34:] + `/x`, `~/.*`}})
	}
	return out
}

// FuzzRequest compares tables of fixed routes with the naive matcher on any host and
// path.
func FuzzRequest(f *testing.F) {
	for _, s := range [][3]string{{"a.example", "/a/b", "1"}, {"x.a.example", "/", ""}, {".example", "/a/", "x"}, {"a.", "*", "\xff"}, {"", "//", "a b"}} {
		f.Add(s[0], s[1], s[2])
	}
	var tables []*router.Table
	var naives []*naive
	for i, flavor := range flavors {
		d := newDice(uint64(50 + i))
		n := d.routes(flavor, 120)
		table, errs := router.New(flavor).Update(n.routes, nil)
		if len(errs) > 0 {
			f.Fatal(errs)
		}
		tables, naives = append(tables, table), append(naives, n)
	}
	f.Fuzz(func(t *testing.T, host, path, value string) {
		if path == "" || strings.ToLower(host) != host || strings.ToLower(value) != strings.Map(lowerASCII, value) {
			return // never asked so: paths are not empty, and case is that of ASCII
		}
		q := at(path)
		q.Host, q.Method, q.Protocol, q.Port = host, "GET", "http", 8000
		q.Header.Add("X-V", value)
		q.Source, q.Destination = newDice(1).request().Source, newDice(1).request().Destination
		for i, table := range tables {
			want, wantOK := naives[i].match(q)
			got, ok := match(table, q)
			if ok != wantOK || !cmp.Equal(got, want, cmp.AllowUnexported(found{})) {
				t.Fatalf("%s: %s: found %v %+v, want %v %+v", flavors[i], describe(q), ok, got, wantOK, want)
			}
		}
	})
}

func lowerASCII(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}
