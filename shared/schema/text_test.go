package schema_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/schema"
)

func TestParseHostPort(t *testing.T) {
	for in, want := range map[string]string{
		"a.example":     "a.example",
		"a.example.":    "a.example.",
		"a_b:80":        "a_b:80",
		"1.2.3.4":       "1.2.3.4",
		"01.2.3.004:80": "1.2.3.4:80",
		"::1":           "[0000:0000:0000:0000:0000:0000:0000:0001]",
		"[::1]:80":      "[0000:0000:0000:0000:0000:0000:0000:0001]:80",
		"[2001:DB8::1]": "[2001:0db8:0000:0000:0000:0000:0000:0001]",
		"a:0":           "a:0",
	} {
		got, err := schema.ParseHostPort(in)
		if err != nil || got.String() != want {
			t.Errorf("%s: got %s %v, want %s", in, got, err, want)
		}
	}
	for _, bad := range []string{"", ":", "a b", "a..b", ".a", "-a", "a-", "1.2.3", "1.2.3.256", "1.2.3.4:", "[::1", "[::1]80", "::g", "::1.2.3.4", "fe80::1%eth0", "a/b"} {
		if got, err := schema.ParseHostPort(bad); err == nil {
			t.Errorf("%q gave %v, want an error", bad, got)
		}
	}
	for _, bad := range []string{"a:65536", "1.2.3.4:65536", "[::1]:65536", "a:99999999999999999999"} {
		if _, err := schema.ParseHostPort(bad); !errors.Is(err, schema.ErrPortNumber) {
			t.Errorf("%q gave %v, want %v", bad, err, schema.ErrPortNumber)
		}
	}
}

func FuzzParseHostPort(f *testing.F) {
	for _, s := range []string{"a:80", "[::1]:80", "1.2.3.4", "a.b.", "[", "]:", "::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := schema.ParseHostPort(s)
		if err != nil {
			return
		}
		again, err := schema.ParseHostPort(h.String())
		if err != nil || again != h {
			t.Errorf("%q is %v, which reads as %v %v", s, h, again, err)
		}
	})
}

func TestNormalizePath(t *testing.T) {
	for in, want := range map[string]string{
		"/":             "/",
		"/a/b":          "/a/b",
		"/a//b///c":     "/a/b/c",
		"/a/./b/.":      "/a/b/",
		"/a/../b":       "/b",
		"/..":           "/",
		"/a/..":         "/",
		"/../../a":      "/a",
		"/a/b/../../..": "/",
		"/.a/..b/c.":    "/.a/..b/c.",
		"/%41%2f%7e":    "/A%2F~",
		"/a/%2e%2e/b":   "/b",
		"/a%2":          "/a%2",
		"/a b":          "/a b",
	} {
		if got := schema.NormalizePath(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func FuzzNormalizePath(f *testing.F) {
	f.Add("/a/../%2e/./b//c")
	f.Add("%%610")
	malformed := regexp.MustCompile(`%($|[^0-9a-fA-F]|[0-9a-fA-F]($|[^0-9a-fA-F]))`)
	f.Fuzz(func(t *testing.T, s string) {
		if malformed.MatchString(s) {
			return // no request has such a path
		}
		once := schema.NormalizePath(s)
		if twice := schema.NormalizePath(once); twice != once {
			t.Errorf("%q becomes %q and then %q", s, once, twice)
		}
	})
}

func TestCompileRegex(t *testing.T) {
	tests := []struct {
		pattern, s string
		want       []int
		names      []string
	}{
		{`^/a/(?<id>\d+)`, "/a/12/b", []int{0, 5, 3, 5}, []string{"", "id"}},
		{`/ä(x)?(?=b)`, "/äb", []int{0, 3, -1, -1}, []string{"", ""}},
		{`/é(?<n>.)(?!x)`, "/éüy", []int{0, 5, 3, 5}, []string{"", "n"}},
		{`(?>a+)b`, "caab", []int{1, 4}, []string{""}},
		{`(?>a+)b`, "c", nil, []string{""}},
	}
	for _, tt := range tests {
		r, err := schema.CompileRegex(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		if diff := cmp.Diff(tt.want, r.Find(tt.s)); diff != "" {
			t.Errorf("%s on %s (-want +got):\n%s", tt.pattern, tt.s, diff)
		}
		if r.Match(tt.s) != (tt.want != nil) {
			t.Errorf("%s on %s: Match and Find differ", tt.pattern, tt.s)
		}
		if diff := cmp.Diff(tt.names, r.Names()); diff != "" {
			t.Errorf("%s: names (-want +got):\n%s", tt.pattern, diff)
		}
	}
	for pattern, want := range map[string]string{
		"/(":    `pcre2_compile() failed: missing closing parenthesis in "/("`,
		"/)":    `pcre2_compile() failed: unmatched closing parenthesis in "/)"`,
		"/[":    `pcre2_compile() failed: missing terminating ] for character class in "/["`,
		"*":     `pcre2_compile() failed: quantifier does not follow a repeatable item in "*"`,
		`\`:     `pcre2_compile() failed: \ at end of pattern in "\"`,
		"[b-a]": `pcre2_compile() failed: range out of order in character class in "[b-a]"`,
	} {
		if _, err := schema.CompileRegex(pattern); err == nil || err.Error() != want {
			t.Errorf("%s gave %v, want %s", pattern, err, want)
		}
	}
	if _, err := schema.CompileRegex(strings.Repeat("a", schema.MaxRegexLen+1)); err == nil {
		t.Error("a pattern that is too long was taken")
	}
}

func TestViolationWords(t *testing.T) {
	tests := []struct {
		fields schema.Object
		want   string
	}{
		{schema.Object{"port": "no"}, "schema violation (port: no)"},
		{
			schema.Object{"b": "no", "a": schema.Object{"y": "no", "x": "so"}, "@entity": []any{"first", "second"}},
			"5 schema violations (first; second; a.x: so; a.y: no; b: no)",
		},
		{schema.Object{"paths": []any{nil, "no"}}, "schema violation (paths.2: no)"},
		{
			schema.Object{"config": schema.Object{"add": schema.Object{"headers": []any{"bad"}, "x-y": "no"}, "@entity": []any{"all"}}},
			"2 schema violations (config.@entity: {\n  \"all\"\n}; config.add: {\n  headers = {\n    \"bad\"\n  },\n  [\"x-y\"] = \"no\"\n})",
		},
		{schema.Object{"a": schema.Object{"b": []any{nil, `say "x"`}}}, "schema violation (a.b: {\n  [2] = \"say \\\"x\\\"\"\n})"},
	}
	for _, tt := range tests {
		if got := (&schema.Violation{Fields: tt.fields}).Error(); got != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
	if got := schema.Violate("a.b", "no").Error(); got != "schema violation (a.b: no)" {
		t.Errorf("got %s", got)
	}
}
