package resolver

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestResolvConf(t *testing.T) {
	got := parseResolvConf(strings.NewReader(`# comment
nameserver 10.0.0.1 # the first
nameserver fe80::1%eth0
nameserver not-an-ip
nameserver 10.0.0.3
nameserver 10.0.0.4
domain old.test
search a.test b.test.
options ndots:3 timeout:7 attempts:9 rotate use-vc edns0
options ndots:x
unknown words
`))
	want := conf{
		servers: []string{"10.0.0.1:53", "[fe80::1%eth0]:53", "10.0.0.3:53"}, search: []string{"a.test", "b.test"},
		ndots: 3, timeout: 7 * time.Second, attempts: 5, rotate: true, tcp: true,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(conf{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	empty := parseResolvConf(strings.NewReader(""))
	if !slices.Equal(empty.servers, []string{"127.0.0.1:53", "[::1]:53"}) || empty.ndots != 1 || empty.attempts != 2 || empty.timeout != 5*time.Second {
		t.Errorf("%+v", empty)
	}
}

func TestCandidates(t *testing.T) {
	c := conf{ndots: 2, search: []string{"x.test", "y.test"}}
	for name, want := range map[string]string{
		"a": "a.x.test. a.y.test. a.", "a.b": "a.b.x.test. a.b.y.test. a.b.", "a.b.c": "a.b.c. a.b.c.x.test. a.b.c.y.test.", "a.": "a.",
	} {
		if got := strings.Join(c.candidates(name), " "); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// FuzzSystemFiles holds that no file of the system makes the parsers fail.
func FuzzSystemFiles(f *testing.F) {
	f.Add("nameserver 1.1.1.1\noptions ndots:3\nsearch a b")
	f.Add("127.0.0.1 localhost a. # b")
	f.Add("options ndots: timeout:-1\n\x00\xff")
	f.Fuzz(func(t *testing.T, content string) {
		c := parseResolvConf(strings.NewReader(content))
		if len(c.servers) == 0 || c.attempts < 1 || c.timeout <= 0 || c.ndots < 0 {
			t.Errorf("%+v", c)
		}
		for _, full := range c.candidates("a.b") {
			if !strings.HasSuffix(full, ".") {
				t.Errorf("%q is no full name", full)
			}
		}
		for name, addrs := range parseHosts(strings.NewReader(content)) {
			if len(addrs) == 0 || name != strings.ToLower(name) {
				t.Errorf("%q: %v", name, addrs)
			}
		}
	})
}
