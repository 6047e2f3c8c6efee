package render

import (
	"slices"
	"sort"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Form says what a JSON Schema describes.
type Form uint8

// Forms of an object.
const (
	// Answer is what the Admin API returns: every field is there, unset ones are null.
	Answer Form = iota + 1
	// Whole is what a client gives for a new object.
	Whole
	// Partial is what a client gives to change one.
	Partial
)

// JSONSchema returns the fields of a schema as JSON Schema of the draft 2020-12, which is
// that of OpenAPI 3.1. Rules across fields are listed under x-entity-checks in the words of
// /schemas: what they ask can be said in JSON Schema only in part.
func JSONSchema(s *schema.Schema, form Form) schema.Object {
	return record(s.Fields, s.Checks, s.Shorthands, form)
}

// Property returns one field as JSON Schema.
func Property(f *schema.Field, form Form) schema.Object { return property(f, form, false) }

func record(list []schema.Field, rules []schema.EntityCheck, short []schema.Shorthand, form Form) schema.Object {
	properties := schema.Object{}
	var required []any
	for i := range list {
		f := &list[i]
		if form == Answer && f.Hidden {
			continue
		}
		properties[f.Name] = property(f, form, false)
		if form == Answer && !f.Transient && !f.Extra || form == Whole && mustGive(f) {
			required = append(required, f.Name)
		}
	}
	either := []any{}
	for i := range short {
		s := &short[i]
		if form == Answer && s.Translate == nil && (s.Deprecation == nil && s.Field.Deprecation == nil) {
			continue
		}
		o := property(&s.Field, form, false)
		if s.Deprecation != nil || s.Field.Deprecation != nil {
			o["deprecated"] = true
		}
		properties[s.Field.Name] = o
		if form == Whole && o["deprecated"] == nil {
			either = append(either, schema.Object{"required": []any{s.Field.Name}})
		}
	}
	out := schema.Object{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		sort.Slice(required, func(i, j int) bool { return required[i].(string) < required[j].(string) }) //nolint:forcetypeassert // they are names
		out["required"] = required
	}
	if required != nil && len(either) > 0 {
		// A shorthand, such as url, stands for fields that are required.
		delete(out, "required")
		out["anyOf"] = append([]any{schema.Object{"required": required}}, either...)
	}
	if len(rules) > 0 && form != Answer {
		out["x-entity-checks"] = checks(rules)
	}
	return out
}

// mustGive tells whether a client must give a field of a new object. What it belongs to may
// be named by the path instead.
func mustGive(f *schema.Field) bool {
	return f.Required && !f.Auto && f.Type != schema.Record && f.Type != schema.Foreign && (f.Default == nil || f.Default == schema.Null)
}

// property renders a field. Inside of containers nothing is null.
func property(f *schema.Field, form Form, inside bool) schema.Object {
	o := typed(f, form)
	if f.Eq != nil && *f.Eq == nil {
		o = schema.Object{"type": "null"}
	} else if nullable := !inside && (!f.Required || form != Answer); nullable {
		allowNull(o)
	}
	if f.Description != "" {
		o["description"] = f.Description
	}
	if f.Deprecation != nil {
		o["deprecated"] = true
	}
	if form == Whole && f.Default != nil && f.Default != schema.Null {
		o["default"] = f.Default
	}
	if f.Encrypted {
		o["x-encrypted"] = true
	}
	if f.Referenceable {
		o["x-referenceable"] = true
	}
	return o
}

// allowNull lets a schema that typed made also take null.
func allowNull(o schema.Object) {
	if t, ok := o["type"].(string); ok {
		o["type"] = []any{t, "null"}
	}
	if list, ok := o["enum"].([]any); ok {
		o["enum"] = append(slices.Clone(list), nil)
	}
	if list, ok := o["anyOf"].([]any); ok {
		o["anyOf"] = append(slices.Clone(list), schema.Object{"type": "null"})
	}
}

func typed(f *schema.Field, form Form) schema.Object {
	switch f.Type {
	case schema.String:
		return text(f)
	case schema.Integer, schema.Number:
		return numeric(f)
	case schema.Boolean:
		return schema.Object{"type": "boolean"}
	case schema.Array, schema.Set:
		return list(f, form)
	case schema.Map:
		return mapping(f, form)
	case schema.Record:
		if f.Abstract {
			return schema.Object{"type": "object"}
		}
		return record(f.Fields, f.Checks, f.Shorthands, form)
	case schema.Foreign:
		return foreign(form)
	}
	return schema.Object{}
}

// reference is the pattern of what stands for a value in a vault.
const reference = `^\{vault://.+\}$`

func text(f *schema.Field) schema.Object {
	o := schema.Object{"type": "string"}
	switch {
	case f.LenEq != nil:
		o["minLength"], o["maxLength"] = *f.LenEq, *f.LenEq
	case f.LenMin != nil:
		o["minLength"] = *f.LenMin
	default:
		o["minLength"] = 1
	}
	if f.LenMax != nil {
		o["maxLength"] = *f.LenMax
	}
	choices(f, o)
	if f.UUID {
		o["format"] = "uuid"
	}
	if f.IsRegex {
		o["format"] = "regex"
	}
	if all := rules(f); len(all) == 1 {
		o["pattern"] = all[0].(schema.Object)["pattern"] //nolint:forcetypeassert // rules makes objects
	} else if len(all) > 1 {
		o["allOf"] = all
	}
	if !f.Referenceable {
		return o
	}
	return schema.Object{"anyOf": []any{o, schema.Object{"type": "string", "pattern": reference}}}
}

// rules are the patterns of a text.
func rules(f *schema.Field) []any {
	var out []any
	add := func(source string) {
		if source != "" {
			out = append(out, schema.Object{"pattern": source})
		}
	}
	if f.StartsWith != "" {
		add("^" + escape(f.StartsWith))
	}
	add(regex(f.Match))
	for _, p := range f.MatchAll {
		add(regex(p.Pattern))
	}
	if f.MatchAny != nil {
		var each []string
		for _, p := range slices.Concat(f.MatchAny.Patterns, f.MatchAny.Beyond) {
			source := regex(p)
			if source == "" {
				each = nil
				break
			}
			each = append(each, "(?:"+source+")")
		}
		add(strings.Join(each, "|"))
	}
	return out
}

// choices are the values that a field may and may not have.
func choices(f *schema.Field, o schema.Object) {
	if f.OneOf != nil {
		o["enum"] = f.OneOf
	}
	if f.NotOneOf != nil {
		o["not"] = schema.Object{"enum": f.NotOneOf}
	}
	switch {
	case f.Eq != nil && *f.Eq != nil:
		o["enum"] = []any{*f.Eq}
	case f.Ne != nil && *f.Ne != nil:
		o["not"] = schema.Object{"enum": []any{*f.Ne}}
	}
}

func numeric(f *schema.Field) schema.Object {
	o := schema.Object{"type": string(f.Type)}
	if f.Between != nil {
		o["minimum"], o["maximum"] = f.Between[0], f.Between[1]
	}
	if f.Gt != nil {
		o["exclusiveMinimum"] = *f.Gt
	}
	choices(f, o)
	return o
}

func list(f *schema.Field, form Form) schema.Object {
	o := schema.Object{"type": "array"}
	if f.Elements != nil {
		o["items"] = property(f.Elements, form, true)
	}
	if f.Type == schema.Set && form == Answer {
		o["uniqueItems"] = f.Elements == nil || f.Elements.Type != schema.Record
	}
	lengths(f, o, "minItems", "maxItems")
	if f.Contains != nil {
		o["contains"] = schema.Object{"const": f.Contains}
	}
	return o
}

func mapping(f *schema.Field, form Form) schema.Object {
	o := schema.Object{"type": "object"}
	if f.Values != nil {
		o["additionalProperties"] = property(f.Values, form, true)
	}
	if f.Keys != nil {
		o["propertyNames"] = property(f.Keys, form, true)
	}
	lengths(f, o, "minProperties", "maxProperties")
	return o
}

func lengths(f *schema.Field, o schema.Object, least, most string) {
	if f.LenEq != nil {
		o[least], o[most] = *f.LenEq, *f.LenEq
	}
	if f.LenMin != nil {
		o[least] = *f.LenMin
	}
	if f.LenMax != nil {
		o[most] = *f.LenMax
	}
}

// foreign is a reference to another entity: by its id, and on writes also by another
// value that is unique among its kind, such as its name.
func foreign(form Form) schema.Object {
	id := schema.Object{"type": "string", "format": "uuid"}
	if form == Answer {
		return schema.Object{
			"type": "object", "properties": schema.Object{"id": id}, "required": []any{"id"}, "additionalProperties": false,
		}
	}
	return schema.Object{"type": "object", "properties": schema.Object{"id": id}, "minProperties": 1}
}
