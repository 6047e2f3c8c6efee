// Package router matches requests with routes. It owns Kong's order of precedence
// for routes with classic fields (router_flavor traditional_compatible), as one
// number a route and path group, and immutable tables that are followed by new ones
// at the cost of the change.
//
// A Table is a map of hosts (exact, by suffix for *.example, by prefix for
// example.*, and one for routes without hosts), each with a radix tree over paths.
// A regular expression hangs in the tree at its literal prefix. A match walks the
// trees of the request's host, and of all entries on the way takes the one with the
// highest precedence whose other conditions hold; the walk does not depend on how
// many routes there are.
//
// The package refuses to look at services, plugins and protocols: whether a route
// that matches may be used over plain HTTP is the caller's question.
package router

import (
	"net/netip"

	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Request is what routes look at.
type Request struct {
	Method string
	// Host without port, in lower case.
	Host string
	// Port that the client asked for, as net.dst.port of a host with port.
	Port int
	// Path is normalised.
	Path   string
	Header *pdk.Header
	// TLS is true for https and grpcs; SNI is then the server name.
	TLS bool
	SNI string

	Source, Destination netip.AddrPort
}

// Match is how a request matched.
type Match struct {
	Route *entity.Route
	// Prefix is the part of the path that the route's path matched, "" for a route
	// without paths.
	Prefix string
	// Shown is the route's path as it was written, when that differs from Prefix: text
	// beyond ASCII is matched in its escaped form.
	Shown string
	// Groups are the offsets of a regular expression's groups in the path, as
	// regexp.FindStringSubmatchIndex gives them; nil for a plain path.
	Groups []int
	// Names of the groups, parallel to them.
	Names []string
}

// Table is an immutable set of routes. The zero value has none.
type Table struct {
	exact    cow.Map[*tree] // "example.com"
	suffixes cow.Map[*tree] // ".example.com" for *.example.com
	prefixes cow.Map[*tree] // "example." for example.*
	any      *tree
	routes   cow.Map[*compiled]
}

// Len returns the number of routes.
func (t *Table) Len() int { return t.routes.Len() }

// Update returns a table without the removed routes and with the put ones, which
// replace those of the same id. An error names the route and field that can not be
// matched with; t stays usable.
func (t *Table) Update(put []*entity.Route, removed []string) (*Table, []Error) {
	next := editor{
		exact: t.exact.Edit(), suffixes: t.suffixes.Edit(), prefixes: t.prefixes.Edit(),
		any: t.any, routes: t.routes.Edit(), own: map[*tree]struct{}{},
	}
	var errs []Error
	for _, id := range removed {
		next.remove(id)
	}
	for _, r := range put {
		c, err := compile(r)
		if err != nil {
			errs = append(errs, *err)
			continue
		}
		next.remove(r.ID)
		next.add(c)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return &Table{
		exact: next.exact.Done(), suffixes: next.suffixes.Done(), prefixes: next.prefixes.Done(),
		any: next.any, routes: next.routes.Done(),
	}, nil
}

// Match finds the route for a request. It does not allocate, unless a regular
// expression matches.
func (t *Table) Match(q *Request, m *Match) bool {
	var best candidate
	if q.Host != "" {
		if tr, ok := t.exact.Get(q.Host); ok {
			tr.match(q, &best)
		}
		if t.suffixes.Len() > 0 {
			for i := 0; i < len(q.Host); i++ {
				if q.Host[i] == '.' && i > 0 {
					if tr, ok := t.suffixes.Get(q.Host[i:]); ok {
						tr.match(q, &best)
					}
				}
			}
		}
		if t.prefixes.Len() > 0 {
			for i := 0; i < len(q.Host)-1; i++ {
				if q.Host[i] == '.' {
					if tr, ok := t.prefixes.Get(q.Host[:i+1]); ok {
						tr.match(q, &best)
					}
				}
			}
		}
	}
	t.any.match(q, &best)
	if best.entry == nil {
		return false
	}
	*m = Match{Route: best.entry.route.entity, Prefix: best.entry.key, Shown: best.entry.shown}
	if best.entry.regex != nil {
		m.Groups, m.Names = best.groups, best.entry.regex.Names()
		m.Prefix = q.Path[best.groups[0]:best.groups[1]]
	}
	return true
}

type editor struct {
	exact, suffixes, prefixes *cow.Edit[*tree]
	any                       *tree
	routes                    *cow.Edit[*compiled]
	own                       map[*tree]struct{}
}

func (e *editor) add(c *compiled) {
	e.routes.Set(c.entity.ID, c)
	for _, p := range c.entries {
		e.change(c, func(t *tree, port int) *tree {
			en := *p
			en.port = port
			return t.insert(en.key, &en, e.own)
		})
	}
}

func (e *editor) remove(id string) {
	c, ok := e.routes.Get(id)
	if !ok {
		return
	}
	e.routes.Delete(id)
	for _, p := range c.entries {
		e.change(c, func(t *tree, _ int) *tree { return t.remove(p.key, id, e.own) })
	}
}

// change applies fn to the tree of each of the route's hosts.
func (e *editor) change(c *compiled, fn func(t *tree, port int) *tree) {
	if len(c.hosts) == 0 {
		e.any = fn(e.any, 0)
		return
	}
	for _, h := range c.hosts {
		trees := e.exact
		switch h.kind {
		case hostSuffix:
			trees = e.suffixes
		case hostPrefix:
			trees = e.prefixes
		}
		t, _ := trees.Get(h.name)
		if t = fn(t, h.port); t == nil {
			trees.Delete(h.name)
		} else {
			trees.Set(h.name, t)
		}
	}
}
