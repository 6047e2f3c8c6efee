package entity_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/referencetest"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/render"
)

// recordedPlugins makes schemas of the recorded answers of /schemas/plugins, so
// that the engine is tested with all of Kong's vocabulary. Code checks are not in
// the answers.
func recordedPlugins(t *testing.T) func(string) (*schema.Schema, bool) {
	t.Helper()
	dir := filepath.Join(referencetest.Dir(t), "schemas", "plugins")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*schema.Schema{}
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		var o map[string]any
		if err := json.Unmarshal(data, &o); err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(f.Name(), ".json")
		s := &schema.Schema{Name: name, Fields: recordedFields(o["fields"]), Checks: recordedChecks(o["entity_checks"])}
		found[name] = s
	}
	return func(name string) (*schema.Schema, bool) { s, ok := found[name]; return s, ok }
}

func recordedFields(v any) []schema.Field {
	list, _ := v.([]any)
	out := make([]schema.Field, 0, len(list))
	for _, e := range list {
		for name, f := range e.(map[string]any) {
			out = append(out, recordedField(f.(map[string]any)).Named(name))
		}
	}
	return out
}

func recordedField(o map[string]any) schema.Field {
	text := func(k string) string { s, _ := o[k].(string); return s }
	flag := func(k string) bool { b, _ := o[k].(bool); return b }
	count := func(k string) *int {
		if n, ok := o[k].(float64); ok {
			return new(int(n))
		}
		return nil
	}
	inner := func(k string) *schema.Field {
		if m, ok := o[k].(map[string]any); ok {
			f := recordedField(m)
			return &f
		}
		return nil
	}
	f := schema.Field{
		Type: schema.Type(text("type")), Required: flag("required"), Default: o["default"],
		Auto: flag("auto"), UUID: flag("uuid"), Timestamp: flag("timestamp"), Reference: text("reference"),
		Match: text("match"), StartsWith: text("starts_with"), Err: text("err"), IsRegex: flag("is_regex"),
		Referenceable: flag("referenceable"), LenMin: count("len_min"), LenMax: count("len_max"), LenEq: count("len_eq"),
		Elements: inner("elements"), Keys: inner("keys"), Values: inner("values"),
		Fields: recordedFields(o["fields"]), Checks: recordedChecks(o["entity_checks"]),
	}
	f.OneOf, _ = o["one_of"].([]any)
	f.NotOneOf, _ = o["not_one_of"].([]any)
	if list, ok := o["between"].([]any); ok {
		f.Between = []float64{list[0].(float64), list[1].(float64)}
	}
	if n, ok := o["gt"].(float64); ok {
		f.Gt = new(n)
	}
	if v, ok := o["eq"]; ok {
		f.Eq = schema.Must(v)
	}
	f.MatchAll, f.MatchNone = recordedPatterns(o["match_all"]), recordedPatterns(o["match_none"])
	if m, ok := o["match_any"].(map[string]any); ok {
		f.MatchAny = &schema.PatternSet{Patterns: stringList(m["patterns"])}
		f.MatchAny.Err, _ = m["err"].(string)
	}
	list, _ := o["shorthand_fields"].([]any)
	for _, e := range list {
		for name, s := range e.(map[string]any) {
			f.Shorthands = append(f.Shorthands, recordedShorthand(name, s.(map[string]any)))
		}
	}
	return f
}

func recordedShorthand(name string, o map[string]any) schema.Shorthand {
	s := schema.Shorthand{Field: recordedField(o).Named(name)}
	d, _ := o["deprecation"].(map[string]any)
	if list, ok := d["replaced_with"].([]any); ok {
		path := stringList(list[0].(map[string]any)["path"])
		s.Deprecation = &schema.Deprecation{ReplacedWith: []schema.Replacement{{Path: path}}}
	} else {
		s.Expand = func(any) (schema.Object, error) { return schema.Object{}, nil }
	}
	return s
}

