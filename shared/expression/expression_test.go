package expression_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func sample() *expression.Request {
	h := &pdk.Header{}
	for _, f := range [][2]string{{"X-One", "Alpha"}, {"x-two", "a"}, {"X-Two", "B"}, {"X_Raw", "raw"}, {"X-Raw", "dash"}, {"X-Empty", ""}} {
		h.Add(f[0], f[1])
	}
	return &expression.Request{
		Protocol: "http", Method: "GET", Host: "a.test", HostHeader: "A.test:8000", Path: "/api/v1/users/42",
		RawQuery: "q=1&q=2&flag&e%6Dpty=&plus=a+b&pct=%41b&name%20x=y", Header: h, Port: 8000,
		Source: netip.MustParseAddrPort("[::ffff:10.1.2.3]:5555"), Destination: netip.MustParseAddrPort("[fd00::1]:8443"),
	}
}

func TestMatch(t *testing.T) {
	for source, want := range map[string]bool{
		`http.path == "/api/v1/users/42"`: true, `http.path != "/"`: true, `http.path ^= "/api"`: true, `http.path ^= "api"`: false,
		`http.path =^ "/42"`: true, `http.path contains "users"`: true, `http.path contains "user/"`: false, `http.path ~ "v\\d/"`: true,
		`http.path ~ r#"^/v\d"#`: false, `http.path ~ r#"(?<=/v)1"#`: true, `lower(http.path) == "/api/v1/users/42"`: true,
		`http.method == "GET"`: true, `http.method == "get"`: false, `lower(http.method) == "get"`: true, `http.host == "a.test"`: true,
		`net.protocol == "http"`: true, `net.protocol != "http"`: false,
		// What is absent matches nothing, not even !=, but its negation does.
		`tls.sni == ""`: false, `tls.sni != "x"`: false, `!(tls.sni == "x")`: true, `http.headers.nope != "x"`: false, `http.queries.nope != "x"`: false,
		`http.headers.x_empty == ""`: true, `http.queries.flag == ""`: true, `http.queries.empty == ""`: true, `http.queries.empty != "x"`: true,
		// All values, or any.
		`http.headers.x_one == "Alpha"`: true, `http.headers.X_One == "Alpha"`: true, `lower(http.headers.x_one) == "alpha"`: true,
		`http.headers.x_two == "a"`: false, `any(http.headers.x_two) == "a"`: true, `any(lower(http.headers.x_two)) == "b"`: true,
		`lower(any(http.headers.x_two)) == "b"`: true, `http.headers.x_two != "c"`: true, `any(http.headers.x_two) != "a"`: true,
		`any(http.headers.x_two) == "c"`: false, `http.queries.q ~ "^[12]$"`: true, `http.queries.q == "1"`: false, `any(http.queries.q) == "2"`: true,
		`http.queries.plus == "a b"`: true, `http.queries.pct == "Ab"`: true, `lower(http.queries.pct) == "ab"`: true,
		// A header with "_" in its name goes before the one with "-".
		`http.headers.x_raw == "raw"`: true, `http.headers.X_Raw == "dash"`: true, `http.headers.host == "A.test:8000"`: true,
		`http.path.segments.0 == "api"`: true, `http.path.segments.3 == "42"`: true, `http.path.segments.4 == "42"`: false, `http.path.segments.4 != "42"`: false,
		`http.path.segments.1_2 == "v1/users"`: true, `http.path.segments.0_3 == "api/v1/users/42"`: true, `http.path.segments.2_4 ^= ""`: false,
		`http.path.segments.len == 4`: true, `http.path.segments.len >= 5`: false, `http.path.segments.len < 0x5`: true, `http.path.segments.len > -1`: true, `http.path.segments.len <= 04`: true,
		`net.src.ip in 10.0.0.0/8`: true, `net.src.ip not in 10.0.0.0/8`: false, `net.src.ip == 10.1.2.3`: true, `net.src.ip != 10.1.2.3`: false,
		`net.dst.ip in fd00::/8`: true, `net.dst.ip == fd00::1`: true, `net.dst.ip not  in ::/127`: true, `net.src.port == 5555`: true, `net.dst.port == 8000`: true, `net.port == 8000`: true,
		// || binds tighter than &&.
		`http.method == "POST" && http.path ^= "/api" || http.method == "GET"`:                         false,
		`http.method == "GET" || http.method == "POST" && http.path ^= "/nope" || http.path =^ "42"`:   true,
		`(http.method == "POST" && http.path ^= "/api") || http.method == "GET"`:                       true,
		`!(http.method == "POST")&&!( http.path == "/" || http.host == "b" )` + "\n\t&& net.port!=1\r": true,
	} {
		p, err := expression.Compile(source, expression.HTTP)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		q := sample()
		if got := p.Match(q); got != want {
			t.Errorf("%s: %v, want %v", source, got, want)
		}
		var r expression.Result
		if got := p.Explain(q, &r); got != want {
			t.Errorf("%s: Explain says %v, want %v", source, got, want)
		}
	}
}

