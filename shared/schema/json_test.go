package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/schema"
)

func TestEncodeJSON(t *testing.T) {
	tests := []struct {
		in   any
		want string
	}{
		{schema.Object{"b": nil, "a": []any{}, "c": schema.Object{}}, `{"a":[],"b":null,"c":{}}`},
		{"<&>\"\\\n\t\x01ä\u2028", "\"<&>\\\"\\\\\\n\\t\\u0001ä\u2028\""},
		{"\xff", "\"\ufffd\""},
		{1.0, "1"},
		{0.001, "0.001"},
		{1e300, "1e+300"},
		{int64(math.MaxInt64), "9223372036854775807"},
		{[]string{"a"}, `["a"]`},
		{[]schema.Object{{"a": 1}}, `[{"a":1}]`},
		{json.Number("12.5"), "12.5"},
		{true, "true"},
	}
	for _, tt := range tests {
		got, err := schema.EncodeJSON(tt.in)
		if err != nil || string(got) != tt.want {
			t.Errorf("%v: got %s %v, want %s", tt.in, got, err, tt.want)
		}
	}
	for _, bad := range []any{math.NaN(), math.Inf(1), struct{}{}, schema.Object{"a": []any{make(chan int)}}} {
		if got, err := schema.EncodeJSON(bad); err == nil {
			t.Errorf("%v: got %s, want an error", bad, got)
		}
	}
}

func TestDecodeObject(t *testing.T) {
	got, err := schema.DecodeObject([]byte(` {"a":1,"a":2.0,"b":1.5,"c":[true,false,null,"\u00e4\ud83d\ude00\n"],"d":12345678901234567890} `))
	if err != nil {
		t.Fatal(err)
	}
	want := schema.Object{
		"a": int64(2), "b": 1.5, "c": []any{true, false, nil, "ä😀\n"}, "d": 12345678901234567890.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := schema.DecodeObject([]byte(`[]`)); err != nil || len(got) != 0 {
		t.Errorf("[] gave %v %v", got, err)
	}
	for text, want := range map[string]error{
		``: schema.ErrSyntax, `{`: schema.ErrSyntax, `{"a"`: schema.ErrSyntax, `{"a":1,}`: schema.ErrSyntax, `{"a":01}`: schema.ErrSyntax,
		`{"a":1}x`: schema.ErrSyntax, `{"a":"` + "\n" + `"}`: schema.ErrSyntax, `{"a":1e999}`: schema.ErrSyntax, `{"a":nul}`: schema.ErrSyntax,
		`1`: schema.ErrNotObject, `[1]`: schema.ErrNotObject, `null`: schema.ErrNotObject, `"s"`: schema.ErrNotObject,
		`{"a":` + strings.Repeat("[", 2000): schema.ErrTooDeep,
	} {
		if _, err := schema.DecodeObject([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%.30s gave %v, want %v", text, err, want)
		}
	}
}

// FuzzDecode: the same texts are JSON for us and for the standard library, with the
// same meaning.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-0,1e2,"\ud800","\u0000"],"b":{}}`, `[]`, `"\/"`, "\"\xff\"", `{"a":1,"a":2}`, `-`, `1.`, `tru`, `{,}`, `[1,]`, `{"a":1,}"b":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := schema.DecodeJSON(data)
		var want any
		wantErr := json.Unmarshal(data, &want)
		if errors.Is(err, schema.ErrTooDeep) {
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: we say %v, encoding/json says %v", data, err, wantErr)
		}
		if err != nil {
			return
		}
		ours, err := schema.EncodeJSON(got)
		if err != nil {
			t.Fatal(err)
		}
		again, err := schema.DecodeJSON(ours)
		if err != nil {
			t.Fatalf("%s: %v", ours, err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Errorf("%q: encoded and decoded differ:\n%s", data, diff)
		}
		a, _ := json.Marshal(noMinusZero(want))
		var back any
		_ = json.Unmarshal(ours, &back)
		if b, _ := json.Marshal(back); !bytes.Equal(a, b) {
			t.Errorf("%q: we read %s, encoding/json %s", data, b, a)
		}
	})
}

// noMinusZero replaces -0, which we read as 0.
func noMinusZero(v any) any {
	switch v := v.(type) {
	case float64:
		if v == 0 {
			return 0.0
		}
	case []any:
		for i := range v {
			v[i] = noMinusZero(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = noMinusZero(v[k])
		}
	}
	return v
}
