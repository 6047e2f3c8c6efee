package router

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
	"github.com/sluice-gateway/sluice/shared/entity"
)

// Error says why a route can not be matched with.
type Error struct {
	RouteID, Name string
	// Field such as "paths.1", counted from 1.
	Field   string
	Message string
}

// Update returns a table without the removed routes and with the put ones, which
// replace those of the same id. An error names the route and field that can not be
// matched with; t stays usable. However many routes there are, each place that they
// touch is copied once.
func (t *Table) Update(put []*entity.Route, removed []string) (*Table, []Error) {
	next := editor{
		flavor: t.flavor, exact: t.exact.Edit(), suffixes: t.suffixes.Edit(), prefixes: t.prefixes.Edit(),
		any: t.any, routes: t.routes.Edit(), slots: t.slots, free: slices.Clone(t.free), owner: &owner{}, suffixDots: t.suffixDots, prefixDots: t.prefixDots,
	}
	if next.flavor == "" {
		next.flavor = entity.TraditionalCompatible
	}
	var errs []Error
	for _, id := range removed {
		next.remove(id)
	}
	made := compileAll(next.flavor, put)
	for i, r := range put {
		if err := made[i].err; err != nil {
			errs = append(errs, *err)
			continue
		}
		next.remove(r.ID)
		next.add(made[i].route)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	for _, list := range next.dirty {
		slices.SortStableFunc(list.entries, (*entry).compare)
		list.dirty = false
	}
	return &Table{
		flavor: next.flavor, exact: next.exact.Done(), suffixes: next.suffixes.Done(), prefixes: next.prefixes.Done(),
		any: next.any, routes: next.routes.Done(), slots: next.slots, free: next.free, suffixDots: next.suffixDots, prefixDots: next.prefixDots,
	}, nil
}

// made is a route that is compiled, or why it can not be.
type made struct {
	route *compiled
	err   *Error
}

// portion is how many routes are compiled by one goroutine at a time.
const portion = 256

// compileAll compiles routes, in parallel when there are many.
func compileAll(flavor entity.Flavor, routes []*entity.Route) []made {
	out := make([]made, len(routes))
	var next atomic.Int64
	var work sync.WaitGroup
	one := func() {
		for {
			from := int(next.Add(portion)) - portion
			if from >= len(routes) {
				return
			}
			for i := from; i < min(from+portion, len(routes)); i++ {
				out[i].route, out[i].err = compile(flavor, routes[i])
			}
		}
	}
	for range min(runtime.GOMAXPROCS(0)-1, len(routes)/portion) {
		work.Go(one)
	}
	one()
	work.Wait()
	return out
}

// owner marks what an editor has made and may change. It has a size, for pointers to
// what has none may be equal.
type owner struct{ _ byte }

// editor makes a table of another.
type editor struct {
	flavor                    entity.Flavor
	exact, suffixes, prefixes *cow.Edit[*tree]
	any                       *tree
	routes                    *cow.Edit[*compiled]
	owner                     *owner
	slots                     uint32
	free                      []uint32
	suffixDots, prefixDots    dotCounts
	// dirty are the lists to sort in the end.
	dirty []*list
}

func (e *editor) add(c *compiled) {
	slot := e.slots
	if n := len(e.free); n > 0 {
		slot, e.free = e.free[n-1], e.free[:n-1]
	} else {
		e.slots++
	}
	for _, p := range c.entries {
		p.slot = slot
	}
	c.slot = slot
	e.routes.Set(c.entity.ID, c)
	for _, p := range c.entries {
		e.change(p, func(t *tree) *tree { return t.insert(p.key, p, e) })
	}
}

func (e *editor) remove(id string) {
	c, ok := e.routes.Get(id)
	if !ok {
		return
	}
	e.routes.Delete(id)
	e.free = append(e.free, c.slot)
	for _, p := range c.entries {
		e.change(p, func(t *tree) *tree { return t.remove(p.key, p, e) })
	}
}

// change applies fn to the tree that an entry stands in.
func (e *editor) change(p *entry, fn func(t *tree) *tree) {
	trees, dots := e.exact, new(int32)
	switch p.hostKind {
	case hostAny:
		e.any = fn(e.any)
		return
	case hostSuffix:
		trees, dots = e.suffixes, e.suffixDots.of(strings.Count(p.host, "."))
	case hostPrefix:
		trees, dots = e.prefixes, e.prefixDots.of(strings.Count(p.host, "."))
	}
	old, was := trees.Get(p.host)
	switch t := fn(old); {
	case t != nil && t != old:
		trees.Set(p.host, t)
		if !was {
			*dots++
		}
	case t == nil && was:
		trees.Delete(p.host)
		*dots--
	}
}
