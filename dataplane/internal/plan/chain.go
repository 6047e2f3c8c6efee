package plan

import (
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
	"github.com/sluice-gateway/sluice/dataplane/internal/pluginhost"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Instance is one config of one plugin, built.
type Instance struct {
	Plugin *pdk.Plugin
	Entity *entity.Plugin
	// Workspace that the config is for, "" for the default one.
	Workspace string
	Phases    pdk.Phases
	// Condition is true for the requests that the config is for; nil is all of them.
	Condition *expression.Program
	env       *pluginhost.Env
}

// rank is a place in the order in which scopes go before each other. Lower ones win.
type rank uint8

// The order that Kong documents. What has a route and a service ranks as routeService only
// when a config names both.
const (
	consumerRouteService rank = iota + 1
	groupRouteService
	consumerRoute
	consumerService
	groupRoute
	groupService
	routeService
	consumerOnly
	groupOnly
	routeOnly
	serviceOnly
	everything
)

// ranked is a config with the rank of its scope.
type ranked struct {
	instance *Instance
	rank     rank
}

// Step is a plugin's place in a chain: the config for a consumer or for one of its groups,
// or else Base.
type Step struct {
	// Base runs where no consumer's or group's own config does; nil runs nothing.
	Base *Instance
	// narrow are configs for a consumer and the route or service, narrowGroups those for a
	// group; all of them go before Base.
	narrow, narrowGroups map[string]ranked
	// wide are configs for a consumer alone, wideGroups those for a group; they rank below a
	// Base that is for the route and the service together, where they are left out.
	wide, wideGroups cow.Map[*Instance]
	name             string // of the plugin
}

// For returns the config for a consumer, which may be nil, and the groups that it is in,
// or nil. Of several groups with a config of the same rank the first one counts.
func (s *Step) For(consumer *entity.Consumer, groups []*entity.ConsumerGroup) *Instance {
	if consumer == nil && len(groups) == 0 {
		return s.Base
	}
	var best ranked
	if consumer != nil {
		best = s.narrow[consumer.ID]
	}
	if len(s.narrowGroups) > 0 {
		for _, g := range groups {
			if r, ok := s.narrowGroups[g.ID]; ok && (best.instance == nil || r.rank < best.rank) {
				best = r
			}
		}
	}
	if best.instance != nil {
		return best.instance
	}
	if consumer != nil && s.wide.Len() > 0 {
		if i, ok := s.wide.Get(consumer.ID); ok {
			return i
		}
	}
	if s.wideGroups.Len() > 0 {
		for _, g := range groups {
			if i, ok := s.wideGroups.Get(g.ID); ok {
				return i
			}
		}
	}
	return s.Base
}

// Chain is the plugins of a route in the order in which they run. The zero value is
// empty.
type Chain struct {
	Steps []Step
	// Ordered says that an ordering moved a step: the phases after access go by priority
	// all the same, see ByPriority.
	Ordered bool
}

// ByPriority sorts configs that were chosen from an ordered chain as the phases after
// access run. It does not allocate.
func ByPriority(list []*Instance) {
	for i := 1; i < len(list); i++ {
		for j := i; j > 0 && byPriority(list[j].Plugin, list[j-1].Plugin) < 0; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}

// scope is what a config is attached to: ids, "" for none.
type scope struct{ route, service, consumer, group string }

// scopes are all configs of one plugin in a workspace, by what they are attached to.
type scopes struct {
	plugin *pdk.Plugin
	by     map[scope]*Instance
	// consumers are those for a consumer alone, groups those for a group.
	consumers, groups cow.Map[*Instance]
	// narrow are the configs for a consumer or group with a route or service, by that pair.
	narrow map[[2]string][]*Instance
	// routes and services are those that have configs of their own.
	routes, services map[string]struct{}
}

func newScopes(p *pdk.Plugin, instances []*Instance) *scopes {
	s := &scopes{
		plugin: p, by: map[scope]*Instance{}, narrow: map[[2]string][]*Instance{},
		routes: map[string]struct{}{}, services: map[string]struct{}{},
	}
	consumers, groups := s.consumers.Edit(), s.groups.Edit()
	for _, i := range instances {
		at := scopeOf(i.Entity)
		s.by[at] = i
		if at.route != "" {
			s.routes[at.route] = struct{}{}
		}
		if at.service != "" {
			s.services[at.service] = struct{}{}
		}
		switch pair := [2]string{at.route, at.service}; {
		case at.consumer == "" && at.group == "":
		case pair != [2]string{}:
			s.narrow[pair] = append(s.narrow[pair], i)
		case at.group == "":
			consumers.Set(at.consumer, i)
		case at.consumer == "":
			groups.Set(at.group, i)
		}
	}
	s.consumers, s.groups = consumers.Done(), groups.Done()
	return s
}

func scopeOf(e *entity.Plugin) scope {
	return scope{entity.RefID(e.Route), entity.RefID(e.Service), entity.RefID(e.Consumer), entity.RefID(e.ConsumerGroup)}
}

// rank of a scope. A config for a consumer and a group as well is for neither: requests
// are looked up by one of the two.
func (s scope) rank() rank {
	of := func(both, route, service, none rank) rank {
		switch {
		case s.route != "" && s.service != "":
			return both
		case s.route != "":
			return route
		case s.service != "":
			return service
		}
		return none
	}
	switch {
	case s.consumer != "":
		return of(consumerRouteService, consumerRoute, consumerService, consumerOnly)
	case s.group != "":
		return of(groupRouteService, groupRoute, groupService, groupOnly)
	}
	return of(routeService, routeOnly, serviceOnly, everything)
}

// step resolves the plugin for a route and service, either of which may be "".
func (s *scopes) step(route, service string) (Step, bool) {
	st := Step{name: s.plugin.Name}
	wide := true
	for _, at := range []scope{{route: route, service: service}, {route: route}, {service: service}, {}} {
		if i := s.by[at]; i != nil {
			st.Base, wide = i, at.rank() > groupOnly
			break
		}
	}
	if wide {
		st.wide, st.wideGroups = s.consumers, s.groups
	}
	for _, pair := range [][2]string{{route, service}, {route, ""}, {"", service}} {
		if pair == ([2]string{}) {
			continue
		}
		for _, i := range s.narrow[pair] {
			at := scopeOf(i.Entity)
			switch {
			case at.group == "":
				st.narrow = keep(st.narrow, at.consumer, ranked{i, at.rank()})
			case at.consumer == "":
				st.narrowGroups = keep(st.narrowGroups, at.group, ranked{i, at.rank()})
			}
		}
	}
	return st, st.Base != nil || st.narrow != nil || st.narrowGroups != nil || st.wide.Len() > 0 || st.wideGroups.Len() > 0
}

// keep puts a config where there is none that goes before it.
func keep(m map[string]ranked, id string, r ranked) map[string]ranked {
	if m == nil {
		m = map[string]ranked{}
	}
	if old, ok := m[id]; !ok || r.rank < old.rank {
		m[id] = r
	}
	return m
}

// order sorts plugins as they run: by priority, equal ones in reverse alphabetical
// order.
func order(list []*scopes) {
	slices.SortFunc(list, func(a, b *scopes) int { return byPriority(a.plugin, b.plugin) })
}

func byPriority(a, b *pdk.Plugin) int {
	if a.Priority != b.Priority {
		return b.Priority - a.Priority
	}
	return strings.Compare(b.Name, a.Name)
}

// shared is what routes have the same chain by: their workspace, and their service when
// it has configs of its own.
type shared struct{ space, service string }

// chain returns the chain of a route, which may be that of others, too.
func (p *Plan) chain(space, route, service string) *Chain {
	list := p.scopesOf(space)
	own := false
	for _, s := range list {
		if _, ok := s.routes[route]; ok {
			return resolve(list, route, service)
		}
		if _, ok := s.services[service]; ok {
			own = true
		}
	}
	if !own {
		service = ""
	}
	at := shared{space, service}
	c := p.chains[at]
	if c == nil {
		c = resolve(list, "", service)
		if p.chains == nil {
			p.chains = map[shared]*Chain{}
		}
		p.chains[at] = c
	}
	return c
}

func resolve(list []*scopes, route, service string) *Chain {
	c := &Chain{}
	for _, s := range list {
		if st, ok := s.step(route, service); ok {
			c.Steps = append(c.Steps, st)
		}
	}
	c.order()
	return c
}

// order moves the steps that an ordering is about. The control plane lets no circle
// through; should there be one, the priorities stay.
func (c *Chain) order() {
	if !slices.ContainsFunc(c.Steps, func(s Step) bool { return s.ordering() != nil }) {
		return
	}
	names := make([]string, len(c.Steps))
	for i := range c.Steps {
		names[i] = c.Steps[i].name
	}
	order, circle := entity.Order(names, func(i int) *entity.Ordering { return c.Steps[i].ordering() })
	if circle != nil || slices.IsSorted(order) {
		return
	}
	steps := make([]Step, len(order))
	for i, from := range order {
		steps[i] = c.Steps[from]
	}
	c.Steps, c.Ordered = steps, true
}

func (s *Step) ordering() *entity.Ordering {
	if s.Base == nil {
		return nil
	}
	return s.Base.Entity.Ordering
}
