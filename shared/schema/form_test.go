package schema_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/schema"
)

func formSchema() *schema.Schema {
	text := schema.Field{Type: schema.String}
	sub := &schema.Schema{Name: "limit", Fields: []schema.Field{schema.PluginConfig(
		schema.Field{Name: "minute", Type: schema.Number},
		schema.Field{Name: "fault_tolerant", Type: schema.Boolean, Default: true},
		schema.RecordOf(schema.ArrayOf(text).Named("headers")).Named("add"),
		schema.ArrayOf(schema.Field{Type: schema.Integer}).Named("codes"),
	)}}
	return &schema.Schema{
		Name: "test", SubschemaKey: "name", TTL: true,
		Subschema: func(name string) (*schema.Schema, bool) { return sub, name == "limit" },
		Fields: []schema.Field{
			{Name: "name", Type: schema.String, Required: true},
			{Name: "config", Type: schema.Record, Abstract: true},
			schema.Tags(),
			schema.MapOf(text, schema.ArrayOf(text)).Named("headers"),
			schema.ForeignTo("services", "").Named("service"),
			schema.SetOf(schema.RecordOf(text.Named("ip"), schema.Port().Named("port"))).Named("sources"),
			schema.Port().Named("port"),
			{Name: "free", Type: schema.JSON},
		},
		Shorthands: []schema.Shorthand{{
			Field:  schema.Field{Name: "old_port", Type: schema.Integer},
			Expand: func(v any) (schema.Object, error) { return schema.Object{"port": v}, nil },
		}},
	}
}

func TestDecodeForm(t *testing.T) {
	tests := []struct {
		form   string
		stored schema.Object
		want   schema.Object
	}{
		{"name=a&tags=x", nil, schema.Object{"name": "a", "tags": []any{"x"}}},
		{"tags[]=x&tags[]=y", nil, schema.Object{"tags": []any{"x", "y"}}},
		{"tags=x&tags=y", nil, schema.Object{"tags": []any{"x", "y"}}},
		{"tags[2]=y&tags[1]=x&tags[10]=z", nil, schema.Object{"tags": []any{"x", "y", "z"}}},
		{"tags.1=x", nil, schema.Object{"tags": []any{"x"}}},
		{"tags=a,b", nil, schema.Object{"tags": []any{"a,b"}}},
		{"tags=", nil, schema.Object{"tags": nil}},
		{"tags[]=", nil, schema.Object{"tags": []any{nil}}},
		{"port=", nil, schema.Object{"port": nil}},
		{"port=80", nil, schema.Object{"port": int64(80)}},
		{"port=0x50", nil, schema.Object{"port": int64(80)}},
		{"port=80.5", nil, schema.Object{"port": 80.5}},
		{"port=abc", nil, schema.Object{"port": "abc"}},
		{"port=1&port=2", nil, schema.Object{"port": []any{"1", "2"}}},
		{"old_port=81", nil, schema.Object{"old_port": int64(81)}},
		{"ttl=5", nil, schema.Object{"ttl": int64(5)}},
		{"name=limit&config.minute=5", nil, schema.Object{"name": "limit", "config": schema.Object{"minute": int64(5)}}},
		{"name=limit&config[minute]=0.5", nil, schema.Object{"name": "limit", "config": schema.Object{"minute": 0.5}}},
		{"config.minute=5", schema.Object{"name": "limit"}, schema.Object{"config": schema.Object{"minute": int64(5)}}},
		{"config.minute=5", nil, schema.Object{"config": schema.Object{"minute": "5"}}},
		{"name=nope&config.minute=5", nil, schema.Object{"name": "nope", "config": schema.Object{"minute": "5"}}},
		{
			"name=limit&config.fault_tolerant=false&config.add.headers[]=a:1&config.codes=1&config.codes=2&config.x=y", nil,
			schema.Object{"name": "limit", "config": schema.Object{
				"fault_tolerant": false, "add": schema.Object{"headers": []any{"a:1"}}, "codes": []any{int64(1), int64(2)}, "x": "y",
			}},
		},
		{"headers.x-a=1&headers.x-a=2&headers.b[]=3", nil, schema.Object{"headers": schema.Object{"x-a": []any{"1", "2"}, "b": []any{"3"}}}},
		{"service.id=a&service.name=b", nil, schema.Object{"service": schema.Object{"id": "a", "name": "b"}}},
		{"service=", nil, schema.Object{"service": nil}},
		{"service=abc", nil, schema.Object{"service": "abc"}},
		{
			"sources[1].ip=1.2.3.4&sources[1].port=5&sources[2].port=6", nil,
			schema.Object{"sources": []any{schema.Object{"ip": "1.2.3.4", "port": int64(5)}, schema.Object{"port": int64(6)}}},
		},
		{`free={"a":1}`, nil, schema.Object{"free": schema.Object{"a": int64(1)}}},
		{"unknown=1&deep.er=2", nil, schema.Object{"unknown": "1", "deep": schema.Object{"er": "2"}}},
	}
	for _, tt := range tests {
		got, err := formSchema().DecodeForm(schema.ParseForm(tt.form), tt.stored)
		if err != nil {
			t.Errorf("%s: %v", tt.form, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.form, diff)
		}
	}
}

