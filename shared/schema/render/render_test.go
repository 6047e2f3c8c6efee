package render_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/render"
)

// What the recorded schemas do not use; they are compared in package entity and in
// the plugins.
func TestSchema(t *testing.T) {
	text := schema.Field{Type: schema.String}
	config := schema.PluginConfig(schema.Field{
		Name: "a", Type: schema.String, NotMatch: "x", Ne: schema.Must("y"), Immutable: true, Indexed: true, Description: "An a.",
		Deprecation: &schema.Deprecation{Message: "gone", RemovalInVersion: "4.0", OldDefault: "z"},
	})
	config.Shorthands = []schema.Shorthand{{Field: text.Named("old"), Deprecation: &schema.Deprecation{
		RemovalInVersion: "4.0", ReplacedWith: []schema.Replacement{{Path: []string{"a"}}},
	}}}
	config.Checks = []schema.EntityCheck{
		{OnlyOneOf: []string{"a", "b"}},
		{ConditionalAtLeastOneOf: &schema.ConditionalAtLeastOneOf{
			If: "a", IfMatch: schema.Field{Contains: "x"}, ThenAtLeastOneOf: []string{"b"}, ThenErr: "set %s",
			ElseMatch: &schema.Field{Contains: "y"}, ElseAtLeastOneOf: []string{"c"}, ElseErr: "or %s",
		}},
		{Fields: []string{"a"}, RunWithInvalid: true},
	}
	got, err := schema.EncodeJSON(render.Schema(&schema.Schema{Fields: []schema.Field{config}}))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"entity_checks":[],"fields":[{"config":{"entity_checks":[{"only_one_of":["a","b"]},` +
		`{"conditional_at_least_one_of":{"else_match":{"contains":"y"},"else_then_at_least_one_of":["c"],"else_then_err":"or %s",` +
		`"if_field":"a","if_match":{"contains":"x"},"then_at_least_one_of":["b"],"then_err":"set %s"}},` +
		`{"custom_entity_check":{"field_sources":["a"],"run_with_invalid_fields":true}}],` +
		`"fields":[{"a":{"deprecation":{"message":"gone","old_default":"z","removal_in_version":"4.0"},"description":"An a.",` +
		`"immutable":true,"indexed":true,"ne":"y","not_match":"x","type":"string"}}],"required":true,` +
		`"shorthand_fields":[{"old":{"deprecation":{"removal_in_version":"4.0","replaced_with":[{"path":["a"]}]},"type":"string"}}],` +
		`"type":"record"}}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
