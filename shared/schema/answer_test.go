package schema_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/schema"
)

func answerSchema() *schema.Schema {
	str := schema.Field{Type: schema.String}
	hidden := str.Named("hidden")
	hidden.Hidden = true
	transient := schema.ArrayOf(str).Named("transient")
	transient.Transient = true
	extra := str.Named("extra")
	extra.Extra = true
	inner := schema.RecordOf(str.Named("b"), schema.Port().Named("port").Defaults(80), str.Named("a"))
	return &schema.Schema{Name: "answers", Fields: []schema.Field{
		str.Named("name"), hidden, transient, extra, schema.Port().Named("port").AsRequired().Defaults(80),
		inner.Named("record").AsRequired(), inner.Named("optional"),
		schema.ArrayOf(inner).Named("list"), schema.MapOf(str, inner).Named("map"), schema.SetOf(str).Named("set").Defaults([]any{"x"}),
	}}
}

// TestAppendAnswer completes stored JSON with and without decoding it.
func TestAppendAnswer(t *testing.T) {
	s := answerSchema()
	if !s.Answers() {
		t.Fatal("there is no template")
	}
	for _, stored := range []string{
		`{}`, `{"name":"x"}`, `{"extra":"e","hidden":"h","name":"\"q\"\\","transient":["t"]}`, `{"extra":null,"port":null,"set":null}`,
		`{"list":[],"map":{},"record":{}}`, `{"list":[{"a":"1"},{"b":"},{"}],"map":{"k":{"port":1},"l":{}},"optional":{"b":"x"},"record":{"a":null,"port":0}}`,
		`{"a":{"deep":[1,{"x":"]"}]},"name":"x","zz":1.5e-7,"zzz":true}`, `{"record":null}`, `{"optional":null,"set":["a","b"]}`,
	} {
		o, err := s.Decode([]byte(stored))
		if err != nil {
			t.Fatal(err)
		}
		want, err := schema.EncodeJSON(s.Read(o))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := s.AppendAnswer([]byte("before "), []byte(stored))
		if diff := cmp.Diff("before "+string(want), string(got)); !ok || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", stored, ok, diff)
		}
	}
	for _, stored := range []string{``, `{`, `[]`, `{"name"`, `{"name":`, `{"name":"x`, `{"name":"x"`, `{"port":1,"name":"x"}`, `{"name":"x"} `, `{ "name":"x"}`, `{"list":[1]}`, `{"map":{"a":1}}`, `{"list":[{}`, `{"n\u0061me":"x"}`} {
		if got, ok := s.AppendAnswer([]byte("before"), []byte(stored)); ok || string(got) != "before" {
			t.Errorf("%s was taken for canonical: %s", stored, got)
		}
	}
	for _, s := range []*schema.Schema{
		{Name: "ttl", TTL: true, Fields: []schema.Field{schema.ID()}},
		{Name: "moved", Fields: []schema.Field{schema.RecordOf(schema.Host().Named("host")).Named("redis")}, Shorthands: []schema.Shorthand{{
			Field: schema.Host().Named("redis_host"), Deprecation: &schema.Deprecation{ReplacedWith: []schema.Replacement{{Path: []string{"redis", "host"}}}},
		}}},
	} {
		if _, ok := s.AppendAnswer(nil, []byte(`{}`)); ok || s.Answers() {
			t.Errorf("%s must be computed", s.Name)
		}
	}
}

func TestPeek(t *testing.T) {
	const stored = `{"a":{"x":[1,"}"]},"b":"t\"","c":null,"d":5}`
	want := schema.Object{"b": `t"`, "c": nil, "d": int64(5)}
	if diff := cmp.Diff(want, schema.Peek([]byte(stored), "b", "c", "d", "e")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{``, `x`, `{`, `{"b"`, `{"b":`, `{"b":"`, `{"b":"x"`} {
		_ = schema.Peek([]byte(bad), "b") // must end
	}
}

// FuzzAppendAnswer: what is taken for canonical JSON is completed as by decoding it.
func FuzzAppendAnswer(f *testing.F) {
	s := answerSchema()
	f.Add([]byte(`{"list":[{"a":"1"},{"b":"},{"}],"map":{"k":{"port":1}},"name":"x"}`))
	f.Add([]byte(`{"extra":null,"optional":{"b":"x"},"record":{"a":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := schema.DecodeObject(data)
		if err != nil {
			_, _ = s.AppendAnswer(nil, data) // must end
			_ = schema.Peek(data, "name")
			return
		}
		stored, err := schema.EncodeJSON(o)
		if err != nil {
			return
		}
		got, ok := s.AppendAnswer(nil, stored)
		if !ok {
			return
		}
		want, err := schema.EncodeJSON(s.Read(o))
		if err != nil || string(want) != string(got) {
			t.Errorf("%s became %s, want %s (%v)", stored, got, want, err)
		}
	})
}
