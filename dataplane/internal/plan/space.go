package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Space is a workspace in a plan: what requests of its routes can see. The default
// workspace has none, the Plan itself is what its requests see.
type Space struct {
	id        string
	name      string
	plan      *Plan
	scopes    []*scopes                   // in running order
	upstreams cow.Map[*balancer.Upstream] // by name
}

var _ pdk.View = (*Space)(nil)

// View returns what requests of a workspace's routes can see, and its name; "" when the
// plan does not know it.
func (p *Plan) View(workspace string) (v pdk.View, name string) {
	if s := p.spaces[workspace]; s != nil {
		return s, s.name
	}
	return p, ""
}

// ByID follows pdk.View.
func (s *Space) ByID(def *entity.Def, id string) any { return s.plan.byID(def, s.id, id) }

// ByKey follows pdk.View.
func (s *Space) ByKey(def *entity.Def, field, value string) any {
	return s.plan.byKey(def, s.id, field, value)
}

// ByForeign follows pdk.View. References do not leave a workspace.
func (s *Space) ByForeign(def *entity.Def, field, id string) []any {
	return s.plan.ByForeign(def, field, id)
}

// ConsumerGroups follows pdk.View.
func (s *Space) ConsumerGroups(consumer string) []*entity.ConsumerGroup {
	return s.plan.ConsumerGroups(consumer)
}

// buildSpaces makes the workspaces that the entities of an update name.
func (n *building) buildSpaces(p *Plan) {
	if len(n.from.spaces) == 0 && len(n.spaces) == 0 {
		return
	}
	p.spaces = make(map[string]*Space, len(n.from.spaces))
	for id, s := range n.from.spaces {
		same := *s
		same.plan = p
		p.spaces[id] = &same
	}
	for _, spaces := range n.spaces {
		for _, id := range spaces {
			if p.spaces[id] == nil {
				p.spaces[id] = &Space{id: id, plan: p}
			}
		}
	}
	for id, s := range p.spaces {
		s.name = ""
		if e := get[entity.WorkspaceName](p, "workspace_names", id); e != nil {
			s.name = e.Name
		}
	}
}

// spaceOf returns the workspace of an entity, "" for the default one.
func (p *Plan) spaceOf(kind, id string) string {
	t := p.tables[kind]
	if t == nil || t.spaces.Len() == 0 {
		return ""
	}
	space, _ := t.spaces.Get(id)
	return space
}

// upstreamsOf returns the upstreams of a workspace by name.
func (p *Plan) upstreamsOf(space string) cow.Map[*balancer.Upstream] {
	if space == "" {
		return p.upstreams
	}
	if s := p.spaces[space]; s != nil {
		return s.upstreams
	}
	return cow.Map[*balancer.Upstream]{}
}

// scopesOf returns the configs of a workspace.
func (p *Plan) scopesOf(space string) []*scopes {
	if space == "" {
		return p.scopes
	}
	if s := p.spaces[space]; s != nil {
		return s.scopes
	}
	return nil
}

// buildGroups lists the groups of each consumer that a change reaches, by name.
func (n *building) buildGroups(p *Plan) {
	members, groups := n.changes["consumer_group_consumers"], n.changes["consumer_groups"]
	if len(members) == 0 && len(groups) == 0 {
		return
	}
	reached := map[string]struct{}{}
	for _, c := range members {
		if m, ok := c.value.(*entity.GroupMember); ok && m != nil {
			reached[entity.RefID(m.Consumer)] = struct{}{}
		}
		if old := get[entity.GroupMember](n.from, "consumer_group_consumers", c.id); old != nil {
			reached[entity.RefID(old.Consumer)] = struct{}{}
		}
	}
	for _, c := range groups {
		for _, m := range foreign[entity.GroupMember](p, "consumer_group_consumers", "consumer_group", c.id) {
			reached[entity.RefID(m.Consumer)] = struct{}{}
		}
	}
	edit := n.from.groups.Edit()
	for consumer := range reached {
		var list []*entity.ConsumerGroup
		for _, m := range foreign[entity.GroupMember](p, "consumer_group_consumers", "consumer", consumer) {
			if g := get[entity.ConsumerGroup](p, "consumer_groups", entity.RefID(m.ConsumerGroup)); g != nil {
				list = append(list, g)
			}
		}
		if len(list) == 0 {
			edit.Delete(consumer)
			continue
		}
		slices.SortFunc(list, func(a, b *entity.ConsumerGroup) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
		})
		edit.Set(consumer, slices.Compact(list))
	}
	p.groups = edit.Done()
}