func recordedPatterns(v any) []schema.Pattern {
	list, _ := v.([]any)
	var out []schema.Pattern
	for _, e := range list {
		m := e.(map[string]any)
		p := schema.Pattern{Pattern: m["pattern"].(string)}
		p.Err, _ = m["err"].(string)
		out = append(out, p)
	}
	return out
}

func stringList(v any) []string {
	list, _ := v.([]any)
	var out []string
	for _, e := range list {
		out = append(out, e.(string))
	}
	return out
}

func recordedChecks(v any) []schema.EntityCheck {
	list, _ := v.([]any)
	var out []schema.EntityCheck
	for _, e := range list {
		for name, arg := range e.(map[string]any) {
			m, _ := arg.(map[string]any)
			c := schema.EntityCheck{}
			switch name {
			case "at_least_one_of":
				c.AtLeastOneOf = stringList(arg)
			case "only_one_of":
				c.OnlyOneOf = stringList(arg)
			case "mutually_exclusive":
				c.MutuallyExclusive = stringList(arg)
			case "mutually_required":
				c.MutuallyRequired = stringList(arg)
			case "distinct":
				c.Distinct = stringList(arg)
			case "conditional":
				c.Conditional = &schema.Conditional{
					If: m["if_field"].(string), IfMatch: recordedField(m["if_match"].(map[string]any)),
					Then: m["then_field"].(string), ThenMatch: recordedField(m["then_match"].(map[string]any)),
				}
				c.Conditional.ThenErr, _ = m["then_err"].(string)
			case "conditional_at_least_one_of":
				c.ConditionalAtLeastOneOf = &schema.ConditionalAtLeastOneOf{
					If: m["if_field"].(string), IfMatch: recordedField(m["if_match"].(map[string]any)),
					ThenAtLeastOneOf: stringList(m["then_at_least_one_of"]),
				}
				c.ConditionalAtLeastOneOf.ThenErr, _ = m["then_err"].(string)
			default:
				continue
			}
			out = append(out, c)
		}
	}
	return out
}

// TestSharedRecords compares the records that plugins share with recorded ones.
func TestSharedRecords(t *testing.T) {
	read := func(file, name string) (config, field map[string]any) {
		data, err := os.ReadFile(filepath.Join(referencetest.Dir(t), "schemas", "plugins", file))
		if err != nil {
			t.Fatal(err)
		}
		var o struct{ Fields []map[string]map[string]any }
		if err := json.Unmarshal(data, &o); err != nil {
			t.Fatal(err)
		}
		for _, f := range o.Fields {
			if config = f["config"]; config == nil {
				continue
			}
			for _, g := range config["fields"].([]any) {
				if m, ok := g.(map[string]any)[name].(map[string]any); ok {
					return config, m
				}
			}
		}
		t.Fatalf("%s has no field %s", file, name)
		return nil, nil
	}
	config := schema.PluginConfig(schema.Redis(), schema.Queue())
	config.Shorthands = schema.RedisShorthands()
	encoded, err := schema.EncodeJSON(render.Schema(&schema.Schema{Fields: []schema.Field{config}}))
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Fields []map[string]map[string]any }
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	fields := got.Fields[0]["config"]["fields"].([]any)
	recorded, redis := read("rate-limiting.json", "redis")
	_, queue := read("http-log.json", "queue")
	if diff := cmp.Diff(redis, fields[0].(map[string]any)["redis"]); diff != "" {
		t.Errorf("redis (-recorded +rendered):\n%s", diff)
	}
	if diff := cmp.Diff(queue, fields[1].(map[string]any)["queue"]); diff != "" {
		t.Errorf("queue (-recorded +rendered):\n%s", diff)
	}
	shorthands := got.Fields[0]["config"]["shorthand_fields"].([]any)
	for _, s := range shorthands {
		for _, f := range s.(map[string]any) {
			delete(f.(map[string]any)["deprecation"].(map[string]any), "message")
		}
	}
	if diff := cmp.Diff(recorded["shorthand_fields"], any(shorthands)); diff != "" {
		t.Errorf("shorthands (-recorded +rendered):\n%s", diff)
	}
}
