// Package router matches requests with routes. It owns the order of precedence of
// each router_flavor, as one number a route and path group, and immutable tables that
// are followed by new ones at the cost of the change.
//
// A Table is a map of hosts (exact, by suffix for *.example, by prefix for example.*,
// and one for routes without hosts), each with a radix tree over paths. A regular
// expression hangs in the tree at its literal prefix, an expression at the anchors that
// it has. Where many entries meet at one place, they are filed once more: by a piece of
// text that a regular expression needs, by the value of a header, a server name or a
// method. A match walks the trees of the request's host, and of all entries on the way
// takes the one with the highest precedence whose other conditions hold; the walk does
// not depend on how many routes there are.
//
//	flavor                  a tie is broken by             priority of expressions
//	traditional_compatible  id, the larger first           -
//	traditional             created_at, the older first    -
//	expressions             id, the larger first           above all classic routes
//
// Beyond Kong, a path "=/foo" matches whole segments: /foo and /foo/bar, but not
// /foobar. It ranks as the prefix /foo does, and before it.
//
// The package refuses to look at services and plugins, and at protocols but for the
// expressions flavor: whether a route that matches may be used over plain HTTP is the
// caller's question.
package router

import (
	"strings"

	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
)

// Request is what routes look at. Host is in lower case and has no port, Path is
// normalised, Protocol is http or https.
type Request struct {
	expression.Request
	// HostPort is the port in the Host header, 0 for none.
	HostPort int
}

// Match is how a request matched. It is filled anew by each match, which keeps the
// memory of Names and Values.
type Match struct {
	Route *entity.Route
	// Slot is the route's number in the table, see Table.Slot.
	Slot uint32
	// Prefix is the part of the path that the route's path matched, "" for a route
	// without paths.
	Prefix string
	// Shown is the route's path as it was written, when that differs from Prefix: text
	// beyond ASCII is matched in its escaped form.
	Shown string
	// Names and Values are the groups of the regular expression that matched, Values[0] its
	// whole match; a group without name has "".
	Names, Values []string

	result  expression.Result
	offsets []int
}

// Reset empties the match and keeps its memory.
func (m *Match) Reset() {
	if len(m.Values) == 0 {
		m.Route, m.Prefix, m.Shown, m.result.HasPath, m.result.Path = nil, "", "", false, ""
		return
	}
	clear(m.Names)
	clear(m.Values)
	m.Route, m.Prefix, m.Shown, m.Names, m.Values = nil, "", "", m.Names[:0], m.Values[:0]
	m.result.Reset()
}

// Table is an immutable set of routes. The zero value has none, of the flavor
// traditional_compatible.
type Table struct {
	flavor   entity.Flavor
	exact    cow.Map[*tree] // "example.com"
	suffixes cow.Map[*tree] // ".example.com" for *.example.com
	prefixes cow.Map[*tree] // "example." for example.*
	any      *tree
	routes   cow.Map[*compiled]
	// slots is how many slots were ever needed, free are those that no route has.
	slots uint32
	free  []uint32
	// Which numbers of dots the keys of suffixes and prefixes have.
	suffixDots, prefixDots dotCounts
}

// dotCounts are how many keys have 1, 2, ... dots; the last counts all that have more.
type dotCounts [16]int32

func (d *dotCounts) of(dots int) *int32 { return &d[min(dots, len(d)-1)] }

// New returns an empty table of a flavor; "" is traditional_compatible.
func New(flavor entity.Flavor) *Table {
	if flavor == "" {
		flavor = entity.TraditionalCompatible
	}
	return &Table{flavor: flavor}
}

// Len returns the number of routes.
func (t *Table) Len() int { return t.routes.Len() }

// Slot returns the number that a route has as long as it is in a table and the ones that
// follow it, or until it is put again; another route may have it later. The numbers are
// small: whoever keeps something for each route can keep it in an array.
func (t *Table) Slot(id string) (slot uint32, ok bool) {
	c, ok := t.routes.Get(id)
	if !ok {
		return 0, false
	}
	return c.slot, true
}

// Match finds the route for a request. It does not allocate, unless a regular
// expression with groups matches.
func (t *Table) Match(q *Request, m *Match) bool {
	var best *entry
	t.trees(q, func(tr *tree) { best = tr.match(q, best) })
	if best == nil {
		return false
	}
	best.fill(q, m)
	return true
}

// trees calls fn with the trees that a request's host leads to.
func (t *Table) trees(q *Request, fn func(tr *tree)) {
	if q.Host != "" && t.exact.Len() > 0 {
		if tr, ok := t.exact.Get(q.Host); ok {
			fn(tr)
		}
	}
	if t.suffixes.Len()+t.prefixes.Len() > 0 {
		t.wild(q.Host, fn)
	}
	fn(t.any)
}

// wild calls fn with the trees of hosts with wildcards. What no key has the dots of is
// not looked up.
func (t *Table) wild(host string, fn func(tr *tree)) {
	all := strings.Count(host, ".")
	dots := 0
	for i := 0; i < len(host); i++ {
		if host[i] != '.' {
			continue
		}
		dots++
		if *t.suffixDots.of(all + 1 - dots) > 0 {
			if tr, ok := t.suffixes.Get(host[i:]); ok {
				fn(tr)
			}
		}
		if *t.prefixDots.of(dots) > 0 {
			if tr, ok := t.prefixes.Get(host[:i+1]); ok {
				fn(tr)
			}
		}
	}
}

// fill says how an entry matched.
func (e *entry) fill(q *Request, m *Match) {
	m.Reset()
	m.Route, m.Slot = e.entity, e.slot
	// The path begins with the key, and its memory has just been read.
	m.Prefix = q.Path[:len(e.key)]
	switch s := e.special; {
	case s == nil:
	case s.program != nil:
		m.Prefix = ""
		if s.program.Explain(&q.Request, &m.result) {
			m.Prefix = m.result.Path
			m.Names, m.Values = append(m.Names, m.result.Names...), append(m.Values, m.result.Values...)
		}
	case s.regex != nil:
		m.Prefix = ""
		found := s.regex.find(q.Path, m)
		if found == nil {
			return // it ran out of time when asked again
		}
		m.Prefix = q.Path[found[0]:found[1]]
		for i := 0; i+1 < len(found); i += 2 {
			value := ""
			if found[i] >= 0 {
				value = q.Path[found[i]:found[i+1]]
			}
			m.Values = append(m.Values, value)
		}
		m.Names = append(m.Names, s.regex.names...)
	default:
		m.Shown = s.shown
	}
}
