package router_test

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/dataplane/internal/router"
)

// question is an expression as a tree, with an obvious way to answer it.
type question interface {
	String() string
	holds(q *router.Request, a *answer) bool
}

// answer is what the last predicate about the path matched by.
type answer struct{ prefix string }

type anyOf []question

func (o anyOf) String() string { return joined(o, " || ") }

func (o anyOf) holds(q *router.Request, a *answer) bool {
	return slices.ContainsFunc(o, func(x question) bool { return x.holds(q, a) })
}

type allOf []question

func (o allOf) String() string { return joined(o, "&&") }

func (o allOf) holds(q *router.Request, a *answer) bool {
	return !slices.ContainsFunc(o, func(x question) bool { return !x.holds(q, a) })
}

type not struct{ question }

func (n not) String() string { return "!(" + n.question.String() + ")" }

func (n not) holds(q *router.Request, a *answer) bool { return !n.question.holds(q, a) }

func joined(list []question, op string) string {
	parts := make([]string, len(list))
	for i, x := range list {
		parts[i] = x.String()
		if _, isPredicate := x.(predicate); !isPredicate {
			parts[i] = "(" + parts[i] + ")"
		}
	}
	return strings.Join(parts, op)
}

// predicate compares the values of a field.
type predicate struct {
	field, op, literal string
	lower, any         bool
}

func (p predicate) String() string {
	f := p.field
	if p.lower {
		f = "lower(" + f + ")"
	}
	if p.any {
		f = "any(" + f + ")"
	}
	return f + " " + p.op + " " + p.literal
}

func (p predicate) holds(q *router.Request, a *answer) bool {
	values := naiveField(q, p.field)
	if len(values) == 0 {
		return false
	}
	for _, v := range values {
		if p.lower {
			v = strings.ToLower(v)
		}
		if p.compare(v, a) == p.any {
			return p.any
		}
	}
	return !p.any
}

func (p predicate) compare(v string, a *answer) bool {
	text, err := strconv.Unquote(p.literal)
	if err != nil {
		return compareOther(v, p.op, p.literal)
	}
	held, prefix := false, text
	switch p.op {
	case "==":
		held = v == text
	case "!=":
		return v != text
	case "^=":
		held = strings.HasPrefix(v, text)
	case "=^":
		held = strings.HasSuffix(v, text)
	case "contains":
		return strings.Contains(v, text)
	case "~":
		if m := regexp.MustCompile(text).FindStringIndex(v); m != nil {
			held, prefix = true, v[m[0]:m[1]]
		}
	}
	if held && p.field == "http.path" {
		a.prefix = prefix
	}
	return held
}

func compareOther(v, op, literal string) bool {
	if n, err := strconv.Atoi(literal); err == nil {
		got, _ := strconv.Atoi(v)
		return map[string]bool{"==": got == n, "!=": got != n, ">": got > n, ">=": got >= n, "<": got < n, "<=": got <= n}[op]
	}
	addr := netip.MustParseAddr(v)
	if prefix, err := netip.ParsePrefix(literal); err == nil {
		return prefix.Contains(addr) == (op == "in")
	}
	return (addr == netip.MustParseAddr(literal)) == (op == "==")
}

// naiveField returns the values of a field.
func naiveField(q *router.Request, field string) []string {
	one := func(s string) []string {
		if s == "" {
			return nil
		}
		return []string{s}
	}
	if name, ok := strings.CutPrefix(field, "http.headers."); ok {
		return naiveHeader(q, name)
	}
	if name, ok := strings.CutPrefix(field, "http.queries."); ok {
		values, _ := url.ParseQuery(q.RawQuery)
		return values[name]
	}
	segments := strings.Split(strings.TrimRight(q.Path[1:], "/"), "/")
	if strings.Trim(q.Path[1:], "/") == "" {
		segments = nil
	}
	if name, ok := strings.CutPrefix(field, "http.path.segments."); ok && name != "len" {
		first, second, isRange := strings.Cut(name, "_")
		if !isRange {
			second = first
		}
		from, _ := strconv.Atoi(first)
		to, _ := strconv.Atoi(second)
		if to >= len(segments) {
			return nil
		}
		return []string{strings.Join(segments[from:to+1], "/")}
	}
	switch field {
	case "net.protocol":
		return one(q.Protocol)
	case "tls.sni":
		return one(q.SNI)
	case "http.method":
		return one(q.Method)
	case "http.host":
		return one(q.Host)
	case "http.path":
		return one(q.Path)
	case "http.path.segments.len":
		return []string{strconv.Itoa(len(segments))}
	case "net.src.ip":
		return []string{q.Source.Addr().String()}
	case "net.src.port":
		return []string{strconv.Itoa(int(q.Source.Port()))}
	case "net.dst.ip":
		return []string{q.Destination.Addr().String()}
	}
	return []string{strconv.Itoa(q.Port)}
}

// question makes a random one.
func (d dice) question(depth int) question {
	if depth > 0 && d.Float64() < 0.5 {
		var list []question
		for range 1 + d.IntN(3) {
			list = append(list, d.question(depth-1))
		}
		switch d.IntN(5) {
		case 0, 1:
			return anyOf(list)
		case 2, 3:
			return allOf(list)
		}
		return not{list[0]}
	}
	text := func(of ...string) string { return strconv.Quote(d.one(of...)) }
	p := predicate{lower: d.IntN(4) == 0, any: d.IntN(3) == 0}
	switch d.IntN(9) {
	case 0, 1, 2:
		p.field, p.op, p.literal = "http.path", d.one("==", "^=", "^=", "=^", "!=", "contains"), text("/", "/a", "/ab", "/a/b", "b", "/b")
		if d.IntN(5) == 0 {
			p.op, p.literal = "~", text("^/a", "^/[ab]/", "b$", "^/a/b{1,2}", "^/(a|b)")
		}
	case 3:
		p.field, p.op, p.literal = "http.host", d.one("==", "==", "^=", "=^", "!="), text("a.example", ".example", "a.", "b.example", "e")
	case 4:
		p.field, p.op, p.literal = d.one("http.headers.x_v", "http.headers.x_w"), d.one("==", "!=", "~", "contains"), text("1", "2", "one", "v5")
	case 5:
		p.field, p.op, p.literal = d.one("http.queries.q", "http.queries.r"), d.one("==", "!=", "^="), text("1", "", "a b")
	case 6:
		p.field, p.op, p.literal = d.one("http.path.segments.0", "http.path.segments.1", "http.path.segments.0_1"), d.one("==", "^=", "=^", "!="), text("a", "b", "a/b")
	case 7:
		p.field, p.op, p.literal = d.one("http.method", "net.protocol", "tls.sni"), d.one("==", "!="), text("GET", "POST", "http", "https", "a.example")
	default:
		p.lower = false
		p.field, p.op, p.literal = "http.path.segments.len", d.one("==", "!=", ">", ">=", "<", "<="), strconv.Itoa(d.IntN(4))
		if d.IntN(2) == 0 {
			p.field, p.op, p.literal = d.one("net.dst.port", "net.src.port"), d.one("==", ">"), d.one("8000", "0")
		}
		if d.IntN(3) == 0 {
			p.field, p.op, p.literal = d.one("net.src.ip", "net.dst.ip"), d.one("in", "not in"), d.one("10.0.0.0/8", "127.0.0.1/32", "::/0")
		}
	}
	return p
}
