package router

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/shared/entity"
)

// Candidate is a route that matches a request, by the path that does.
type Candidate struct {
	Match
	// Path is the route's path as it was written, "" for a route without paths and for an
	// expression.
	Path string
	// Lost says why the route before this one goes first; "" for the one that wins.
	Lost string
}

// Explain returns all routes that match a request, the one that Match finds first, each
// with the path that has the highest precedence. It walks what Match walks.
func (t *Table) Explain(q *Request) []Candidate {
	var all []*entry
	t.trees(q, func(tr *tree) { tr.all(q, func(e *entry) { all = append(all, e) }) })
	slices.SortStableFunc(all, (*entry).compare)
	var out []Candidate
	var shown []*entry
	for _, e := range all {
		if slices.ContainsFunc(shown, func(o *entry) bool { return o.route == e.route }) {
			continue
		}
		c := Candidate{Path: e.path()}
		e.fill(q, &c.Match)
		if len(shown) > 0 {
			c.Lost = t.lost(shown[0], e)
		}
		shown, out = append(shown, e), append(out, c)
	}
	return out
}

// path returns the route's path that an entry stands for.
func (e *entry) path() string {
	if int(e.index) >= len(e.route.entity.Paths) || e.special != nil && e.special.program != nil {
		return ""
	}
	return e.route.entity.Paths[e.index]
}

// lost says why one entry goes before another.
func (t *Table) lost(winner, loser *entry) string {
	a, b := t.explained(winner), t.explained(loser)
	for i := range a {
		if a[i].value == b[i].value {
			continue
		}
		return fmt.Sprintf("%s: %s, the other has %s", a[i].name, b[i].text, a[i].text)
	}
	return "the same place in the order of precedence"
}

// aspect is one step of the order of precedence, with what an entry has there.
type aspect struct {
	name, text string
	value      uint64
}

// explained takes an entry's place in the order apart.
func (t *Table) explained(e *entry) []aspect {
	r := e.route.entity
	yes := func(set bool) aspect {
		if set {
			return aspect{text: "yes", value: 1}
		}
		return aspect{text: "no"}
	}
	number := func(n int) aspect { return aspect{text: fmt.Sprint(n), value: signed32(n)} }
	named := func(name string, a aspect) aspect { a.name = name; return a }
	if t.flavor == entity.Expressions && r.Expression != "" {
		return []aspect{
			named("expression routes go before classic ones", yes(true)),
			named("higher priority first", aspect{text: fmt.Sprint(r.Priority), value: r.Priority}),
			named("larger id first", aspect{text: r.ID, value: e.tie.high}),
			{name: "larger id first", text: r.ID, value: e.tie.low},
		}
	}
	c := compiler{flavor: t.flavor, route: r}
	rank := c.rank()
	path := e.path()
	regex := strings.HasPrefix(path, "~")
	length, regexPriority := len(strings.TrimPrefix(path, "=")), 0
	if regex {
		length, regexPriority = 0, r.RegexPriority
	}
	kinds := named("more kinds of conditions first", number(bits.OnesCount8(uint8(rank.kinds))))
	plain := named("hosts without wildcard first", yes(rank.plainHosts))
	headers := named("more headers first", number(rank.headers))
	isRegex := named("regular expressions before prefixes", yes(regex))
	rest := []aspect{
		named("higher regex_priority first", number(regexPriority)), named("longer path first", number(length)),
		named("whole segments before prefixes", yes(e.segments)),
	}
	var out []aspect
	if t.flavor == entity.Traditional {
		out = append(out, kinds, named("hosts, headers, paths, methods, snis count in this order", aspect{text: fmt.Sprintf("%07b", rank.kinds), value: uint64(rank.kinds)}),
			plain, named("wildcard hosts with a port first", yes(rank.wildcardPort)), isRegex, headers)
		out = append(append(out, rest...), named("older created_at first", aspect{text: fmt.Sprint(r.CreatedAt), value: e.tie.high}))
	} else {
		if t.flavor == entity.Expressions {
			out = append(out, named("expression routes go before classic ones", yes(false)))
		}
		out = append(append(out, kinds, plain, headers, isRegex), rest...)
		out = append(out, named("larger id first", aspect{text: r.ID, value: e.tie.high}))
	}
	return append(out, named("larger id first", aspect{text: r.ID, value: e.tie.low}))
}
