package admin_test

import (
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
)

func TestWarnings(t *testing.T) {
	s := newServerOf(t, entity.Expressions, nil)
	json := headers{"Content-Type": "application/json"}
	for _, c := range []struct {
		body   string
		status int
		want   string // of the lines, joined
	}{
		{`{"paths":["/a","~/b(?=c)"],"headers":{"x":["~*(a)\\1"]}}`, 201, `headers.x: the regular expression "(a)\\1" needs backtracking;paths.2: the regular expression "/b(?=c)" needs`},
		{`{"paths":["~/b"]}`, 201, ""},
		{`{"expression":"http.path ~ \"(?!a)b\" && net.port == 80"}`, 201, `expression: net.port is the old name of net.dst.port;expression: the regular expression "(?!a)b" needs`},
		{`{"expression":"http.path == \"/\" && nope == 1"}`, 400, "expression: line 1, column 21: Unknown LHS field"},
	} {
		r := s.do("POST", "/routes", json, c.body).is(c.status)
		lines := r.header.Values("X-Sluice-Warning")
		want := strings.Split(c.want, ";")
		if c.want == "" {
			want = nil
		}
		if len(lines) != len(want) {
			t.Errorf("%s: %q", c.body, lines)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(lines[i], want[i]) {
				t.Errorf("%s: %q, want %q", c.body, lines[i], want[i])
			}
		}
	}
	s.do("PUT", "/routes/r", json, `{"paths":["~/a(?=b)"]}`).is(200)
	if r := s.do("PATCH", "/routes/r", json, `{"methods":["GET"]}`).is(200); !strings.Contains(r.header.Get("X-Sluice-Warning"), "paths.1") {
		t.Errorf("%v", r.header)
	}
}
