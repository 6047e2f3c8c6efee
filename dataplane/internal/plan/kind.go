package plan

import (
	"bytes"
	"fmt"
	"maps"
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
	id, name   column
}

type column struct {
	name  string
	index int
}

func newShape(def *entity.Def) *shape {
	s := &shape{def: def, id: column{index: -1}, name: column{index: -1}}
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
		case f.Type == schema.Foreign && kind == reflect.TypeFor[*entity.Ref]() && !def.Many:
			s.refs = append(s.refs, c)
		case kind.Kind() == reflect.String && (f.Unique || f.Indexed || slices.Contains(def.Indexes, f.Name) || f.Name == def.Schema.EndpointKey):
			s.keys = append(s.keys, c)
		}
		if f.Name == "id" && t.Field(index).Type.Kind() == reflect.String {
			s.id = c
		}
		if f.Name == "name" && t.Field(index).Type.Kind() == reflect.String {
			s.name = c
		}
	}
	return s
}

// spaceMark is what a body has in it when it says its workspace.
var spaceMark = []byte(`"` + schema.WorkspaceID + `":`)

// decode makes the typed struct of a body, and returns the workspace that it says.
func (s *shape) decode(body []byte) (v any, space string, err error) {
	v = s.def.New()
	if err := json.Unmarshal(body, v); err != nil {
		return nil, "", fmt.Errorf("decode: %w", err)
	}
	if s.def.Schema.Workspaceable && bytes.Contains(body, spaceMark) {
		var said struct {
			ID string `json:"ws_id"`
		}
		if err := json.Unmarshal(body, &said); err != nil {
			return nil, "", fmt.Errorf("decode: %w", err)
		}
		space = said.ID
	}
	return v, space, nil
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
	// byKey and byRef are parallel to the shape's columns. byKey has the entities of the
	// default workspace, and those of kinds that belong to none.
	byKey []cow.Map[any]
	byRef []cow.Map[*group]
	// spaces are the workspaces of entities that are not in the default one, by id, and
	// keysOf their keys, by workspace.
	spaces cow.Map[string]
	keysOf map[string][]cow.Map[any]
}

func newTable(s *shape) *table {
	return &table{shape: s, byKey: make([]cow.Map[any], len(s.keys)), byRef: make([]cow.Map[*group], len(s.refs))}
}

// with returns the table after changes: values by id, nil for removed ones, and the
// workspaces of those that are not in the default one.
func (t *table) with(changes map[string]any, spaces map[string]string) *table {
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
	next.rekey(t, changes, spaces)
	for i, c := range t.shape.refs {
		next.byRef[i] = t.regroup(i, c, changes)
	}
	return next
}

// rekey makes the keys and workspaces of the next table.
func (t *table) rekey(old *table, changes map[string]any, spaces map[string]string) {
	touched := map[string]struct{}{"": {}}
	where := old.spaces.Edit()
	for id := range changes {
		before, _ := old.spaces.Get(id)
		touched[before], touched[spaces[id]] = struct{}{}, struct{}{}
		if spaces[id] != "" {
			where.Set(id, spaces[id])
		} else {
			where.Delete(id)
		}
	}
	t.spaces = where.Done()
	t.keysOf = maps.Clone(old.keysOf)
	for space := range touched {
		keys := make([]cow.Map[any], len(t.shape.keys))
		for i, c := range t.shape.keys {
			edit := old.keys(space, i).Edit()
			// All old keys go first: a key may move from one entity to another.
			for id := range changes {
				if before, _ := old.spaces.Get(id); before != space {
					continue
				}
				if v, ok := old.byID.Get(id); ok {
					if key := c.text(v); key != "" {
						edit.Delete(key)
					}
				}
			}
			for id, v := range changes {
				if v != nil && spaces[id] == space {
					if key := c.text(v); key != "" {
						edit.Set(key, v)
					}
				}
			}
			keys[i] = edit.Done()
		}
		switch {
		case space == "":
			t.byKey = keys
		case t.keysOf == nil:
			t.keysOf = map[string][]cow.Map[any]{space: keys}
		default:
			t.keysOf[space] = keys
		}
	}
}

// keys returns the entities of a workspace by the i-th of the shape's keys.
func (t *table) keys(space string, i int) cow.Map[any] {
	if space == "" {
		return t.byKey[i]
	}
	if keys, ok := t.keysOf[space]; ok {
		return keys[i]
	}
	return cow.Map[any]{}
}

// regroup updates the groups of entities that refer to the same one.
func (t *table) regroup(i int, c column, changes map[string]any) cow.Map[*group] {
	type change struct {
		without []string
		with    map[string]any
	}
	touched := map[string]*change{}
	of := func(ref string) *change {
		if touched[ref] == nil {
			touched[ref] = &change{with: map[string]any{}}
		}
		return touched[ref]
	}
	for id, v := range changes {
		if old, ok := t.byID.Get(id); ok {
			if ref := c.ref(old); ref != "" {
				g := of(ref)
				g.without = append(g.without, id)
			}
		}
		if v != nil {
			if ref := c.ref(v); ref != "" {
				of(ref).with[id] = v
			}
		}
	}
	edit := t.byRef[i].Edit()
	for ref, c := range touched {
		old, _ := t.byRef[i].Get(ref)
		if g := old.changed(t.shape, c.without, c.with); g != nil {
			edit.Set(ref, g)
		} else {
			edit.Delete(ref)
		}
	}
	return edit.Done()
}
