package render_test

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/luapattern"
	"github.com/sluice-gateway/sluice/shared/schema/render"
)

func TestProperty(t *testing.T) {
	str := schema.Field{Type: schema.String}
	with := func(f schema.Field, set func(*schema.Field)) *schema.Field { set(&f); return &f }
	tests := []struct {
		name  string
		field *schema.Field
		form  render.Form
		want  string
	}{
		{"text", &str, render.Answer, `{"minLength":1,"type":["string","null"]}`},
		{"required text", with(str, func(f *schema.Field) { f.Required, f.LenMin, f.LenMax = true, new(0), new(3) }), render.Answer, `{"maxLength":3,"minLength":0,"type":"string"}`},
		{"text of one length", with(str, func(f *schema.Field) { f.LenEq = new(4) }), render.Partial, `{"maxLength":4,"minLength":4,"type":["string","null"]}`},
		{"choices", with(schema.OneOf("a", "b"), func(f *schema.Field) { f.Default = "a" }), render.Whole, `{"default":"a","enum":["a","b",null],"minLength":1,"type":["string","null"]}`},
		{"no choices", with(str, func(f *schema.Field) { f.NotOneOf = []any{"a"} }), render.Answer, `{"minLength":1,"not":{"enum":["a"]},"type":["string","null"]}`},
		{"equal", with(str, func(f *schema.Field) { f.Eq = schema.Must("a") }), render.Answer, `{"enum":["a",null],"minLength":1,"type":["string","null"]}`},
		{"not equal", with(str, func(f *schema.Field) { f.Ne = schema.Must("a") }), render.Answer, `{"minLength":1,"not":{"enum":["a"]},"type":["string","null"]}`},
		{"no scope", with(schema.NoRoute(), func(*schema.Field) {}), render.Whole, `{"type":"null"}`},
		{"secret", with(str, func(f *schema.Field) { f.Referenceable, f.Encrypted, f.Description = true, true, "A secret." }), render.Whole, `{"anyOf":[{"minLength":1,"type":"string"},{"pattern":"^\\{vault://.+\\}$","type":"string"},{"type":"null"}],"description":"A secret.","x-encrypted":true,"x-referenceable":true}`},
		{"patterns", with(str, func(f *schema.Field) {
			f.StartsWith, f.MatchAny = "/", &schema.PatternSet{Patterns: []string{"^a", "b$"}}
			f.MatchAll = []schema.Pattern{{Pattern: "%f[a]"}}
		}), render.Answer, `{"allOf":[{"pattern":"^/"},{"pattern":"(?:^a)|(?:b$)"}],"minLength":1,"type":["string","null"]}`},
		{"regex", with(str, func(f *schema.Field) { f.IsRegex, f.Match = true, "^%u+$" }), render.Answer, `{"format":"regex","minLength":1,"pattern":"^[A-Z]+$","type":["string","null"]}`},
		{"port", with(schema.Port(), func(f *schema.Field) { f.Required = true }), render.Answer, `{"maximum":65535,"minimum":0,"type":"integer"}`},
		{"more than", with(schema.Field{Type: schema.Number}, func(f *schema.Field) { f.Gt = new(1.5) }), render.Answer, `{"exclusiveMinimum":1.5,"type":["number","null"]}`},
		{"set", with(schema.SetOf(str), func(f *schema.Field) { f.LenMin, f.Contains = new(1), "a" }), render.Answer, `{"contains":{"const":"a"},"items":{"minLength":1,"type":"string"},"minItems":1,"type":["array","null"],"uniqueItems":true}`},
		{"map", with(schema.MapOf(str, schema.ArrayOf(schema.Field{Type: schema.Boolean})), func(f *schema.Field) { f.LenMax = new(2) }), render.Answer, `{"additionalProperties":{"items":{"type":"boolean"},"type":"array"},"maxProperties":2,"propertyNames":{"minLength":1,"type":"string"},"type":["object","null"]}`},
		{"list of one length", with(schema.ArrayOf(str), func(f *schema.Field) { f.LenEq = new(2) }), render.Whole, `{"items":{"minLength":1,"type":"string"},"maxItems":2,"minItems":2,"type":["array","null"]}`},
		{"reference", with(schema.ForeignTo("x", ""), func(f *schema.Field) { f.Required = true }), render.Answer, `{"additionalProperties":false,"properties":{"id":{"format":"uuid","type":"string"}},"required":["id"],"type":"object"}`},
		{"reference that is given", with(schema.ForeignTo("x", ""), func(*schema.Field) {}), render.Whole, `{"minProperties":1,"properties":{"id":{"format":"uuid","type":"string"}},"type":["object","null"]}`},
		{"anything", &schema.Field{Type: schema.Any}, render.Whole, `{}`},
		{"abstract", &schema.Field{Type: schema.Record, Abstract: true}, render.Whole, `{"type":["object","null"]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := schema.EncodeJSON(render.Property(tt.field, tt.form))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestJSONSchema(t *testing.T) {
	hidden := schema.Field{Name: "hidden", Type: schema.String, Hidden: true}
	s := &schema.Schema{
		Fields: []schema.Field{schema.ID(), schema.Host().Named("host").AsRequired(), hidden, schema.Port().Named("port").AsRequired().Defaults(80)},
		Checks: []schema.EntityCheck{{AtLeastOneOf: []string{"host", "port"}}},
		Shorthands: []schema.Shorthand{
			{Field: schema.URL().Named("url"), Expand: func(any) (schema.Object, error) { return nil, nil }},
			{Field: schema.Host().Named("old"), Deprecation: &schema.Deprecation{ReplacedWith: []schema.Replacement{{Path: []string{"host"}}}}},
		},
	}
	for form, want := range map[render.Form][]string{
		render.Answer:  {"host", "id", "port"},
		render.Whole:   nil, // host, or url which stands for it
		render.Partial: nil,
	} {
		got := render.JSONSchema(s, form)
		var required []string
		list, _ := got["required"].([]any)
		for _, name := range list {
			required = append(required, name.(string))
		}
		if diff := cmp.Diff(want, required); diff != "" {
			t.Errorf("form %d requires (-want +got):\n%s", form, diff)
		}
		if either, _ := got["anyOf"].([]any); (len(either) == 2) != (form == render.Whole) {
			t.Errorf("form %d requires any of %v", form, either)
		}
		properties, _ := got["properties"].(schema.Object)
		_, url := properties["url"]
		_, shows := properties["hidden"]
		old, _ := properties["old"].(schema.Object)
		if url == (form == render.Answer) || shows == (form == render.Answer) || old["deprecated"] != true {
			t.Errorf("form %d has the properties %v", form, properties)
		}
		if (got["x-entity-checks"] == nil) != (form == render.Answer) {
			t.Errorf("form %d has the checks %v", form, got["x-entity-checks"])
		}
	}
}

// FuzzRegex compares Lua patterns with what they are rendered as.
func FuzzRegex(f *testing.F) {
	for _, pattern := range []string{
		"^%u+$", "^[%a_-][%a%d_-]*$", "^[a-z][a-z%d-]-[a-z%d]+$", "^[^*]*%*?[^*]*$", `^%*%.`, "[]a]", "[^]a]", "[a-]", "[%]-]", ".-x", "a%-b", "%f[a]", "%", "[", "(a)$", "$a", "%W", "%p",
	} {
		for _, text := range []string{"", "a", "A", "my-env", "*.a", "a.*", "-", "]", "x y", "_a1"} {
			f.Add(pattern, text)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := luapattern.Compile(pattern)
		if err != nil || len(pattern) > 16 || len(text) > 24 {
			return
		}
		for _, s := range []string{pattern, text} {
			for i := range len(s) {
				if s[i] >= 0x80 || s[i] == 0 {
					return // JSON Schema counts characters, Lua bytes
				}
			}
		}
		o := render.Property(&schema.Field{Type: schema.String, Required: true, Match: pattern}, render.Answer)
		source, ok := o["pattern"].(string)
		if !ok {
			return
		}
		if got, want := regexp.MustCompile(source).MatchString(text), p.Match(text); got != want {
			t.Errorf("pattern %q as %q matches %q: %v, want %v", pattern, source, text, got, want)
		}
	})
}
