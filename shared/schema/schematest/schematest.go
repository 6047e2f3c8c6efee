// Package schematest holds checks that every entity and plugin runs on itself: that
// its typed struct agrees with its schema, and that the schema renders as recorded.
package schematest

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Agrees fails the test unless the json tags of a struct and the fields of a schema
// name the same things with types that fit. typed is a struct or a pointer to one.
// Transient fields may be missing from the struct; except names others that may,
// and members of the struct that are no fields, both as dotted paths.
func Agrees(t testing.TB, s *schema.Schema, typed any, except ...string) {
	t.Helper()
	allowed := append([]string{}, except...)
	if s.TTL {
		allowed = append(allowed, "ttl", schema.ExpiresAt)
	}
	agree(t, s.Name, "", s.Fields, reflect.TypeOf(typed), allowed)
}

// ConfigAgrees does the same for the config record of a plugin's schema.
func ConfigAgrees(t testing.TB, s *schema.Schema, typed any, except ...string) {
	t.Helper()
	f := s.Field("config")
	if f == nil {
		t.Errorf("%s: the schema has no field config", s.Name)
		return
	}
	agree(t, s.Name+".config", "", f.Fields, reflect.TypeOf(typed), except)
}

func agree(t testing.TB, where, path string, fields []schema.Field, typ reflect.Type, except []string) {
	t.Helper()
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		t.Errorf("%s: %s is no struct", where, typ)
		return
	}
	members := map[string]reflect.Type{}
	collect(typ, members)
	for i := range fields {
		f := &fields[i]
		name := join(path, f.Name)
		m, ok := members[f.Name]
		delete(members, f.Name)
		switch {
		case ok:
			fit(t, where, name, f, m, except)
		case !f.Transient && !slices.Contains(except, name):
			t.Errorf("%s: field %s is not in %s", where, name, typ)
		}
	}
	for name := range members {
		if !slices.Contains(except, join(path, name)) {
			t.Errorf("%s: %s has a member %s that is no field", where, typ, join(path, name))
		}
	}
}

// collect gathers the types of the members by json name, embedded ones included.
func collect(typ reflect.Type, out map[string]reflect.Type) {
	for m := range typ.Fields() {
		tag, tagged := m.Tag.Lookup("json")
		name, _, _ := strings.Cut(tag, ",")
		switch {
		case m.Anonymous && !tagged && m.Type.Kind() == reflect.Struct:
			collect(m.Type, out)
		case name != "" && name != "-":
			out[name] = m.Type
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func fit(t testing.TB, where, name string, f *schema.Field, typ reflect.Type, except []string) {
	t.Helper()
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Uint8 && typ.Name() != "" {
		return // json.RawMessage and the like
	}
	kind := typ.Kind()
	bad := false
	switch f.Type {
	case schema.String:
		bad = kind != reflect.String
	case schema.Integer:
		bad = kind < reflect.Int || kind > reflect.Uint64
	case schema.Number:
		bad = kind != reflect.Float64 && kind != reflect.Float32
	case schema.Boolean:
		bad = kind != reflect.Bool
	case schema.Array, schema.Set:
		if bad = kind != reflect.Slice; !bad {
			fit(t, where, name+".elements", f.Elements, typ.Elem(), except)
		}
	case schema.Map:
		if bad = kind != reflect.Map; !bad && f.Values != nil {
			fit(t, where, name+".values", f.Values, typ.Elem(), except)
		}
	case schema.Record:
		switch {
		case f.Abstract || kind == reflect.Map:
			bad = kind != reflect.Map
		default:
			agree(t, where, name, f.Fields, typ, except)
		}
	case schema.Foreign:
		id, ok := reflect.StructField{}, false
		if kind == reflect.Struct && typ.NumField() == 1 {
			id, ok = typ.Field(0), true
		}
		bad = !ok || id.Tag.Get("json") != "id" || id.Type.Kind() != reflect.String
	default:
		bad = kind != reflect.Interface
	}
	if bad {
		t.Errorf("%s: field %s is of type %s, which a Go %s cannot hold", where, name, f.Type, typ)
	}
}
