package admin

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTableFinds(t *testing.T) {
	var tb table
	none := func(*call) (answer, error) { return answer{}, nil }
	for _, pattern := range []string{
		"/", "/plugins", "/plugins/{plugins}", "/plugins/enabled", "/plugins/schema/{name}",
		"/upstreams/{upstreams}/targets/{targets}", "/upstreams/{upstreams}/targets/all", "/schemas/{name}", "/schemas/{db}/validate", "/schemas/plugins/{name}",
	} {
		tb.get(pattern, none)
	}
	for _, test := range []struct {
		path, pattern string
		values        []string
	}{
		{"/", "/", nil},
		{"/plugins", "/plugins", nil},
		{"/plugins/", "/plugins", nil},
		{"/plugins/x", "/plugins/{plugins}", []string{"x"}},
		{"/plugins/enabled", "/plugins/enabled", nil},
		{"/plugins/schema", "/plugins/{plugins}", []string{"schema"}},
		{"/plugins/schema/y", "/plugins/schema/{name}", []string{"y"}},
		{"/upstreams/u/targets/all", "/upstreams/{upstreams}/targets/all", []string{"u"}},
		{"/upstreams/u/targets/%5B::1%5D:80", "/upstreams/{upstreams}/targets/{targets}", []string{"u", "[::1]:80"}},
		{"/upstreams/a%2Fb%20c/targets/t", "/upstreams/{upstreams}/targets/{targets}", []string{"a/b c", "t"}},
		{"/schemas/plugins", "/schemas/{name}", []string{"plugins"}},
		{"/schemas/plugins/validate", "/schemas/plugins/{name}", []string{"validate"}},
		{"/schemas/routes/validate", "/schemas/{db}/validate", []string{"routes"}},
		{"//plugins", "", nil},
		{"/plugins//", "", nil},
		{"/plugins/%", "", nil},
		{"/PLUGINS", "", nil},
		{"/schemas/routes/other", "", nil},
		{"/upstreams/u", "", nil},
		{"*", "", nil},
		{"", "", nil},
	} {
		e, values, found := tb.find(test.path)
		if found != (test.pattern != "") {
			t.Errorf("%q: found is %t", test.path, found)
			continue
		}
		if !found {
			continue
		}
		if e.pattern != test.pattern {
			t.Errorf("%q: got %q, want %q", test.path, e.pattern, test.pattern)
		}
		if diff := cmp.Diff(test.values, values); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.path, diff)
		}
	}
}

func TestTableAllows(t *testing.T) {
	var tb table
	none := func(*call) (answer, error) { return answer{}, nil }
	tb.add("/cache", map[string]handler{http.MethodDelete: none})
	tb.add("/x", map[string]handler{http.MethodPost: none})
	tb.add("/x", map[string]handler{http.MethodGet: none})
	for path, want := range map[string]string{"/cache": "DELETE, OPTIONS", "/x": "GET, HEAD, OPTIONS, POST"} {
		if e, _, _ := tb.find(path); e.allow != want {
			t.Errorf("%s allows %q, want %q", path, e.allow, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a second endpoint on the same path and method did not panic")
		}
	}()
	tb.get("/x", none)
}

func TestIsUUID(t *testing.T) {
	for s, want := range map[string]bool{
		"00000001-0000-4000-8000-000000000001":  true,
		"ABCDEF01-0000-4000-8000-00000000000f":  true,
		"00000001-0000-4000-8000-00000000000":   false,
		"00000001-0000-4000-8000-00000000000g":  false,
		"00000001x0000-4000-8000-000000000001":  false,
		"00000001-0000-4000-8000-0000000000011": false,
		"":                                      false,
	} {
		if got := isUUID(s); got != want {
			t.Errorf("isUUID(%q) = %t", s, got)
		}
	}
}

func FuzzFind(f *testing.F) {
	var tb table
	tb.get("/a/{b}", func(*call) (answer, error) { return answer{}, nil })
	for _, seed := range []string{"/", "/a/b", "/a/%2F", "//", "/a/%", "a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if e, values, found := tb.find(path); found && (e == nil || len(values) != len(names(e.pattern))) {
			t.Errorf("%q: %v %q", path, e, values)
		}
	})
}
