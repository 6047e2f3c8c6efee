package plan

import (
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

var _ pdk.View = (*Plan)(nil)

// ByID follows pdk.View.
func (p *Plan) ByID(def *entity.Def, id string) any {
	return p.byID(def, "", id)
}

// byID finds an entity of a workspace, or of a kind that belongs to none.
func (p *Plan) byID(def *entity.Def, space, id string) any {
	t := p.tables[def.Schema.Name]
	if t == nil {
		return nil
	}
	if t.spaces.Len() > 0 || space != "" && def.Schema.Workspaceable {
		if of, _ := t.spaces.Get(id); of != space {
			return nil
		}
	}
	if v, ok := t.byID.Get(id); ok {
		return v
	}
	return nil
}

// ByKey follows pdk.View.
func (p *Plan) ByKey(def *entity.Def, field, value string) any {
	return p.byKey(def, "", field, value)
}

func (p *Plan) byKey(def *entity.Def, space, field, value string) any {
	if !def.Schema.Workspaceable {
		space = ""
	}
	t := p.tables[def.Schema.Name]
	if t == nil {
		return nil
	}
	for i := range t.shape.keys {
		if t.shape.keys[i].name == field {
			if v, ok := t.keys(space, i).Get(value); ok {
				return v
			}
			return nil
		}
	}
	return nil
}

// ByForeign follows pdk.View.
func (p *Plan) ByForeign(def *entity.Def, field, id string) []any {
	t := p.tables[def.Schema.Name]
	if t == nil {
		return nil
	}
	for i := range t.shape.refs {
		if t.shape.refs[i].name == field {
			g, _ := t.byRef[i].Get(id)
			return g.all()
		}
	}
	return nil
}

// ConsumerGroups follows pdk.View.
func (p *Plan) ConsumerGroups(consumer string) []*entity.ConsumerGroup {
	if p.groups.Len() == 0 {
		return nil
	}
	groups, _ := p.groups.Get(consumer)
	return groups
}

// get returns a typed entity of a kind, or nil.
func get[T any](p *Plan, kind, id string) *T {
	if t := p.tables[kind]; t != nil && id != "" {
		if v, ok := t.byID.Get(id); ok {
			return v.(*T)
		}
	}
	return nil
}

// foreign returns the entities of a kind that refer to id.
func foreign[T any](p *Plan, kind, field, id string) []*T {
	t := p.tables[kind]
	if t == nil {
		return nil
	}
	var out []*T
	for i := range t.shape.refs {
		if t.shape.refs[i].name == field {
			g, _ := t.byRef[i].Get(id)
			for _, v := range g.all() {
				out = append(out, v.(*T))
			}
		}
	}
	return out
}
