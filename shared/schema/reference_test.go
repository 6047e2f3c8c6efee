package schema_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/schema"
)

func TestParseReference(t *testing.T) {
	for text, want := range map[string]schema.Reference{
		"{vault://env/my-secret}":              {Vault: "env", Resource: "my-secret", Path: "my-secret"},
		"{vault://my-env/db/password}":         {Vault: "my-env", Resource: "db", Key: "password", Path: "db/password"},
		"{vault://file/a/b/c}":                 {Vault: "file", Resource: "a/b", Key: "c", Path: "a/b/c"},
		"{vault://file/a/b/}":                  {Vault: "file", Resource: "a/b", Path: "a/b"},
		"{vault://file//a//b}":                 {Vault: "file", Resource: "a", Key: "b", Path: "a/b"},
		"{vault://env/x%20y#2}":                {Vault: "env", Resource: "x y", Path: "x y", Version: 2},
		"{vault://env/x?prefix=P_&ttl=5}":      {Vault: "env", Resource: "x", Path: "x", Options: map[string]string{"prefix": "P_", "ttl": "5"}},
		"{vault://env/x?base64_decode=true#1}": {Vault: "env", Resource: "x", Path: "x", Options: map[string]string{"base64_decode": "true"}, Version: 1},
	} {
		got, err := schema.ParseReference(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", text, err, diff)
		}
	}
	for text, want := range map[string]string{
		"plain":                  "not a reference",
		"{vault://}":             "missing host",
		"{vault://env}":          "missing path",
		"{vault://env/}":         "empty path",
		"{vault://env//}":        "invalid path",
		"{vault:///x}":           "missing host",
		"{vault://env/x#latest}": "invalid version",
		"{vault://env/%zz}":      "not url",
		"{vault://env/x?a=%zz}":  "invalid query",
	} {
		if _, err := schema.ParseReference(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func secrets() *schema.Schema {
	text := schema.Field{Type: schema.String, Referenceable: true}
	named := func(name string) schema.Field { f := text; f.Name = name; return f }
	return &schema.Schema{Name: "x", Fields: []schema.Field{
		named("a"),
		{Name: "plain", Type: schema.String},
		schema.RecordOf(named("b"), schema.Field{Name: "list", Type: schema.Array, Elements: &text}).Named("record"),
		{Name: "map", Type: schema.Map, Keys: &schema.Field{Type: schema.String}, Values: &text},
	}}
}

func TestReplaceReferences(t *testing.T) {
	const r = "{vault://env/x}"
	o := schema.Object{
		"a": r, "plain": r, "none": r, "record": schema.Object{"b": r, "list": []any{"y", r}}, "map": schema.Object{"k": r, "l": "z"},
	}
	n := 0
	secrets().ReplaceReferences(o, func(string) string { n++; return "secret" })
	want := schema.Object{
		"a": "secret", "plain": r, "none": r, "record": schema.Object{"b": "secret", "list": []any{"y", "secret"}}, "map": schema.Object{"k": "secret", "l": "z"},
	}
	if diff := cmp.Diff(want, o); diff != "" || n != 4 {
		t.Errorf("replaced %d: %s", n, diff)
	}
}

func TestReferencesAreCheckedOnWrite(t *testing.T) {
	if _, err := secrets().Process(schema.Object{"a": "{vault://env/good}"}, schema.Insert, nil); err != nil {
		t.Error(err)
	}
	for _, bad := range []schema.Object{{"a": "{vault://env}"}, {"record": schema.Object{"list": []any{"{vault://}"}}}, {"map": schema.Object{"k": "{vault://env/}"}}} {
		_, err := secrets().Process(bad, schema.Insert, nil)
		if err == nil || !strings.Contains(err.Error(), "reference url") {
			t.Errorf("%v: got %v", bad, err)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, seed := range []string{"{vault://env/x}", "{vault://a/b/c/?ttl=1#2}", "{vault://%41/%2f}", "{vault://[::1]/x}", "{vault://u@h:1/x?&=#}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := schema.ParseReference(text)
		if err != nil {
			return
		}
		if r.Vault == "" || r.Resource == "" || r.Path == "" || r.Version < 0 {
			t.Errorf("%q: %+v", text, r)
		}
	})
}
