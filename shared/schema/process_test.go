package schema_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/schema"
)

const someID = "00000001-0000-4000-8000-000000000001"

// one makes a schema of one field named f.
func one(f schema.Field) *schema.Schema {
	return &schema.Schema{Name: "test", Fields: []schema.Field{f.Named("f")}}
}

func violation(t *testing.T, err error) *schema.Violation {
	t.Helper()
	var v *schema.Violation
	if err != nil && !errors.As(err, &v) {
		t.Fatalf("%v is no violation", err)
	}
	return v
}

func TestMessages(t *testing.T) {
	str := schema.Field{Type: schema.String}
	num := schema.Field{Type: schema.Number}
	with := func(f schema.Field, set func(*schema.Field)) schema.Field { set(&f); return f }
	tests := []struct {
		name  string
		field schema.Field
		value any
		want  any // message, nil for none
	}{
		{"string", str, int64(1), "expected a string"},
		{"integer", schema.Field{Type: schema.Integer}, "1", "expected an integer"},
		{"integer fraction", schema.Field{Type: schema.Integer}, 1.5, "expected an integer"},
		{"integer whole", schema.Field{Type: schema.Integer}, 3.0, nil},
		{"number", num, true, "expected a number"},
		{"boolean", schema.Field{Type: schema.Boolean}, "true", "expected a boolean"},
		{"array", schema.ArrayOf(str), "x", "expected an array"},
		{"array of object", schema.ArrayOf(str), schema.Object{"a": 1}, "expected an array"},
		{"empty object is an empty array", schema.ArrayOf(str), schema.Object{}, nil},
		{"set", schema.SetOf(str), int64(1), "expected a set"},
		{"map", schema.MapOf(str, str), "x", "expected a map"},
		{"map of list", schema.MapOf(str, str), []any{"x"}, "expected a string"},
		{"empty list is an empty map", schema.MapOf(str, str), []any{}, nil},
		{"map value", schema.MapOf(str, str), schema.Object{"a": int64(1)}, "expected a string"},
		{"map null", schema.MapOf(str, str), schema.Object{"a": nil}, "required field missing"},
		{"record", schema.RecordOf(str.Named("a")), "x", "expected a record"},
		{"record of list", schema.RecordOf(str.Named("a")), []any{int64(1), "x"}, []any{"unknown field", "unknown field"}},
		{"record of list that lacks a field", schema.RecordOf(str.Named("a").AsRequired()), []any{int64(1)}, schema.Object{"1": "unknown field", "a": "required field missing"}},
		{"record of text", schema.RecordOf(str.Named("a")), "x", "expected a record"},
		{"set with duplicates that are wrong", schema.SetOf(schema.Field{Type: schema.Integer}), []any{"x", "x"}, []any{"expected an integer"}},
		{"set of equal records", with(schema.SetOf(schema.RecordOf(str.Named("a"))), func(f *schema.Field) { f.LenMin = new(2) }), []any{schema.Object{"a": "b"}, schema.Object{"a": "b"}}, nil},
		{"record field", schema.RecordOf(str.Named("a")), schema.Object{"a": int64(1)}, schema.Object{"a": "expected a string"}},
		{"record unknown", schema.RecordOf(str.Named("a")), schema.Object{"b": nil}, schema.Object{"b": "unknown field"}},
		{"required", str.AsRequired(), nil, "required field missing"},
		{"null", str, nil, nil},
		{"empty", str, "", "length must be at least 1"},
		{"empty allowed", with(str, func(f *schema.Field) { f.LenMin = new(0) }), "", nil},
		{"len_min", with(str, func(f *schema.Field) { f.LenMin = new(3) }), "ab", "length must be at least 3"},
		{"len_max", with(str, func(f *schema.Field) { f.LenMax = new(1) }), "ab", "length must be at most 1"},
		{"len_eq", with(str, func(f *schema.Field) { f.LenEq = new(1) }), "ab", "length must be 1"},
		{"len_min of list", with(schema.ArrayOf(str), func(f *schema.Field) { f.LenMin = new(1) }), []any{}, "length must be at least 1"},
		{"len_min of map", with(schema.MapOf(str, str), func(f *schema.Field) { f.LenMin = new(1) }), schema.Object{}, "length must be at least 1"},
		{"between", with(num, func(f *schema.Field) { f.Between = []float64{0, 0.5} }), 0.6, "value should be between 0 and 0.5"},
		{"gt", with(num, func(f *schema.Field) { f.Gt = new(float64(0)) }), int64(0), "value must be greater than 0"},
		{"one_of", schema.OneOf("a", "b"), "c", "expected one of: a, b"},
		{"one_of numbers", schema.Field{Type: schema.Integer, OneOf: []any{-1, 1}}, int64(0), "expected one of: -1, 1"},
		{"one_of number", schema.Field{Type: schema.Integer, OneOf: []any{-1, 1}}, 1.0, nil},
		{"not_one_of", with(str, func(f *schema.Field) { f.NotOneOf = []any{"env"} }), "env", "must not be one of: env"},
		{"match", with(str, func(f *schema.Field) { f.Match = "^%d+$" }), "x", "invalid value: x"},
		{"not_match", with(str, func(f *schema.Field) { f.NotMatch = "%s" }), "x y", "invalid value: x y"},
		{"match_none", with(str, func(f *schema.Field) { f.MatchNone = []schema.Pattern{{"x", ""}} }), "x", "invalid value: x"},
		{"match_all", with(str, func(f *schema.Field) { f.MatchAll = []schema.Pattern{{"^a", ""}, {"b$", "no b"}} }), "ac", "no b"},
		{"match_any", with(str, func(f *schema.Field) { f.MatchAny = &schema.PatternSet{Patterns: []string{"a", "b"}} }), "c", "invalid value: c"},
		{"starts_with", with(str, func(f *schema.Field) { f.StartsWith = "/" }), "c", "should start with: /"},
		{"err", with(schema.OneOf("a"), func(f *schema.Field) { f.Err = "no such filter" }), "b", "no such filter"},
		{"eq null", with(str, func(f *schema.Field) { f.Eq = schema.Must(nil) }), "b", "value must be null"},
		{"eq", with(str, func(f *schema.Field) { f.Eq = schema.Must("a") }), "b", "value must be a"},
		{"eq of null", with(str, func(f *schema.Field) { f.Eq = schema.Must("a") }), nil, "value must be a"},
		{"ne", with(schema.Field{Type: schema.Boolean}, func(f *schema.Field) { f.Ne = schema.Must(true) }), true, "value must not be true"},
		{"ne null", with(str, func(f *schema.Field) { f.Ne = schema.Must(schema.Null) }), nil, "value must not be null"},
		{"contains", with(schema.SetOf(str), func(f *schema.Field) { f.Contains = "a" }), []any{"b"}, "expected to contain: a"},
		{"is_regex", schema.ValidRegex(), "(", "not a valid regex: ("},
		{"uuid", schema.UUID(), "x", "expected a valid UUID"},
		{"timestamp", schema.Field{Type: schema.Number, Timestamp: true}, int64(0), "expected a valid timestamp"},
		{"elements", schema.ArrayOf(str), []any{"a", int64(1), nil}, []any{nil, "expected a string", "required field missing"}},
		{"foreign", schema.ForeignTo("x", ""), "a", schema.Object{"id": "missing primary key"}},
		{"foreign null id", schema.ForeignTo("x", ""), schema.Object{"id": nil}, schema.Object{"id": "required field missing"}},
		{"foreign id", schema.ForeignTo("x", ""), schema.Object{"id": "a"}, schema.Object{"id": "expected a valid UUID"}},
		{"foreign id number", schema.ForeignTo("x", ""), schema.Object{"id": int64(1)}, schema.Object{"id": "expected a string"}},
		{"foreign without an id", schema.ForeignTo("x", ""), schema.Object{"a": "b"}, schema.Object{"id": "missing primary key"}},
		{"foreign with more", schema.ForeignTo("x", ""), schema.Object{"id": someID, "name": "b"}, nil},
		{"reference", schema.Port().AsReferenceable(), "{vault://env/x}", "expected an integer"},
		{"reference of text", schema.Host().AsReferenceable(), "{vault://env/x y}", nil},
		{"no reference", schema.Host(), "{vault://env/x}", "invalid value: {vault://env/x}"},
		{"host", schema.Host(), "a:80", "must not have a port"},
		{"host port number", schema.Host(), "a:99999", "must not have a port"},
		{"host ipv6", schema.Host(), "::1", nil},
		{"host dash", schema.Host(), "-a.b", "invalid value: -a.b"},
		{"sni", schema.SNI(), "1.2.3.4", "must not be an IP"},
		{"sni port", schema.SNI(), "a:1", "must not have a port"},
		{"wildcard sni", schema.WildcardSNI(), "a.*.b", "wildcard must be leftmost or rightmost character"},
		{"wildcard sni two", schema.WildcardSNI(), "*.a.*", "only one wildcard must be specified"},
		{"wildcard sni alone", schema.WildcardSNI(), "*", nil},
		{"ip", schema.IP(), "a", "not an ip address: a"},
		{"cidr", schema.CIDR(), "1.2.3.4", "invalid cidr range: 1.2.3.4"},
		{"ip or cidr", schema.IPOrCIDR(), "1.2.3.4/33", "invalid ip or cidr range: '1.2.3.4/33'"},
		{"port", schema.Port(), int64(65536), "value should be between 0 and 65535"},
		{"timeout", schema.Timeout(), int64(-1), "value should be between 0 and 2147483646"},
		{"path", schema.Path(), "/a%2", "invalid url-encoded value: '%2'"},
		{"router path", schema.RouterPath(), "/a/../b", "non-normalized path, consider use '/b' instead"},
		{"router segments", schema.RouterPath(), "=/a/b", nil},
		{"router segments normalized", schema.RouterPath(), "=/a/./b", "non-normalized path, consider use '/a/b' instead"},
		{"router segments slash", schema.RouterPath(), "=a", "should start with: / (fixed path) or ~/ (regex path)"},
		{"router regex", schema.RouterPath(), "~/a(?=b)", nil},
		{"url", schema.URL(), "x", "missing host in url"},
		{"url scheme", schema.URL(), "//x", "missing scheme in url"},
		{"header name", schema.HeaderName(), "a b", "bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'"},
		{"tag", schema.Tag(), "a/b", "invalid tag 'a/b': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"},
		{"tag utf-8", schema.Tag(), "ä", nil},
		{"name", schema.Name(), "a b", "invalid value 'a b': the only accepted ascii characters are alphanumerics or ., -, _, and ~"},
		{"invalid utf-8", str, "\xff", "expected a valid UTF-8 string"},
		{"check", with(str, func(f *schema.Field) { f.Check = func(any) error { return errors.New("no") } }), "x", "no"},
		{"check by field", with(schema.RecordOf(str.Named("a")), func(f *schema.Field) {
			f.Check = func(any) error { return schema.Violate("a", "no") }
		}), schema.Object{"a": "b"}, schema.Object{"a": "no"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := one(tt.field).Process(schema.Object{"f": tt.value}, schema.Insert, nil)
			v := violation(t, err)
			var got any
			if v != nil {
				got = v.Fields["f"]
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEntityChecks(t *testing.T) {
	text := func(name string) schema.Field { return schema.Field{Name: name, Type: schema.String} }
	tests := []struct {
		name  string
		check schema.EntityCheck
		in    schema.Object
		op    schema.Op
		want  schema.Object
	}{
		{
			"at_least_one_of",
			schema.EntityCheck{AtLeastOneOf: []string{"a", "b"}},
			schema.Object{},
			schema.Insert,
			schema.Object{"@entity": []any{"at least one of these fields must be non-empty: 'a', 'b'"}},
		},
		{
			"at_least_one_of on update",
			schema.EntityCheck{AtLeastOneOf: []string{"a", "b"}},
			schema.Object{"a": nil},
			schema.Update,
			schema.Object{"@entity": []any{"when updating, at least one of these fields must be non-empty: 'a', 'b'"}},
		},
		{"at_least_one_of given", schema.EntityCheck{AtLeastOneOf: []string{"a", "b"}}, schema.Object{"b": "x"}, schema.Insert, nil},
		{
			"only_one_of",
			schema.EntityCheck{OnlyOneOf: []string{"a", "b"}},
			schema.Object{"a": "x", "b": "y"},
			schema.Insert,
			schema.Object{"@entity": []any{"exactly one of these fields must be non-empty: 'a', 'b'"}},
		},
		{
			"mutually_exclusive",
			schema.EntityCheck{MutuallyExclusive: []string{"a", "b"}},
			schema.Object{"a": "x", "b": "y"},
			schema.Insert,
			schema.Object{"@entity": []any{"only one or none of these fields must be set: 'a', 'b'"}},
		},
		{
			"mutually_required",
			schema.EntityCheck{MutuallyRequired: []string{"a", "b"}},
			schema.Object{"a": "x"},
			schema.Insert,
			schema.Object{"@entity": []any{"all or none of these fields must be set: 'a', 'b'"}},
		},
		{
			"distinct",
			schema.EntityCheck{Distinct: []string{"a", "b"}},
			schema.Object{"a": "x", "b": "x"},
			schema.Insert,
			schema.Object{"@entity": []any{"values of these fields must be distinct: 'a', 'b'"}},
		},
		{
			"conditional",
			schema.EntityCheck{Conditional: &schema.Conditional{
				If: "a", IfMatch: schema.Field{Eq: schema.Must("x")}, Then: "b", ThenMatch: schema.Field{Required: true},
			}},
			schema.Object{"a": "x"},
			schema.Insert,
			schema.Object{"b": "required field missing", "@entity": []any{"failed conditional validation given value of field 'a'"}},
		},
		{"conditional that does not apply", schema.EntityCheck{Conditional: &schema.Conditional{
			If: "a", IfMatch: schema.Field{Eq: schema.Must("x")}, Then: "b", ThenMatch: schema.Field{Required: true},
		}}, schema.Object{"a": "y"}, schema.Insert, nil},
		{
			"conditional with message",
			schema.EntityCheck{Conditional: &schema.Conditional{
				If: "a", IfMatch: schema.Field{OneOf: []any{"x"}}, Then: "r.c", ThenMatch: schema.Field{OneOf: []any{"z"}}, ThenErr: "set c",
			}},
			schema.Object{"a": "x", "r": schema.Object{"c": "y"}},
			schema.Insert,
			schema.Object{"r": schema.Object{"c": "expected one of: z"}, "@entity": []any{"set c"}},
		},
		{"conditional_at_least_one_of", schema.EntityCheck{ConditionalAtLeastOneOf: &schema.ConditionalAtLeastOneOf{
			If: "a", IfMatch: schema.Field{OneOf: []any{"x"}}, ThenAtLeastOneOf: []string{"r.c"}, ThenErr: "must set %s for x",
		}}, schema.Object{"a": "x"}, schema.Insert, schema.Object{"@entity": []any{"must set 'r.c' for x"}}},
		{"conditional_at_least_one_of, else", schema.EntityCheck{ConditionalAtLeastOneOf: &schema.ConditionalAtLeastOneOf{
			If: "a", IfMatch: schema.Field{OneOf: []any{"x"}}, ThenAtLeastOneOf: []string{"b"},
			ElseMatch: &schema.Field{OneOf: []any{"y"}}, ElseAtLeastOneOf: []string{"b"},
		}}, schema.Object{"a": "y"}, schema.Insert, schema.Object{"@entity": []any{"at least one of these fields must be non-empty: 'b'"}}},
		{
			"code",
			schema.EntityCheck{Fields: []string{"a"}, Func: func(schema.Object) error { return errors.New("no") }},
			schema.Object{"a": "x"},
			schema.Insert,
			schema.Object{"@entity": []any{"no"}},
		},
		{
			"code about a field",
			schema.EntityCheck{Fields: []string{"a"}, Func: func(schema.Object) error { return schema.Violate("a", "no") }},
			schema.Object{"a": "x"},
			schema.Insert,
			schema.Object{"a": "no"},
		},
		{
			"code is not run without its fields",
			schema.EntityCheck{Fields: []string{"a"}, Func: func(schema.Object) error { return errors.New("no") }},
			schema.Object{},
			schema.Insert, nil,
		},
		{
			"code is not run on wrong fields",
			schema.EntityCheck{Fields: []string{"a"}, Func: func(schema.Object) error { return errors.New("no") }},
			schema.Object{"a": int64(1)},
			schema.Insert,
			schema.Object{"a": "expected a string"},
		},
		{"references are not looked into", schema.EntityCheck{Conditional: &schema.Conditional{
			If: "v", IfMatch: schema.Field{Ne: schema.Must(nil)}, Then: "b", ThenMatch: schema.Field{Required: true},
		}}, schema.Object{"v": "{vault://env/x}"}, schema.Insert, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &schema.Schema{Name: "test", Checks: []schema.EntityCheck{tt.check}, Fields: []schema.Field{
				text("a"), text("b"), schema.RecordOf(text("c")).Named("r"), text("v").AsReferenceable(),
			}}
			_, err := s.Process(tt.in, tt.op, schema.Object{})
			var got schema.Object
			if v := violation(t, err); v != nil {
				got = v.Fields
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestUpdateMerges(t *testing.T) {
	number := func(name string, def any) schema.Field {
		return schema.Field{Name: name, Type: schema.Integer, Default: def}
	}
	s := &schema.Schema{Name: "test", Fields: []schema.Field{
		schema.ID(), schema.CreatedAt(), schema.UpdatedAt(),
		number("retries", 5), number("plain", nil),
		schema.RecordOf(number("a", 1), number("b", 2)).Named("r").AsRequired(),
		schema.SetOf(schema.Tag()).Named("tags"),
		schema.MapOf(schema.Tag(), schema.Tag()).Named("m"),
		{Name: "first", Type: schema.String, Immutable: true},
	}}
	stored, err := s.Process(schema.Object{
		"retries": nil, "plain": int64(1), "tags": []any{"x", "x", "y"}, "m": schema.Object{"a": "1"}, "first": "1", "created_at": int64(7),
	}, schema.Insert, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{"x", "y"}, stored["tags"]); diff != "" {
		t.Errorf("a set keeps each value once (-want +got):\n%s", diff)
	}
	before := schema.Clone(stored)
	in := schema.Object{"id": someID, "plain": nil, "r": schema.Object{"b": int64(3)}, "tags": []any{"z"}, "m": schema.Object{"b": "2"}, "first": "1"}
	out, err := s.Process(in, schema.Update, stored)
	if err != nil {
		t.Fatal(err)
	}
	want := schema.Object{
		"id": stored["id"], "created_at": int64(7), "updated_at": out["updated_at"], "retries": nil,
		"r": schema.Object{"a": int64(1), "b": int64(3)}, "tags": []any{"z"}, "m": schema.Object{"b": "2"}, "first": "1",
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, stored); diff != "" {
		t.Errorf("the stored object was changed:\n%s", diff)
	}
	if _, err := s.Process(schema.Object{"first": "2"}, schema.Update, stored); err == nil ||
		err.Error() != "schema violation (first: immutable field cannot be updated)" {
		t.Errorf("changing an immutable field gave %v", err)
	}
	put, err := s.Process(schema.Object{"plain": int64(2)}, schema.Upsert, stored)
	if err != nil {
		t.Fatal(err)
	}
	if put["id"] != stored["id"] || put["retries"] != int64(5) || put["created_at"] == int64(7) {
		t.Errorf("upsert kept more than the id: %v", put)
	}
	read := s.Read(out)
	if v, given := read["plain"]; !given || v != nil {
		t.Errorf("plain reads as %v, %v, want null", v, given)
	}
}

func TestShorthands(t *testing.T) {
	config := schema.PluginConfig(schema.Redis())
	config.Shorthands = schema.RedisShorthands()
	s := &schema.Schema{Name: "test", Fields: []schema.Field{config}}
	get := func(in schema.Object) (schema.Object, error) {
		out, err := s.Process(schema.Object{"config": in}, schema.Insert, nil)
		if err != nil {
			return nil, err
		}
		return out["config"].(schema.Object), nil
	}
	out, err := get(schema.Object{"redis_host": "h", "redis_port": 1.0, "redis": schema.Object{"port": int64(1), "username": "u"}})
	if err != nil {
		t.Fatal(err)
	}
	if out["redis_host"] != nil || schema.GetString(out, "redis.host") != "h" || schema.Get(out, "redis.port") != int64(1) ||
		schema.GetString(out, "redis.username") != "u" || schema.Get(out, "redis.timeout") != int64(2000) {
		t.Errorf("stored %v", out)
	}
	read := s.Read(schema.Object{"config": out})
	if schema.Get(read, "config.redis_host") != "h" || schema.Get(read, "config.redis_timeout") != int64(2000) {
		t.Errorf("read %v", read)
	}
	for _, tt := range []struct {
		in   schema.Object
		want string
	}{
		{
			schema.Object{"redis_port": int64(1), "redis": schema.Object{"port": int64(2)}},
			"schema violation (redis_port: both deprecated and new field are used but their values mismatch: redis_port = 1 vs redis.port = 2)",
		},
		{schema.Object{"redis_host": int64(1)}, "schema violation (redis_host: expected a string)"},
	} {
		if _, err := get(tt.in); err == nil || err.Error() != tt.want {
			t.Errorf("%v gave %v, want %s", tt.in, err, tt.want)
		}
	}
	// What an answer holds can be sent back.
	again, err := s.Process(read, schema.Insert, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(schema.Object{"config": out}, again); diff != "" {
		t.Errorf("(-stored +sent back):\n%s", diff)
	}
	if out, err = get(schema.Object{"redis_host": nil, "redis": schema.Object{"host": "h"}}); err != nil || schema.GetString(out, "redis.host") != "h" {
		t.Errorf("a null shorthand won: %v %v", out, err)
	}
}

func TestTTL(t *testing.T) {
	s := &schema.Schema{Name: "test", TTL: true, Fields: []schema.Field{schema.ID()}}
	stored, err := s.Process(schema.Object{"ttl": int64(100)}, schema.Insert, nil)
	if err != nil {
		t.Fatal(err)
	}
	at, ok := schema.Expiry(stored)
	if left := time.Until(at); !ok || left < 95*time.Second || left > 100*time.Second {
		t.Errorf("expires in %v, %v", left, ok)
	}
	if ttl, _ := s.Read(stored)["ttl"].(int64); ttl < 95 || ttl > 99 {
		t.Errorf("ttl reads as %v, want 99", ttl)
	}
	kept, err := s.Process(schema.Object{}, schema.Update, stored)
	if err != nil || kept[schema.ExpiresAt] != stored[schema.ExpiresAt] {
		t.Errorf("an update without ttl changed it: %v %v", kept, err)
	}
	gone, err := s.Process(schema.Object{"ttl": nil}, schema.Update, stored)
	if err != nil || gone[schema.ExpiresAt] != nil || s.Read(gone)["ttl"] != nil {
		t.Errorf("ttl null kept it: %v %v", gone, err)
	}
	for _, bad := range []any{"x", int64(-1), 1.5, int64(100_000_001)} {
		if _, err := s.Process(schema.Object{"ttl": bad}, schema.Insert, nil); err == nil || !strings.Contains(err.Error(), "ttl: must be an integer") {
			t.Errorf("ttl %v gave %v", bad, err)
		}
	}
	if _, err := one(schema.ID()).Process(schema.Object{"ttl": int64(1)}, schema.Insert, nil); err == nil {
		t.Error("a kind without TTL took a ttl")
	}
}

func TestAuto(t *testing.T) {
	s := &schema.Schema{Name: "test", Fields: []schema.Field{
		schema.ID(), schema.TimestampMillis().Named("created_at"), schema.UpdatedAt(), {Name: "key", Type: schema.String, Auto: true},
	}}
	a, err := s.Process(schema.Object{}, schema.Insert, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Process(schema.Object{"id": nil}, schema.Insert, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key, _ := a["key"].(string); len(key) != 32 || a["key"] == b["key"] {
		t.Errorf("keys %v and %v", a["key"], b["key"])
	}
	now := time.Now()
	if at, _ := a["updated_at"].(int64); at < now.Unix()-5 || at > now.Unix() {
		t.Errorf("updated_at %v", a["updated_at"])
	}
	if len(a["id"].(string)) != 36 {
		t.Errorf("id %v", a["id"])
	}
}

func TestHooks(t *testing.T) {
	s := &schema.Schema{
		Name:   "test",
		Fields: []schema.Field{{Name: "a", Type: schema.String}, {Name: "b", Type: schema.String}},
		Normalize: func(o schema.Object) error {
			if o["a"] == "bad" {
				return schema.Violate("a", "is bad")
			}
			o["b"] = "normal"
			return nil
		},
		Transform:   func(o schema.Object) error { o["a"] = o["a"].(string) + "!"; return nil },
		TransformOn: []string{"a"},
	}
	in := schema.Object{"a": "x"}
	stored, err := s.Process(in, schema.Insert, nil)
	if err != nil || stored["a"] != "x!" || stored["b"] != "normal" || in["b"] != nil {
		t.Errorf("got %v %v, in is %v", stored, err, in)
	}
	if out, err := s.Process(schema.Object{}, schema.Update, stored); err != nil || out["a"] != "x!" {
		t.Errorf("got %v %v, want the transform to run only when a is given", out, err)
	}
	if _, err := s.Process(schema.Object{"a": "bad"}, schema.Insert, nil); err == nil || err.Error() != "schema violation (a: is bad)" {
		t.Errorf("got %v", err)
	}
}

func TestCompilePanicsOnMistakes(t *testing.T) {
	for name, s := range map[string]*schema.Schema{
		"pattern":   one(schema.Field{Type: schema.String, Match: "["}),
		"default":   one(schema.Port().Defaults("x")),
		"no name":   {Fields: []schema.Field{{Type: schema.String}}},
		"two names": {Fields: []schema.Field{{Name: "a"}, {Name: "a"}}},
		"check":     {Fields: []schema.Field{{Name: "a"}}, Checks: []schema.EntityCheck{{}}},
		"shorthand": {Shorthands: []schema.Shorthand{{Field: schema.Field{Name: "a"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			s.Compile()
		})
	}
}

func TestHiddenAndTransient(t *testing.T) {
	s := &schema.Schema{Name: "test", Fields: []schema.Field{
		{Name: "secret", Type: schema.String, Hidden: true},
		schema.ArrayOf(schema.SNI()).Named("snis"),
	}}
	s.Fields[1].Transient = true
	out, err := s.Process(schema.Object{"secret": "x", "snis": []any{"a"}}, schema.Insert, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Encode(out)
	if err != nil || string(b) != `{"secret":"x"}` {
		t.Errorf("encoded %s %v", b, err)
	}
	if diff := cmp.Diff(schema.Object{"snis": []any{"a"}}, s.Read(out)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(schema.Object{}, s.Read(schema.Object{})); diff != "" {
		t.Error(diff)
	}
}

func TestDeclareKeepsWhatStays(t *testing.T) {
	s := &schema.Schema{Name: "test", Fields: []schema.Field{
		schema.ID(), schema.CreatedAt(), schema.UpdatedAt(),
		{Name: "key", Type: schema.String, Auto: true},
		{Name: "a", Type: schema.String},
	}}
	first, err := s.Process(schema.Object{"id": someID, "a": "x", "created_at": int64(1), "updated_at": int64(2)}, schema.Declare, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first["created_at"] != int64(1) || first["updated_at"] != int64(2) {
		t.Errorf("given times were not kept: %v", first)
	}
	same, err := s.Process(schema.Object{"id": someID, "a": "x"}, schema.Declare, first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, same); diff != "" {
		t.Errorf("the same declaration changed the object:\n%s", diff)
	}
	other, err := s.Process(schema.Object{"id": someID, "a": "y"}, schema.Declare, first)
	if err != nil {
		t.Fatal(err)
	}
	if other["updated_at"] == int64(2) || other["created_at"] != int64(1) || other["key"] != first["key"] {
		t.Errorf("another declaration gave %v", other)
	}
}

func TestFirstUseIsConcurrent(t *testing.T) {
	s := formSchema()
	done := make(chan error, 8)
	for range cap(done) {
		go func() {
			_, err := s.Process(schema.Object{"name": "limit", "config": schema.Object{"minute": int64(1)}}, schema.Insert, nil)
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
