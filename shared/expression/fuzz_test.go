package expression_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluice-gateway/sluice/shared/expression"
)

// FuzzCompile holds that no source panics, that errors stand inside of the source, and
// that a program's anchors hold for what it matches.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		`http.path ^= "/api" && any(lower(http.headers.x_two)) == "b"`, `!(net.src.ip in 10.0.0.0/8) || http.path ~ r#"^/(\d+)"#`,
		`http.path.segments.0_1 == "a/b"`, "a ==\n\t\"\\\"\"", `lower(any(lower(http.queries.q))) contains "é"`, `net.dst.port == -0x7f`, `(((`, `http.host =^ ".t" && net.dst.ip == ::1`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		p, err := expression.Compile(source, expression.HTTP)
		if err != nil {
			e, ok := errors.AsType[*expression.Error](err)
			if !ok || e.Line < 1 || e.Line > 1+strings.Count(source, "\n") || e.Column < 1 || e.Column > 20+utf8.RuneCountInString(source) || e.Error() == "" {
				t.Fatalf("%q: %#v", source, err)
			}
			return
		}
		q := sample()
		var r expression.Result
		if got := p.Match(q); got != p.Explain(q, &r) {
			t.Fatalf("%q: Match and Explain differ", source)
		} else if got && !atAnchor(p.Anchors(), q) {
			t.Fatalf("%q matches, but at none of %v", source, p.Anchors())
		}
	})
}

func atAnchor(list []expression.Anchor, q *expression.Request) bool {
	for _, a := range list {
		if !strings.HasPrefix(q.Path, a.Path) {
			continue
		}
		switch a.Kind {
		case expression.AnyHost:
			return true
		case expression.ExactHost:
			if q.Host == a.Host {
				return true
			}
		case expression.HostSuffix:
			if strings.HasSuffix(q.Host, a.Host) {
				return true
			}
		case expression.HostPrefix:
			if strings.HasPrefix(q.Host, a.Host) {
				return true
			}
		}
	}
	return false
}

// FuzzQuery compares what a predicate sees of a query with what net/url does.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"a=1&b=2", "a", "a=%41+x&a=b", "b=%zz&a", "%61=1", "&&a=&"} {
		f.Add(s)
	}
	equal, err := expression.Compile(`any(http.queries.a) == "1"`, expression.HTTP)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if strings.Contains(query, ";") {
			return // net/url refuses it, clients of Kong do not
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		want := false
		for _, v := range values["a"] {
			want = want || v == "1"
		}
		if got := equal.Match(&expression.Request{RawQuery: query}); got != want {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	})
}