func TestDecodeFormRefuses(t *testing.T) {
	// A name that can't be taken apart is that of a field, which Process will not know.
	for _, name := range []string{"a[", "a.", "a[]x", strings.Repeat("a.", 100) + "a"} {
		got, err := formSchema().DecodeForm(schema.ParseForm(name+"=1"), nil)
		if err != nil || got[name] != "1" {
			t.Errorf("%.40s gave %v, %v", name, got, err)
		}
	}
	for form, want := range map[string]string{
		"config=1&config.minute=2": "config: is given both as a value and as a table",
	} {
		if _, err := formSchema().DecodeForm(schema.ParseForm(form), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s gave %v, want %s", form, err, want)
		}
	}
}

func TestParseForm(t *testing.T) {
	got := schema.ParseForm("a=1&&b%5B%5D=x+y%2&c&=d&e==%c3%a4")
	want := []schema.Pair{{"a", "1"}, {"b[]", "x y%2"}, {"c", "true"}, {"", "d"}, {"e", "=ä"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLastPairs(t *testing.T) {
	got := schema.LastPairs([]schema.Pair{{"a", "1"}, {"b", "2"}, {"a", "3"}})
	if diff := cmp.Diff([]schema.Pair{{"b", "2"}, {"a", "3"}}, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzForm: any form gives an object or an error, and what then validates is
// encoded and read back equal.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"name=limit&config.minute=5", "tags[]=a&tags[1]=b&tags=c", "headers.x[]=1", "a[b][c].d[]=", "sources[1].ip=::1", "port=1e3&ttl=9",
	} {
		f.Add(seed)
	}
	s := formSchema()
	f.Fuzz(func(t *testing.T, form string) {
		in, err := s.DecodeForm(schema.ParseForm(form), schema.Object{"name": "limit"})
		if err != nil {
			return
		}
		roundTrip(t, s, in)
	})
}

// FuzzProcess does the same for JSON.
func FuzzProcess(f *testing.F) {
	for _, seed := range []string{
		`{"name":"limit","config":{"minute":5,"codes":[1,2]}}`, `{"name":"limit","config":[]}`, `{"tags":["a",null]}`,
		`{"sources":[{"ip":"1.2.3.4","port":1e2}],"name":["limit"]}`, `{"headers":{"a":{}},"free":[[[]]],"ttl":-0}`,
	} {
		f.Add(seed)
	}
	s := formSchema()
	f.Fuzz(func(t *testing.T, text string) {
		if in, err := schema.DecodeObject([]byte(text)); err == nil {
			roundTrip(t, s, in)
		}
	})
}

func roundTrip(t *testing.T, s *schema.Schema, in schema.Object) {
	t.Helper()
	out, err := s.Process(in, schema.Insert, nil)
	if err != nil {
		if !strings.Contains(err.Error(), "schema violation") {
			t.Errorf("%v: %v", in, err)
		}
		return
	}
	encoded, err := s.Encode(out)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := s.Decode(encoded)
	if err != nil {
		t.Fatalf("%s: %v", encoded, err)
	}
	if diff := cmp.Diff(out, decoded); diff != "" {
		t.Errorf("encoded and decoded differ:\n%s", diff)
	}
	again, err := s.Process(decoded, schema.Update, decoded)
	if err != nil {
		t.Fatalf("%s: processed again: %v", encoded, err)
	}
	if diff := cmp.Diff(out, again); diff != "" {
		t.Errorf("processed again:\n%s", diff)
	}
	sent, err := s.Process(s.Read(out), schema.Upsert, out)
	if err != nil {
		t.Fatalf("%s: answer sent back: %v", encoded, err)
	}
	delete(sent, schema.ExpiresAt) // counts down
	delete(out, schema.ExpiresAt)
	if diff := cmp.Diff(out, sent); diff != "" {
		t.Errorf("answer sent back:\n%s", diff)
	}
}
