package expression

import (
	"net/netip"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Result is what a match leaves behind, for routes. The zero value is ready, and may
// be used again after Reset.
type Result struct {
	// Path is what the last predicate about http.path matched by: its text, or what a
	// regular expression found. HasPath tells whether there was one.
	Path    string
	HasPath bool
	// Names and Values are the groups of the regular expressions that matched; Values[0]
	// is a whole match, and "" the name of a group without.
	Names, Values []string
}

// Reset empties the result and keeps its memory.
func (r *Result) Reset() {
	clear(r.Names)
	clear(r.Values)
	*r = Result{Names: r.Names[:0], Values: r.Values[:0]}
}

// Match tells whether a request matches. It does not allocate.
func (p *Program) Match(q *Request) bool { return p.root.match(q, nil) }

// Explain matches again and fills what the match leaves behind.
func (p *Program) Explain(q *Request, r *Result) bool {
	r.Reset()
	return p.root.match(q, r)
}

func (n *node) match(q *Request, r *Result) bool {
	switch n.kind {
	case nodeAnd:
		for i := range n.nodes {
			if !n.nodes[i].match(q, r) {
				return false
			}
		}
		return true
	case nodeOr:
		for i := range n.nodes {
			if n.nodes[i].match(q, r) {
				return true
			}
		}
		return false
	case nodeNot:
		return !n.nodes[0].match(q, r)
	}
	return n.predicate.match(q, r)
}

func (p *predicate) match(q *Request, r *Result) bool {
	switch p.field.kind {
	case fieldProtocol:
		return p.present(q, q.Protocol, r)
	case fieldSNI:
		return p.present(q, q.SNI, r)
	case fieldMethod:
		return p.str(q, q.Method, r)
	case fieldHost:
		return p.present(q, q.Host, r)
	case fieldPath:
		return p.str(q, q.Path, r)
	case fieldSegmentCount:
		return p.int(int64(segmentCount(q.Path)))
	case fieldSegments:
		s, ok := segmentRange(q.Path, p.field.from, p.field.to)
		return ok && p.str(q, s, r)
	case fieldHeader:
		return p.header(q, r)
	case fieldQuery:
		return p.query(q, r)
	case fieldSourceIP:
		return p.address(q.Source.Addr())
	case fieldSourcePort:
		return q.Source.IsValid() && p.int(int64(q.Source.Port()))
	case fieldDestinationIP:
		return p.address(q.Destination.Addr())
	}
	return q.Port != 0 && p.int(int64(q.Port))
}

func (p *predicate) present(q *Request, s string, r *Result) bool {
	return s != "" && p.str(q, s, r)
}

// header looks at the lines of a header. A name with "_" is first taken as it is.
func (p *predicate) header(q *Request, r *Result) bool {
	if q.Header == nil {
		return false
	}
	if p.field.header.dashed == "host" {
		return p.present(q, q.HostHeader, r)
	}
	fields := q.Header.Fields()
	name := p.field.header.In(q.Header)
	some := false
	for i := range fields {
		if !pdk.EqualFold(fields[i].Name, name) {
			continue
		}
		some = true
		if p.str(q, fields[i].Value, r) {
			if p.any {
				return true
			}
		} else if !p.any {
			return false
		}
	}
	return some && !p.any
}

func (p *predicate) query(q *Request, r *Result) bool {
	some := false
	for arg, rest, ok := pdk.NextArg(q.RawQuery); ok; arg, rest, ok = pdk.NextArg(rest) {
		if !pdk.EscapedEqual(arg.Name, p.field.name) {
			continue
		}
		some = true
		if p.str(q, q.unescaped(arg.Value), r) {
			if p.any {
				return true
			}
		} else if !p.any {
			return false
		}
	}
	return some && !p.any
}

func (p *predicate) str(q *Request, s string, r *Result) bool {
	if p.lower {
		s = q.Lower(s)
	}
	held := false
	switch p.op {
	case opEqual:
		held = s == p.text
	case opNotEqual:
		return s != p.text
	case opPrefix:
		held = strings.HasPrefix(s, p.text)
	case opSuffix:
		held = strings.HasSuffix(s, p.text)
	case opContains:
		return strings.Contains(s, p.text)
	case opRegex:
		if r == nil {
			return q.MatchRegex(p.regex, s)
		}
		return q.MatchRegex(p.regex, s) && r.groups(p, s)
	}
	if held && r != nil && p.field.kind == fieldPath {
		r.Path, r.HasPath = p.text, true
	}
	return held
}

// groups matches a regular expression and keeps what it found. Groups of an earlier
// one with the same number are overwritten, as Kong does.
func (r *Result) groups(p *predicate, s string) bool {
	found := p.regex.Find(s)
	if found == nil {
		return false
	}
	s = strings.Clone(s) // may be made text
	if p.field.kind == fieldPath {
		r.Path, r.HasPath = s[found[0]:found[1]], true
	}
	first := len(r.Values) == 0
	names := p.regex.Names()
	for i := 0; 2*i+1 < len(found); i++ {
		if i >= len(r.Values) {
			r.Values, r.Names = append(r.Values, ""), append(r.Names, "")
		}
		if found[2*i] < 0 {
			if first {
				r.Names[i] = names[i]
			}
			continue
		}
		value := s[found[2*i]:found[2*i+1]]
		if first || names[i] == r.Names[i] {
			r.Values[i], r.Names[i] = value, names[i]
			continue
		}
		// A name of before stays found by it, behind the numbers.
		if old := r.Names[i]; old != "" {
			r.Values, r.Names = append(r.Values, r.Values[i]), append(r.Names, old)
		}
		r.Values[i], r.Names[i] = value, names[i]
	}
	return true
}

func (p *predicate) int(n int64) bool {
	switch p.op {
	case opEqual:
		return n == p.number
	case opNotEqual:
		return n != p.number
	case opGreater:
		return n > p.number
	case opGreaterEqual:
		return n >= p.number
	case opLess:
		return n < p.number
	case opLessEqual:
		return n <= p.number
	}
	return false
}

func (p *predicate) address(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	a = a.Unmap()
	switch p.op {
	case opEqual:
		return a.WithZone("") == p.addr
	case opNotEqual:
		return a.WithZone("") != p.addr
	case opIn:
		return p.prefix.Contains(a.WithZone(""))
	case opNotIn:
		return !p.prefix.Contains(a.WithZone(""))
	}
	return false
}

// segmentCount counts the segments of a path: /a/b and /a/b/ have two, / none.
func segmentCount(path string) int {
	path = inner(path)
	if path == "" {
		return 0
	}
	return 1 + strings.Count(path, "/")
}

// segmentRange returns the segments from one number to another, counted from 0.
func segmentRange(path string, from, to int) (string, bool) {
	path = inner(path)
	if path == "" {
		return "", false
	}
	start := 0
	for range from {
		i := strings.IndexByte(path[start:], '/')
		if i < 0 {
			return "", false
		}
		start += i + 1
	}
	end := start - 1
	for range to - from + 1 {
		if end == len(path) {
			return "", false
		}
		if i := strings.IndexByte(path[end+1:], '/'); i >= 0 {
			end += i + 1
		} else {
			end = len(path)
		}
	}
	return path[start:end], true
}

// inner is the path without its slashes at the ends.
func inner(path string) string {
	if path != "" {
		path = path[1:]
	}
	return strings.TrimRight(path, "/")
}
