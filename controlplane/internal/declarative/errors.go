package declarative

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Error says what is wrong with a document.
type Error struct {
	// Fields mirror the document: what is wrong is where it is wrong.
	Fields schema.Object
	// Flattened lists what is wrong entity by entity; nil when that was not asked for.
	Flattened []any
}

func refuse(fields schema.Object) *Error { return &Error{Fields: fields} }

func (e *Error) Error() string {
	var b strings.Builder
	show(&b, e.Fields)
	return "declarative config is invalid: " + b.String()
}

// Body is what POST /config answers, with 400.
func (e *Error) Body() any {
	body := schema.Object{"code": int64(catalog.CodeInvalidDeclarative), "name": "invalid declarative configuration", "message": e.Error(), "fields": e.Fields}
	if e.Flattened != nil {
		body["flattened_errors"] = e.Flattened
	}
	return body
}

// show writes what is wrong as clients know it: {services={{host="required"}}}.
func show(b *strings.Builder, v any) {
	switch v := v.(type) {
	case schema.Object:
		b.WriteByte('{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(name + "=")
			show(b, v[name])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('{')
		first, gap := true, false
		for i, e := range v {
			if e == nil {
				gap = true
				continue
			}
			if !first {
				b.WriteByte(',')
			}
			if first = false; gap {
				b.WriteString("[" + strconv.Itoa(i+1) + "]=")
			}
			show(b, e)
		}
		b.WriteByte('}')
	case string:
		b.WriteString(`"` + v + `"`)
	default:
		_, _ = fmt.Fprint(b, v)
	}
}

// putAt puts a message, or joins messages by field, at a place.
func putAt(into schema.Object, at place, message any) {
	name, _ := at[0].(string)
	if len(at) == 1 {
		into[name] = joined(into[name], message)
		return
	}
	index, isIndex := at[1].(int)
	if !isIndex {
		below, ok := into[name].(schema.Object)
		if !ok {
			below = schema.Object{}
			into[name] = below
		}
		putAt(below, at[1:], message)
		return
	}
	list, _ := into[name].([]any)
	for len(list) <= index {
		list = append(list, nil)
	}
	into[name] = list
	if len(at) == 2 {
		list[index] = joined(list[index], message)
		return
	}
	below, ok := list[index].(schema.Object)
	if !ok {
		below = schema.Object{}
		list[index] = below
	}
	putAt(below, at[2:], message)
}

func joined(old, message any) any {
	a, isA := old.(schema.Object)
	b, isB := message.(schema.Object)
	if isA && isB {
		maps.Copy(a, b)
		return a
	}
	if old != nil && isA {
		return old
	}
	return message
}

// explain turns the catalog's failures into an Error.
func (f *flat) explain(refused *catalog.ReplaceError, flatten bool) error {
	e := &Error{Fields: schema.Object{}}
	type explained struct {
		catalog.Failure
		shown
	}
	wanted := map[string]map[int]bool{}
	for _, failure := range refused.Failures {
		if wanted[failure.Kind] == nil {
			wanted[failure.Kind] = map[int]bool{}
		}
		wanted[failure.Kind][failure.Index] = true
	}
	found := map[string]map[int]declared{}
	for kind, indexes := range wanted {
		found[kind] = f.pick(kind, indexes)
	}
	list := make([]explained, len(refused.Failures))
	for i, failure := range refused.Failures {
		list[i] = explained{failure, f.of(failure, found[failure.Kind])}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].order < list[j].order })
	for _, failure := range list {
		d := failure.shown
		if flatten {
			e.Flattened = append(e.Flattened, f.flattened(failure.Failure, d))
			continue
		}
		var v *schema.Violation
		var wrong *catalog.Error
		switch {
		case errors.As(failure.Err, &v):
			putAt(e.Fields, d.place, schema.Clone(v.Fields))
		case errors.As(failure.Err, &wrong) && wrong.Code == catalog.CodeForeignUnresolved:
			f.unresolved(e.Fields, failure.Failure, d)
		default:
			putAt(e.Fields, d.place, failure.Err.Error())
		}
	}
	if flatten && e.Flattened == nil {
		e.Flattened = []any{}
	}
	return e
}

