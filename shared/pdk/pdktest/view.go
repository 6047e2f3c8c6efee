package pdktest

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Entity is one entity of a View: Value is a pointer to the typed struct of Def.
type Entity struct {
	Def   *entity.Def
	Value any

	object schema.Object // as Of made it, nil for others
}

// Of makes an entity from an object, checked and completed as on an insert.
func Of(t testing.TB, def *entity.Def, o schema.Object) Entity {
	t.Helper()
	done, err := def.Schema.Process(o, schema.Declare, nil)
	if err != nil {
		t.Fatalf("%s: %v", def.Kind(), err)
	}
	v := def.New()
	if err := schema.Into(done, v); err != nil {
		t.Fatalf("%s: %v", def.Kind(), err)
	}
	return Entity{Def: def, Value: v, object: done}
}

// View finds entities in a list.
type View struct {
	byID      map[*entity.Def]map[string]any
	byKey     map[*entity.Def]map[string]map[string]any
	byForeign map[*entity.Def]map[string]map[string][]any
}

var _ pdk.View = (*View)(nil)

// NewView makes a view. All fields of type string are looked up by, unique or not.
func NewView(entities ...Entity) *View {
	v := &View{
		byID:      map[*entity.Def]map[string]any{},
		byKey:     map[*entity.Def]map[string]map[string]any{},
		byForeign: map[*entity.Def]map[string]map[string][]any{},
	}
	entities = slices.Clone(entities)
	slices.SortStableFunc(entities, func(a, b Entity) int { return strings.Compare(idOf(a), idOf(b)) })
	for _, e := range entities {
		v.add(e)
	}
	return v
}

func idOf(e Entity) string {
	f := reflect.ValueOf(e.Value).Elem().FieldByName("ID")
	if !f.IsValid() {
		return ""
	}
	return f.String()
}

func (v *View) add(e Entity) {
	put(v.byID, e.Def, idOf(e), e.Value)
	s := reflect.ValueOf(e.Value).Elem()
	for i := range s.NumField() {
		name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
		switch f := s.Field(i).Interface().(type) {
		case string:
			if f == "" {
				continue
			}
			if v.byKey[e.Def] == nil {
				v.byKey[e.Def] = map[string]map[string]any{}
			}
			put(v.byKey[e.Def], name, f, e.Value)
		case *entity.Ref:
			if f == nil {
				continue
			}
			if v.byForeign[e.Def] == nil {
				v.byForeign[e.Def] = map[string]map[string][]any{}
			}
			if v.byForeign[e.Def][name] == nil {
				v.byForeign[e.Def][name] = map[string][]any{}
			}
			v.byForeign[e.Def][name][f.ID] = append(v.byForeign[e.Def][name][f.ID], e.Value)
		}
	}
}

func put[K comparable](m map[K]map[string]any, k K, key string, value any) {
	if m[k] == nil {
		m[k] = map[string]any{}
	}
	m[k][key] = value
}

// ByID follows pdk.View.
func (v *View) ByID(def *entity.Def, id string) any { return v.byID[def][id] }

// ByKey follows pdk.View.
func (v *View) ByKey(def *entity.Def, field, value string) any { return v.byKey[def][field][value] }

// ByForeign follows pdk.View.
func (v *View) ByForeign(def *entity.Def, field, id string) []any {
	return v.byForeign[def][field][id]
}

// ConsumerGroups follows pdk.View.
func (v *View) ConsumerGroups(consumer string) []*entity.ConsumerGroup {
	var out []*entity.ConsumerGroup
	for _, m := range v.ByForeign(entity.GroupMembers, "consumer", consumer) {
		if m, ok := m.(*entity.GroupMember); ok {
			if g, ok := v.ByID(entity.ConsumerGroups, entity.RefID(m.ConsumerGroup)).(*entity.ConsumerGroup); ok {
				out = append(out, g)
			}
		}
	}
	slices.SortFunc(out, func(a, b *entity.ConsumerGroup) int { return strings.Compare(a.Name, b.Name) })
	return out
}
