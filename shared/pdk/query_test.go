package pdk_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestQuery(t *testing.T) {
	for _, test := range []struct {
		raw, name, value string
		count            int
		without          string
	}{
		{"", "a", "", 0, ""},
		{"a", "a", "", 1, ""},
		{"a=", "a", "", 1, ""},
		{"a=1&b=2", "b", "2", 1, "a=1"},
		{"a=1&b=2&a=3", "a", "1", 2, "b=2"},
		{"%61=1&b", "a", "1", 1, "b"},
		{"a+b=1&a%20b=2", "a b", "1", 2, ""},
		{"a%2=1", "a%2", "1", 1, ""},
		{"a%zz=1&c", "a%zz", "1", 1, "c"},
		{"ab=1", "a", "", 0, "ab=1"},
		{"a=1", "ab", "", 0, "a=1"},
		{"&&x=%41&&", "x", "%41", 1, ""},
		{"&&x=1&y=%41=&", "y", "%41=", 1, "x=1"},
		{"%61", "%61", "", 0, "%61"},
		{"a+b=1", "a+b", "", 0, "a+b=1"},
	} {
		var text pdk.Text
		value, ok := pdk.QueryValue(test.raw, test.name)
		if value != test.value || ok != (test.count > 0) {
			t.Errorf("%q of %q: got %q, %v, want %q", test.name, test.raw, value, ok, test.value)
		}
		if got := pdk.QueryCount(test.raw, test.name); got != test.count {
			t.Errorf("%q of %q: counted %d, want %d", test.name, test.raw, got, test.count)
		}
		if got := pdk.WithoutQueryArg(&text, test.raw, test.name); got != test.without {
			t.Errorf("%q without %q: got %q, want %q", test.raw, test.name, got, test.without)
		}
	}
}

func TestUnescape(t *testing.T) {
	var text pdk.Text
	for in, want := range map[string]string{"": "", "a": "a", "a+b": "a b", "%41%c3%A9": "Aé", "%": "%", "%4": "%4", "%4g+": "%4g "} {
		if got := pdk.Unescape(&text, in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	if got := string(pdk.AppendEscaped(nil, "a b/é~")); got != "a%20b%2F%C3%A9~" {
		t.Errorf("escaped to %q", got)
	}
}

func TestQueryDoesNotAllocate(t *testing.T) {
	var x pdk.Exchange
	n := testing.AllocsPerRun(100, func() {
		x.Upstream.RawQuery, x.Upstream.HasQuery = "x=1&apikey=%41b", true
		v, _ := pdk.QueryValue(x.Upstream.RawQuery, "apikey")
		if pdk.Unescape(&x.Text, v) != "Ab" {
			t.Error(v)
		}
		x.RemoveQueryArg("apikey")
		x.Reset()
	})
	if n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"a=1&b=2", "%61=%", "&&=&+", "a%2bb=1"} {
		f.Add(seed, "a")
	}
	f.Fuzz(func(t *testing.T, raw, name string) {
		var text pdk.Text
		rest := pdk.WithoutQueryArg(&text, raw, name)
		if n := pdk.QueryCount(rest, name); n != 0 {
			t.Errorf("%q without %q is %q, which has %d", raw, name, rest, n)
		}
		if again := pdk.Unescape(&text, string(pdk.AppendEscaped(nil, name))); again != name {
			t.Errorf("%q became %q", name, again)
		}
	})
}