// shown is an entity as errors show it.
type shown struct {
	entity schema.Object // as it was taken
	given  schema.Object // without what nesting added
	place  place
	order  int
}

func (f *flat) of(failure catalog.Failure, found map[int]declared) shown {
	d, ok := found[failure.Index]
	if !ok {
		return shown{entity: failure.Entity, given: failure.Entity, place: place{failure.Kind}}
	}
	o, err := schema.DecodeObject(d.body)
	if err != nil {
		o = failure.Entity
	}
	given := o
	if d.added != "" {
		given = maps.Clone(o)
		delete(given, d.added)
	}
	return shown{entity: o, given: given, place: d.place, order: d.order}
}

// unresolved lists references that lead nowhere, by the name of what has them.
func (f *flat) unresolved(fields schema.Object, failure catalog.Failure, d shown) {
	def := f.s.names[failure.Kind]
	name := fmt.Sprint(d.place[len(d.place)-1])
	if key := def.Schema.EndpointKey; key != "" {
		if text, ok := d.entity[key].(string); ok {
			name = text
		}
	}
	byName, ok := fields[failure.Kind].(schema.Object)
	if !ok {
		byName = schema.Object{}
		fields[failure.Kind] = byName
	}
	messages, _ := byName[name].([]any)
	for i := range def.Schema.Fields {
		fd := &def.Schema.Fields[i]
		if fd.Type != schema.Foreign || d.entity[fd.Name] == nil {
			continue
		}
		target := d.entity[fd.Name]
		if o, ok := target.(schema.Object); ok {
			for _, v := range o {
				target = v
			}
		}
		messages = append(messages, fmt.Sprintf("invalid reference '%s: %v' (no such entry in '%s')", fd.Name, target, fd.Reference))
	}
	byName[name] = messages
}

// flattened is one entity of the list.
func (f *flat) flattened(failure catalog.Failure, d shown) schema.Object {
	entity := maps.Clone(d.given)
	for i := range f.s.names[failure.Kind].Schema.Fields {
		fd := &f.s.names[failure.Kind].Schema.Fields[i]
		ref, ok := entity[fd.Name].(schema.Object)
		switch {
		case fd.Type != schema.Foreign || !ok:
		case isID(ref["id"]):
			entity[fd.Name] = schema.Object{"id": ref["id"]}
		default:
			delete(entity, fd.Name)
		}
	}
	out := schema.Object{"entity": entity, "entity_type": strings.TrimSuffix(failure.Kind, "s"), "errors": reasons(failure.Err)}
	if name, _ := d.entity["name"].(string); name != "" {
		out["entity_name"] = name
	}
	if isID(d.entity["id"]) {
		out["entity_id"] = d.entity["id"]
	}
	tags, ok := d.entity["tags"].([]any)
	if ok && !slices.ContainsFunc(tags, func(tag any) bool { _, isText := tag.(string); return !isText }) {
		out["entity_tags"] = tags
	}
	return out
}

// isID tells whether a value is a UUID.
func isID(v any) bool {
	text, _ := v.(string)
	_, err := uuid.Parse(text)
	return err == nil && len(text) == 36
}

// reasons lists messages with their fields.
func reasons(err error) []any {
	var v *schema.Violation
	if !errors.As(err, &v) {
		return []any{schema.Object{"type": "entity", "message": err.Error()}}
	}
	var out []any
	var walk func(path string, why any)
	walk = func(path string, why any) {
		switch why := why.(type) {
		case nil:
		case schema.Object:
			for _, name := range slices.Sorted(maps.Keys(why)) {
				if name == "@entity" {
					list, _ := why[name].([]any)
					for _, m := range list {
						out = append(out, schema.Object{"type": "entity", "message": m})
					}
					continue
				}
				walk(join(path, name), why[name])
			}
		case []any:
			for i, e := range why {
				walk(join(path, strconv.Itoa(i+1)), e)
			}
		default:
			out = append(out, schema.Object{"type": "field", "field": path, "message": why})
		}
	}
	walk("", v.Fields)
	return out
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
