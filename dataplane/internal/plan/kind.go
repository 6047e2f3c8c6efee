package plan

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// shape is how the entities of one kind are looked up. It is made once.
type shape struct {
	def *entity.Def
	// keys are the struct fields of unique and indexed fields; refs of foreign ones.
	keys, refs []column
	name       column
}

type column struct {
	name  string
	index int
}

func newShape(def *entity.Def) *shape {
	s := &shape{def: def, name: column{index: -1}}
	t := reflect.TypeOf(def.New()).Elem()
	fields := map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = i
	}
	for i := range def.Schema.Fields {
		f := &def.Schema.Fields[i]
		index, ok := fields[f.Name]
		if !ok {
			continue
		}
		c := column{f.Name, index}
		switch kind := t.Field(index).Type; {
		case f.Type == schema.Foreign && kind == reflect.TypeFor[*entity.Ref]():
			s.refs = append(s.refs, c)
		case kind.Kind() == reflect.String && (f.Unique || f.Indexed || slices.Contains(def.Indexes, f.Name) || f.Name == def.Schema.EndpointKey):
			s.keys = append(s.keys, c)
		}
		if f.Name == "name" && t.Field(index).Type.Kind() == reflect.String {
			s.name = c
		}
	}
	return s
}

// decode makes the typed struct of a body.
func (s *shape) decode(body []byte) (any, error) {
	v := s.def.New()
	if err := json.Unmarshal(body, v); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return v, nil
}

func (c column) text(v any) string {
	if c.index < 0 {
		return ""
	}
	return reflect.ValueOf(v).Elem().Field(c.index).String()
}

func (c column) ref(v any) string {
	r, _ := reflect.TypeAssert[*entity.Ref](reflect.ValueOf(v).Elem().Field(c.index))
	return entity.RefID(r)
}

// table is the entities of one kind. It is immutable.
type table struct {
	shape *shape
	byID  cow.Map[any]
	// byKey and byRef are parallel to the shape's columns.
	byKey []cow.Map[any]
	byRef []cow.Map[[]any]
}

func newTable(s *shape) *table {
	return &table{shape: s, byKey: make([]cow.Map[any], len(s.keys)), byRef: make([]cow.Map[[]any], len(s.refs))}
}

// with returns the table after changes: values by id, nil for removed ones.
func (t *table) with(changes map[string]any) *table {
	next := newTable(t.shape)
	byID := t.byID.Edit()
	for id, v := range changes {
		if v == nil {
			byID.Delete(id)
		} else {
			byID.Set(id, v)
		}
	}
	next.byID = byID.Done()
	for i, c := range t.shape.keys {
		edit := t.byKey[i].Edit()
		// All old keys go first: a key may move from one entity to another.
		for id := range changes {
			if old, ok := t.byID.Get(id); ok {
				if key := c.text(old); key != "" {
					edit.Delete(key)
				}
			}
		}
		for _, v := range changes {
			if v != nil {
				if key := c.text(v); key != "" {
					edit.Set(key, v)
				}
			}
		}
		next.byKey[i] = edit.Done()
	}
	for i, c := range t.shape.refs {
		next.byRef[i] = t.regroup(i, c, changes)
	}
	return next
}

// regroup updates the lists of entities that refer to the same one.
func (t *table) regroup(i int, c column, changes map[string]any) cow.Map[[]any] {
	touched := map[string]struct{}{}
	added := map[string][]any{}
	for id, v := range changes {
		if old, ok := t.byID.Get(id); ok {
			if ref := c.ref(old); ref != "" {
				touched[ref] = struct{}{}
			}
		}
		if v != nil {
			if ref := c.ref(v); ref != "" {
				touched[ref] = struct{}{}
				added[ref] = append(added[ref], v)
			}
		}
	}
	edit := t.byRef[i].Edit()
	for ref := range touched {
		old, _ := t.byRef[i].Get(ref)
		list := make([]any, 0, len(old)+len(added[ref]))
		for _, v := range old {
			if _, changed := changes[idOf(v)]; !changed {
				list = append(list, v)
			}
		}
		list = append(list, added[ref]...)
		if len(list) == 0 {
			edit.Delete(ref)
			continue
		}
		slices.SortFunc(list, func(a, b any) int { return strings.Compare(idOf(a), idOf(b)) })
		edit.Set(ref, list)
	}
	return edit.Done()
}

// idOf returns the id of a typed struct.
func idOf(v any) string {
	f := reflect.ValueOf(v).Elem().FieldByName("ID")
	if !f.IsValid() {
		return ""
	}
	return f.String()
}
