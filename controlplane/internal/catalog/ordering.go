package catalog

import (
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// maxPairs bounds the routes and services that checkOrdering looks at.
const maxPairs = 1000

// checkOrdering refuses a plugin that would wait for one that waits for it, on any route.
// Only a plugin with an ordering can make a circle.
func (c *Catalog) checkOrdering(tx store.Tx, k *kind, o schema.Object) error {
	if k.name != kindPlugins || o["ordering"] == nil {
		return nil
	}
	own, ok := orderedOf(o)
	if !ok {
		return nil
	}
	var others []ordered
	for after := ""; ; {
		ids, err := c.ids(tx, k, &ListOptions{}, after, 1000)
		if err != nil {
			return err
		}
		for _, id := range ids {
			other, err := k.load(tx, id)
			if err != nil {
				return err
			}
			if p, ok := orderedOf(other); ok && k.in(other, c.workspace) && id != k.id(o) {
				others = append(others, p)
			}
		}
		if len(ids) < 1000 {
			break
		}
		after = ids[len(ids)-1]
	}
	return circleOf(own, others)
}

// ordered is what circleOf needs of a plugin.
type ordered struct {
	name, route, service string
	ordering             *entity.Ordering
}

func orderedOf(o schema.Object) (p ordered, ok bool) {
	if o["enabled"] == false || refID(o, "consumer") != "" || refID(o, "consumer_group") != "" {
		return p, false
	}
	p = ordered{route: refID(o, "route"), service: refID(o, "service")}
	p.name, _ = o["name"].(string)
	if ordering, has := o["ordering"].(schema.Object); has {
		p.ordering = &entity.Ordering{Before: namesOf(ordering["before"]), After: namesOf(ordering["after"])}
	}
	return p, true
}

func namesOf(v any) map[string][]string {
	phases, _ := v.(schema.Object)
	out := map[string][]string{}
	for phase, list := range phases {
		names, _ := list.([]any)
		for _, name := range names {
			if s, ok := name.(string); ok {
				out[phase] = append(out[phase], s)
			}
		}
	}
	return out
}

// circleOf looks at each route and service where the plugin may meet others that have an
// ordering.
func circleOf(own ordered, others []ordered) error {
	all := append([]ordered{own}, others...)
	routes, services := []string{own.route}, []string{own.service}
	for _, p := range others {
		if p.ordering == nil {
			continue
		}
		if own.route == "" && !slices.Contains(routes, p.route) {
			routes = append(routes, p.route)
		}
		if own.service == "" && !slices.Contains(services, p.service) {
			services = append(services, p.service)
		}
	}
	pairs := 0
	for _, route := range routes {
		for _, service := range services {
			if pairs++; pairs > maxPairs {
				return nil // the node keeps to priorities where there is a circle
			}
			if circle := circleAt(all, route, service); circle != nil {
				return schema.Violate("ordering", "plugins would wait for each other: "+strings.Join(circle, " before "))
			}
		}
	}
	return nil
}

// circleAt is the circle on a route of a service, nil for none.
func circleAt(all []ordered, route, service string) []string {
	best := map[string]ordered{}
	rank := func(p ordered) int {
		n := 0
		if p.route != "" {
			n += 2
		}
		if p.service != "" {
			n++
		}
		return n
	}
	for _, p := range all {
		if p.route != "" && p.route != route || p.service != "" && p.service != service {
			continue
		}
		if old, ok := best[p.name]; !ok || rank(p) > rank(old) {
			best[p.name] = p
		}
	}
	names := make([]string, 0, len(best))
	for name := range best {
		names = append(names, name)
	}
	slices.Sort(names)
	_, circle := entity.Order(names, func(i int) *entity.Ordering { return best[names[i]].ordering })
	return circle
}

// checkOrdering does the same for a whole configuration, whose plugins come one after the
// other: the last one of a circle is refused.
func (r *replacing) checkOrdering(k *kind, o schema.Object) error {
	if k.name != kindPlugins {
		return nil
	}
	own, ok := orderedOf(o)
	if !ok {
		return nil
	}
	if own.ordering != nil {
		if err := circleOf(own, r.plugins); err != nil {
			return err
		}
	}
	r.plugins = append(r.plugins, own)
	return nil
}
