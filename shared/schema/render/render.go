// Package render shows schemas to the outside: as the JSON of /schemas, in Kong's
// words. It owns the form only; what a schema means is the engine's.
package render

import (
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Schema returns a schema as GET /schemas/{entity} and /schemas/plugins/{name}
// answer it.
func Schema(s *schema.Schema) schema.Object {
	return schema.Object{"fields": fields(s.Fields), "entity_checks": checks(s.Checks)}
}

func fields(list []schema.Field) []any {
	out := make([]any, 0, len(list))
	for i := range list {
		if !list[i].Extra {
			out = append(out, schema.Object{list[i].Name: field(&list[i])})
		}
	}
	return out
}

func field(f *schema.Field) schema.Object {
	o := attributes(f)
	if f.Type == schema.Record && !f.Abstract {
		o["fields"] = fields(f.Fields)
	}
	if len(f.Checks) > 0 {
		o["entity_checks"] = checks(f.Checks)
	}
	if len(f.Shorthands) > 0 {
		o["shorthand_fields"] = shorthands(f.Shorthands)
	}
	return o
}

// attributes renders what a field sets, and nothing that it leaves out.
func attributes(f *schema.Field) schema.Object {
	o := schema.Object{}
	flag := func(name string, set bool) {
		if set {
			o[name] = true
		}
	}
	text := func(name, value string) {
		if value != "" {
			o[name] = value
		}
	}
	text("type", string(f.Type))
	text("description", f.Description)
	flag("required", f.Required)
	if f.NotRequired {
		o["required"] = false
	}
	switch {
	case f.Default == schema.Null:
		o["default"] = nil
	case f.Default != nil:
		o["default"] = f.Default
	}
	flag("auto", f.Auto)
	flag("uuid", f.UUID)
	flag("timestamp", f.Timestamp)
	flag("immutable", f.Immutable)
	flag("unique", f.Unique)
	if f.NotUnique {
		o["unique"] = false
	}
	flag("unique_across_ws", f.UniqueAcrossWS)
	text("reference", f.Reference)
	text("on_delete", f.OnDelete)
	flag("referenceable", f.Referenceable)
	flag("encrypted", f.Encrypted)
	flag("abstract", f.Abstract)
	flag("transient", f.Transient)
	flag("indexed", f.Indexed)
	values(f, o)
	if f.Elements != nil {
		o["elements"] = field(f.Elements)
	}
	if f.Keys != nil {
		o["keys"] = field(f.Keys)
	}
	if f.Values != nil {
		o["values"] = field(f.Values)
	}
	if f.Deprecation != nil {
		o["deprecation"] = deprecation(f.Deprecation)
	}
	return o
}

// values renders the constraints of a field.
func values(f *schema.Field, o schema.Object) {
	if f.OneOf != nil {
		o["one_of"] = f.OneOf
	}
	if f.NotOneOf != nil {
		o["not_one_of"] = f.NotOneOf
	}
	if f.Between != nil {
		o["between"] = []any{f.Between[0], f.Between[1]}
	}
	if f.Gt != nil {
		o["gt"] = *f.Gt
	}
	for name, n := range map[string]*int{"len_eq": f.LenEq, "len_min": f.LenMin, "len_max": f.LenMax} {
		if n != nil {
			o[name] = *n
		}
	}
	for name, s := range map[string]string{
		"starts_with": f.StartsWith, "match": f.Match, "not_match": f.NotMatch, "err": f.Err,
	} {
		if s != "" {
			o[name] = s
		}
	}
	if f.MatchAll != nil {
		o["match_all"] = patterns(f.MatchAll)
	}
	if f.MatchNone != nil {
		o["match_none"] = patterns(f.MatchNone)
	}
	if f.MatchAny != nil {
		anyOf := schema.Object{"patterns": stringsOf(f.MatchAny.Patterns)}
		if f.MatchAny.Err != "" {
			anyOf["err"] = f.MatchAny.Err
		}
		o["match_any"] = anyOf
	}
	if f.Eq != nil {
		o["eq"] = *f.Eq
	}
	if f.Ne != nil {
		o["ne"] = *f.Ne
	}
	if f.Contains != nil {
		o["contains"] = f.Contains
	}
	if f.IsRegex {
		o["is_regex"] = true
	}
	if f.MutuallyExclusiveSubsets != nil {
		sets := make([]any, len(f.MutuallyExclusiveSubsets))
		for i, s := range f.MutuallyExclusiveSubsets {
			sets[i] = stringsOf(s)
		}
		o["mutually_exclusive_subsets"] = sets
	}
}

func patterns(list []schema.Pattern) []any {
	out := make([]any, len(list))
	for i, p := range list {
		o := schema.Object{"pattern": p.Pattern}
		if p.Err != "" {
			o["err"] = p.Err
		}
		out[i] = o
	}
	return out
}

func stringsOf(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

func shorthands(list []schema.Shorthand) []any {
	out := make([]any, len(list))
	for i := range list {
		s := &list[i]
		o := field(&s.Field)
		if s.Deprecation != nil {
			o["deprecation"] = deprecation(s.Deprecation)
		}
		out[i] = schema.Object{s.Field.Name: o}
	}
	return out
}

func deprecation(d *schema.Deprecation) schema.Object {
	o := schema.Object{}
	if d.Message != "" {
		o["message"] = d.Message
	}
	if d.RemovalInVersion != "" {
		o["removal_in_version"] = d.RemovalInVersion
	}
	if d.OldDefault != nil {
		o["old_default"] = d.OldDefault
	}
	if d.ReplacedWith != nil {
		list := make([]any, len(d.ReplacedWith))
		for i, r := range d.ReplacedWith {
			list[i] = schema.Object{"path": stringsOf(r.Path)}
		}
		o["replaced_with"] = list
	}
	return o
}

func checks(list []schema.EntityCheck) []any {
	out := make([]any, 0, len(list))
	for i := range list {
		out = append(out, check(&list[i]))
	}
	return out
}

func check(c *schema.EntityCheck) schema.Object {
	for name, names := range map[string][]string{
		"at_least_one_of": c.AtLeastOneOf, "only_one_of": c.OnlyOneOf, "distinct": c.Distinct,
		"mutually_exclusive": c.MutuallyExclusive, "mutually_required": c.MutuallyRequired,
	} {
		if names != nil {
			return schema.Object{name: stringsOf(names)}
		}
	}
	switch {
	case c.Conditional != nil:
		o := schema.Object{
			"if_field": c.Conditional.If, "if_match": field(&c.Conditional.IfMatch),
			"then_field": c.Conditional.Then, "then_match": field(&c.Conditional.ThenMatch),
		}
		if c.Conditional.ThenErr != "" {
			o["then_err"] = c.Conditional.ThenErr
		}
		return schema.Object{"conditional": o}
	case c.ConditionalAtLeastOneOf != nil:
		return schema.Object{"conditional_at_least_one_of": conditionalAtLeastOneOf(c.ConditionalAtLeastOneOf)}
	}
	o := schema.Object{"field_sources": stringsOf(c.Fields)}
	if c.RunWithMissing {
		o["run_with_missing_fields"] = true
	}
	if c.RunWithInvalid {
		o["run_with_invalid_fields"] = true
	}
	return schema.Object{"custom_entity_check": o}
}

func conditionalAtLeastOneOf(c *schema.ConditionalAtLeastOneOf) schema.Object {
	o := schema.Object{
		"if_field": c.If, "if_match": field(&c.IfMatch),
		"then_at_least_one_of": stringsOf(c.ThenAtLeastOneOf),
	}
	if c.ThenErr != "" {
		o["then_err"] = c.ThenErr
	}
	if c.ElseMatch != nil {
		o["else_match"] = field(c.ElseMatch)
		o["else_then_at_least_one_of"] = stringsOf(c.ElseAtLeastOneOf)
		if c.ElseErr != "" {
			o["else_then_err"] = c.ElseErr
		}
	}
	return o
}
