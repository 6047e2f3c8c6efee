package plan

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

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

// change is an entity of a build, nil for one that is removed.
type change struct {
	id    string
	value any
}

// manyChanges is from how many changes on the parts of a table are made in parallel.
const manyChanges = 1000

// with returns the table after changes, each of an id of its own. spaces are the workspaces
// of those that are not in the default one, by id.
func (t *table) with(changes []change, spaces map[string]string) *table {
	next := newTable(t.shape)
	parts := []func(){
		func() {
			byID := t.byID.Edit()
			for _, c := range changes {
				if c.value == nil {
					byID.Delete(c.id)
				} else {
					byID.Set(c.id, c.value)
				}
			}
			next.byID = byID.Done()
		},
		func() { next.rekey(t, changes, spaces) },
	}
	for i, c := range t.shape.refs {
		parts = append(parts, func() { next.byRef[i] = t.regroup(i, c, changes) })
	}
	inParallel(len(changes) >= manyChanges, parts...)
	return next
}

// inParallel runs what has nothing to do with each other, and waits.
func inParallel(worth bool, parts ...func()) {
	var work sync.WaitGroup
	for _, part := range parts {
		if worth {
			work.Go(part)
		} else {
			part()
		}
	}
	work.Wait()
}

// rekey makes the keys and workspaces of the next table.
func (t *table) rekey(old *table, changes []change, spaces map[string]string) {
	touched := map[string]struct{}{"": {}}
	where := old.spaces.Edit()
	for _, c := range changes {
		before, _ := old.spaces.Get(c.id)
		now := spaces[c.id]
		if before == "" && now == "" {
			continue
		}
		touched[before], touched[now] = struct{}{}, struct{}{}
		if now != "" {
			where.Set(c.id, now)
		} else {
			where.Delete(c.id)
		}
	}
	t.spaces = where.Done()
	t.keysOf = maps.Clone(old.keysOf)
	for space := range touched {
		keys := make([]cow.Map[any], len(t.shape.keys))
		for i, column := range t.shape.keys {
			edit := old.keys(space, i).Edit()
			// All old keys go first: a key may move from one entity to another.
			for _, c := range changes {
				if before, _ := old.spaces.Get(c.id); before != space {
					continue
				}
				if v, ok := old.byID.Get(c.id); ok {
					if key := column.text(v); key != "" {
						edit.Delete(key)
					}
				}
			}
			for _, c := range changes {
				if c.value != nil && spaces[c.id] == space {
					if key := column.text(c.value); key != "" {
						edit.Set(key, c.value)
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
func (t *table) regroup(i int, by column, changes []change) cow.Map[*group] {
	type members struct {
		without []string
		with    []change
	}
	touched := map[string]*members{}
	of := func(ref string) *members {
		g := touched[ref]
		if g == nil {
			g = &members{}
			touched[ref] = g
		}
		return g
	}
	for _, c := range changes {
		if old, ok := t.byID.Get(c.id); ok {
			if ref := by.ref(old); ref != "" {
				g := of(ref)
				g.without = append(g.without, c.id)
			}
		}
		if c.value != nil {
			if ref := by.ref(c.value); ref != "" {
				g := of(ref)
				g.with = append(g.with, c)
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
