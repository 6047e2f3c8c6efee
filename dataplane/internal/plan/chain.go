package plan

import (
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
	"github.com/sluice-gateway/sluice/dataplane/internal/pluginhost"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Instance is one config of one plugin, built.
type Instance struct {
	Plugin *pdk.Plugin
	Entity *entity.Plugin
	Phases pdk.Phases
	env    *pluginhost.Env
}

// Step is a plugin's place in a chain: the config for a consumer, or else Base.
type Step struct {
	// Base runs where no consumer's own config does; nil runs nothing.
	Base *Instance
	// narrow are configs for a consumer and the route or service.
	narrow map[string]*Instance
	// wide are configs for a consumer alone; they rank below a Base that is for the
	// route and the service together.
	wide cow.Map[*Instance]
}

// For returns the config for a consumer, which may be nil, or nil.
func (s *Step) For(consumer *entity.Consumer) *Instance {
	if consumer == nil {
		return s.Base
	}
	if i := s.narrow[consumer.ID]; i != nil {
		return i
	}
	if s.wide.Len() > 0 {
		if i, ok := s.wide.Get(consumer.ID); ok {
			return i
		}
	}
	return s.Base
}

// Chain is the plugins of a route in the order in which they run. The zero value is
// empty.
type Chain struct {
	Steps []Step
}

// scopes are all configs of one plugin, by what they are attached to.
type scopes struct {
	plugin *pdk.Plugin
	// by route, service and consumer id, "" for none.
	by map[[3]string]*Instance
	// consumers are those for a consumer alone.
	consumers cow.Map[*Instance]
	// narrow are the consumers of configs with a route or service, by that pair.
	narrow map[[2]string][]string
}

func newScopes(p *pdk.Plugin, instances []*Instance) *scopes {
	s := &scopes{plugin: p, by: map[[3]string]*Instance{}, narrow: map[[2]string][]string{}}
	wide := cow.Map[*Instance]{}.Edit()
	for _, i := range instances {
		route, service, consumer := entity.RefID(i.Entity.Route), entity.RefID(i.Entity.Service), entity.RefID(i.Entity.Consumer)
		s.by[[3]string{route, service, consumer}] = i
		switch {
		case consumer == "":
		case route == "" && service == "":
			wide.Set(consumer, i)
		default:
			pair := [2]string{route, service}
			s.narrow[pair] = append(s.narrow[pair], consumer)
		}
	}
	s.consumers = wide.Done()
	return s
}

// step resolves the plugin for a route and service, either of which may be "".
// Kong's order: route+service+consumer, route+consumer, service+consumer,
// route+service, consumer, route, service, global.
func (s *scopes) step(route, service string) (Step, bool) {
	var st Step
	wide := true
	for _, key := range [][3]string{{route, service, ""}, {route, "", ""}, {"", service, ""}, {"", "", ""}} {
		if i := s.by[key]; i != nil {
			st.Base = i
			wide = key[0] == "" || key[1] == ""
			break
		}
	}
	if wide {
		st.wide = s.consumers
	}
	// The last of these to write wins, so the least specific comes first.
	for _, pair := range [][2]string{{"", service}, {route, ""}, {route, service}} {
		if pair == ([2]string{}) {
			continue
		}
		for _, consumer := range s.narrow[pair] {
			if st.narrow == nil {
				st.narrow = map[string]*Instance{}
			}
			st.narrow[consumer] = s.by[[3]string{pair[0], pair[1], consumer}]
		}
	}
	return st, st.Base != nil || st.narrow != nil || st.wide.Len() > 0
}

// order sorts plugins as they run: by priority, equal ones in reverse alphabetical
// order.
func order(list []*scopes) {
	slices.SortFunc(list, func(a, b *scopes) int {
		if a.plugin.Priority != b.plugin.Priority {
			return b.plugin.Priority - a.plugin.Priority
		}
		return strings.Compare(b.plugin.Name, a.plugin.Name)
	})
}

func resolve(list []*scopes, route, service string) Chain {
	var c Chain
	for _, s := range list {
		if st, ok := s.step(route, service); ok {
			c.Steps = append(c.Steps, st)
		}
	}
	return c
}