func TestSegmentsOfShortPaths(t *testing.T) {
	for path, want := range map[string]string{
		"/": `http.path.segments.len == 0 && !(http.path.segments.0 ^= "")`, "/a": `http.path.segments.len == 1 && http.path.segments.0 == "a"`,
		"/a/": `http.path.segments.len == 1 && !(http.path.segments.0_1 ^= "")`, "*": `http.path.segments.len == 0`, "": `http.path.segments.len == 0`,
		"/a/b/": `http.path.segments.0_1 == "a/b"`,
	} {
		p, err := expression.Compile(want, expression.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Match(&expression.Request{Path: path}) {
			t.Errorf("%q: not %s", path, want)
		}
	}
}

func TestErrors(t *testing.T) {
	at := func(place, line, mark, message string) string {
		return " --> " + place + "\n  |\n1 | " + line + "\n  | " + mark + "\n  |\n  = " + message
	}
	for source, want := range map[string]string{
		`http.path ^= `:                       at("1:14", `http.path ^= `, "             ^---", "expected rhs"),
		`not http.path == "/"`:                at("1:5", `not http.path == "/"`, "    ^---", "expected binary_operator"),
		`bad(`:                                at("1:5", `bad(`, "    ^---", "expected lhs"),
		`()`:                                  at("1:2", `()`, " ^---", "expected term"),
		`! http.path == "/"`:                  at("1:1", `! http.path == "/"`, "^---", "expected term"),
		``:                                    at("1:1", ``, "^---", "expected term"),
		`http.path == "/" x`:                  at("1:18", `http.path == "/" x`, "                 ^---", "expected EOI, and_op, or or_op"),
		`(http.path == "/"`:                   at("1:18", `(http.path == "/"`, "                 ^---", "expected and_op or or_op"),
		`http.path == "/`:                     at("1:16", `http.path == "/`, "               ^---", "expected str_char or str_esc"),
		`http.path == "é\x"`:                  at("1:16", `http.path == "é\x"`, "               ^---", "expected str_char or str_esc"),
		`http.path == r#"/"`:                  at("1:19", `http.path == r#"/"`, "                  ^---", "expected rawstr_char"),
		`net.dst.port == -`:                   at("1:18", `net.dst.port == -`, "                 ^---", "expected oct_digits or dec_digits"),
		`upper(http.path) == "/"`:             at("1:1", `upper(http.path) == "/"`, "^--------------^", "unknown transformation function: upper"),
		`http.path ~ 1`:                       at("1:13", `http.path ~ 1`, "            ^", "regex operator can only be used with String operands"),
		`http.path ~ "a("`:                    at("1:13", `http.path ~ "a("`, "            ^--^", "regex parse error:\n    a(\nerror: missing closing parenthesis"),
		`net.src.ip == 300.1.1.1`:             at("1:15", `net.src.ip == 300.1.1.1`, "              ^-------^", "invalid IPv4 address syntax"),
		`net.src.ip in 10.0.0.1/8`:            at("1:15", `net.src.ip in 10.0.0.1/8`, "              ^--------^", "host part of address was not zero"),
		`net.src.ip in 10.0.0.0/33`:           at("1:15", `net.src.ip in 10.0.0.0/33`, "              ^---------^", "invalid length for network: Network length 33 is too long for Ipv4 (maximum: 32)"),
		`net.dst.port == 9999999999999999999`: at("1:17", `net.dst.port == 9999999999999999999`, "                ^-----------------^", "number too large to fit in target type"),
		"http.path == \"/\" &&\n  x y":        " --> 2:5\n  |\n2 |   x y\n  |     ^---\n  |\n  = expected binary_operator",

		`nope.field == "x"`:                 "Unknown LHS field",
		`http.headers.a.b == "x"`:           "Unknown LHS field",
		`http.path == 1`:                    "Type mismatch between the LHS and RHS values of predicate",
		`net.src.ip == "x"`:                 "Type mismatch between the LHS and RHS values of predicate",
		`net.src.ip == 10.0.0.0/8`:          "Type mismatch between the LHS and RHS values of predicate",
		`http.path > "1"`:                   "Greater/GreaterOrEqual/Lesser/LesserOrEqual operators only supports integer operands",
		`net.dst.port ^= 1`:                 "Regex/Prefix/Postfix operators only supports string operands",
		`net.dst.port contains 1`:           "Contains operator only supports string operands",
		`net.dst.port ~ "1"`:                "Regex operators only supports string operands",
		`lower(net.dst.port) == 1`:          "lower-case transformation function only supported with String type fields",
		`net.src.ip in 127.0.0.1`:           "In/NotIn operators only supports IP in CIDR",
		`http.path in 127.0.0.0/8`:          "In/NotIn operators only supports IP in CIDR",
		`http.path.segments.01 == "a"`:      "illformed http.path.segments.* field",
		`http.path.segments.2_1 == "a"`:     "illformed http.path.segments.* field",
		`http.path.segments.x == "a"`:       "illformed http.path.segments.* field",
		`http.path.segments.1_ == "a"`:      "illformed http.path.segments.* field",
		`http.path.segments.0_0 == "a"`:     "illformed http.path.segments.* field",
		strings.Repeat("(", 300) + `a == 1`: at("1:200", strings.Repeat("(", 300)+`a == 1`, strings.Repeat(" ", 199)+"^---", "parentheses nest too deep"),
	} {
		_, err := expression.Compile(source, expression.HTTP)
		if err == nil {
			t.Errorf("%s: no error", source)
		} else if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("%s: %s", source, diff)
		}
	}
	_, err := expression.Compile(`http.path == "/" && (nope == 1)`, expression.HTTP)
	e, ok := errors.AsType[*expression.Error](err)
	if !ok || e.Where() != "line 1, column 22: Unknown LHS field" {
		t.Errorf("%+v", e)
	}
	for _, source := range []string{`http.path == "/"`, `http.headers.a == "x"`} {
		if err := expression.Validate(source, []string{"tls"}); err == nil || err.Error() != "Unknown LHS field" {
			t.Errorf("a stream route with %s: %v", source, err)
		}
	}
	if err := expression.Validate(`tls.sni == "a" && net.src.port > 1`, []string{"tcp"}); err != nil {
		t.Error(err)
	}
	if _, err := expression.Compile(strings.Repeat(" ", expression.MaxLen+1), expression.HTTP); err == nil || !strings.Contains(err.Error(), "65536 bytes") {
		t.Error(err)
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		source, path  string
		hasPath       bool
		names, values []string
	}{
		{source: `http.method == "GET"`},
		{source: `http.path ^= "/api"`, path: "/api", hasPath: true},
		{source: `http.path =^ "/42"`, path: "/42", hasPath: true},
		{source: `http.path ^= "/api/v1" && http.path ^= "/api"`, path: "/api", hasPath: true},
		{source: `(http.path ^= "/api" && http.method == "PUT") || http.host == "a.test"`, path: "/api", hasPath: true},
		{source: `http.path ~ r#"^/api/(?<version>v\d)/(\w+)"#`, path: "/api/v1/users", hasPath: true, names: []string{"", "version", ""}, values: []string{"/api/v1/users", "v1", "users"}},
		{source: `http.headers.x_one ~ "A(.)" && http.path ^= "/"`, path: "/", hasPath: true, names: []string{"", ""}, values: []string{"Al", "l"}},
		{source: `http.headers.x_one ~ "A(?<x>.)" && http.path ~ "^/(a)"`, path: "/a", hasPath: true, names: []string{"", "", "x"}, values: []string{"/a", "a", "l"}},
	} {
		p, err := expression.Compile(c.source, expression.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		var r expression.Result
		if !p.Explain(sample(), &r) || r.Path != c.path || r.HasPath != c.hasPath || !cmp.Equal(r.Names, c.names) || !cmp.Equal(r.Values, c.values) {
			t.Errorf("%s: %+v", c.source, r)
		}
	}
}

func TestAnchors(t *testing.T) {
	everywhere := []expression.Anchor{{}}
	for source, want := range map[string][]expression.Anchor{
		`http.method == "GET"`:                                       everywhere,
		`!(http.path == "/a")`:                                       everywhere,
		`lower(http.path) == "/a"`:                                   everywhere,
		`http.path == "/a" || http.method == "X"`:                    everywhere,
		`http.path ^= "/a" && http.host == "h" || http.host =^ ".h"`: {{expression.ExactHost, "h", "/a"}, {expression.HostSuffix, ".h", "/a"}},
		`http.host ^= "h." && http.path ~ "^/a(b)c?"`:                {{expression.HostPrefix, "h.", "/ab"}},
		`http.path ~ "/a"`:                                           everywhere,
		`http.path.segments.0 == "x" && net.dst.port == 1`:           {{Path: "/x"}},
		`http.path ^= "/a" && http.path ^= "/a/b"`:                   {{Path: "/a/b"}},
		`http.host =^ "h" && http.path ^= "/"`:                       {{Path: "/"}},
	} {
		p, err := expression.Compile(source, expression.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, p.Anchors()); diff != "" {
			t.Errorf("%s: %s", source, diff)
		}
	}
}

func TestMatchesAllocateNothing(t *testing.T) {
	q := sample()
	for _, source := range []string{
		`http.path ^= "/api" && http.method == "GET" || http.method == "POST"`, `any(lower(http.headers.x_two)) == "b"`,
		`http.queries.plus == "a b" && lower(http.queries.pct) == "ab"`, `net.src.ip in 10.0.0.0/8 && http.path.segments.1_2 == "v1/users"`,
		`http.path ~ "^/api/v[0-9]+/"`,
	} {
		p, err := expression.Compile(source, expression.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			if !p.Match(q) {
				t.Error(source)
			}
		}); n > 0 {
			t.Errorf("%s costs %v allocations", source, n)
		}
	}
}
