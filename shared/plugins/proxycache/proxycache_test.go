package proxycache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/proxycache"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var route = &entity.Route{ID: "00c81dbd-06e7-5cbd-a2d7-80de49a62179"}

func build(t testing.TB, config string) *pdktest.Plugin {
	t.Helper()
	if config == "" {
		config = `{"strategy":"memory"}`
	}
	return pdktest.Build(t, pdktest.Options{Plugin: proxycache.Plugin, Config: config, Route: route})
}

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, proxycache.Plugin.Schema, "plugins/proxy-cache.json")
	schematest.ConfigAgrees(t, proxycache.Plugin.Schema, proxycache.Config{})
	for config, want := range map[string]string{
		`{}`:                                  "config.strategy: required field missing",
		`{"strategy":"memory","cache_ttl":0}`: "config.cache_ttl: value must be greater than 0",
		`{"strategy":"memory","response_code":[]}`:                     "config.response_code: length must be at least 1",
		`{"strategy":"memory","response_code":[99]}`:                   "value should be between 100 and 900",
		`{"strategy":"memory","request_method":["DELETE"]}`:            "expected one of: HEAD, GET, POST, PATCH, PUT",
		`{"strategy":"memory","memory":{"dictionary_name":"no good"}}`: "missing shared dict 'no good'",
	} {
		if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: proxycache.Plugin, Config: config}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
	if _, err := proxycache.Plugin.Build(pdk.ValidatingEnv(nil, nil), json.RawMessage(`{}`)); err != nil {
		t.Error(err)
	}
}

// step is one request and what is expected of it.
type step struct {
	path, control string
	header        [][2]string
	after         time.Duration // since the first
	answer        [][2]string   // of the upstream
	status        int
	want          string // X-Cache-Status
	age           string
}

func walk(t *testing.T, config string, steps []step) {
	t.Helper()
	p := build(t, config)
	for i, s := range steps {
		if s.path == "" {
			s.path = "/p"
		}
		r := pdktest.Request{Path: s.path, Header: s.header, At: pdktest.Start.Add(s.after)}
		if s.control != "" {
			r.Header = append(r.Header, [2]string{"Cache-Control", s.control})
		}
		answer := pdktest.Response{Status: s.status, Header: s.answer, Body: fmt.Sprintf("answer %d", i) + strings.Repeat(".", 300)}
		if s.answer == nil || s.answer[0][0] != "Content-Type" {
			answer.Header = append(answer.Header, [2]string{"Content-Type", "text/plain"})
		}
		got := p.DoWith(r, func(*pdk.Exchange) pdktest.Response { return answer })
		if got.Err != nil || got.Get("X-Cache-Status") != s.want || got.Get("Age") != s.age {
			t.Errorf("step %d: got %q, age %q, %v, want %q, %q", i, got.Get("X-Cache-Status"), got.Get("Age"), got.Err, s.want, s.age)
		}
		if got.Called == (s.want == "Hit") && got.Status != 504 {
			t.Errorf("step %d: upstream called: %v", i, got.Called)
		}
	}
}

func control(v string) [][2]string {
	return [][2]string{{"Content-Type", "text/plain"}, {"Cache-Control", v}}
}

func TestWithoutCacheControl(t *testing.T) {
	ct := func(v string) [][2]string { return [][2]string{{"Content-Type", v}} }
	for name, steps := range map[string][]step{
		"hit until the ttl": {{want: "Miss"}, {want: "Hit", age: "0"}, {after: 5 * time.Second, want: "Hit", age: "5"}, {after: 301 * time.Second, want: "Miss"}},
		"directives do not count": {
			{control: "no-store", answer: control("private, no-store"), want: "Miss"}, {control: "max-age=0, no-cache", want: "Hit", age: "0"},
		},
		"query":          {{path: "/p?a=1&b=2", want: "Miss"}, {path: "/p?b=2&a=1", want: "Hit", age: "0"}, {path: "/p?b=2&%61=1", want: "Hit", age: "0"}, {path: "/p?a=1", want: "Miss"}, {path: "/p?a=1&b", want: "Miss"}},
		"path":           {{want: "Miss"}, {path: "/P", want: "Miss"}},
		"status":         {{status: 500, want: "Bypass"}, {status: 404, want: "Miss"}, {want: "Hit", age: "0"}},
		"parts":          {{status: 206, want: "Bypass"}, {status: 304, want: "Bypass"}},
		"type":           {{answer: ct("text/html"), want: "Bypass"}, {answer: ct("text/plain; charset=utf-8"), want: "Bypass"}, {answer: ct("bogus"), want: "Bypass"}, {answer: ct(""), want: "Bypass"}, {answer: ct("Text/Plain"), want: "Miss"}},
		"authorization":  {{header: [][2]string{{"Authorization", "x"}}, want: "Miss"}, {want: "Hit", age: "0"}},
		"only if cached": {{control: "only-if-cached", want: "Miss"}},
	} {
		t.Run(name, func(t *testing.T) { walk(t, `{"strategy":"memory","response_code":[200,404,206,304]}`, steps) })
	}
	t.Run("storage", func(t *testing.T) {
		walk(t, `{"strategy":"memory","cache_ttl":5,"storage_ttl":60}`, []step{
			{want: "Miss"}, {after: 5 * time.Second, want: "Hit", age: "5"}, {after: 6 * time.Second, want: "Refresh"}, {after: 11 * time.Second, want: "Hit", age: "5"}, {after: 71 * time.Second, want: "Miss"},
		})
	})
	t.Run("types", func(t *testing.T) {
		walk(t, `{"strategy":"memory","content_type":["text/*","*/json","a/b; x=1","bogus"]}`, []step{
			{path: "/1", answer: ct("text/html"), want: "Miss"},
			{path: "/2", answer: ct("text/html; a=b"), want: "Bypass"},
			{path: "/3", answer: ct("x/json"), want: "Miss"},
			{path: "/4", answer: ct("a/b"), want: "Bypass"},
			{path: "/5", answer: ct("a/b;x=1"), want: "Miss"},
			{path: "/6", answer: ct("a/b;x=2"), want: "Bypass"},
		})
	})
	t.Run("case", func(t *testing.T) {
		walk(t, `{"strategy":"memory","ignore_uri_case":true}`, []step{{path: "/a/B", want: "Miss"}, {path: "/A/b", want: "Hit", age: "0"}})
	})
	t.Run("vary", func(t *testing.T) {
		v := func(s ...string) (out [][2]string) {
			for _, e := range s {
				out = append(out, [2]string{"x-vary", e})
			}
			return out
		}
		walk(t, `{"strategy":"memory","vary_headers":["X-Vary","x-w"],"vary_query_params":["b","a"]}`, []step{
			{want: "Miss"},
			{header: v("1"), want: "Miss"},
			{header: v("1"), want: "Hit", age: "0"},
			{header: v("1", "2"), want: "Miss"},
			{header: v("1,2"), want: "Hit", age: "0"},
			{path: "/p?a=1&z=1", want: "Miss"},
			{path: "/p?z=2&a=1", want: "Hit", age: "0"},
			{path: "/p?a=2&a=1&b", want: "Miss"},
			{path: "/p?b&a=1&a=2", want: "Hit", age: "0"},
		})
	})
}

func TestCacheControl(t *testing.T) {
	fresh := control("max-age=60")
	for name, steps := range map[string][]step{
		"max-age":             {{answer: fresh, want: "Miss"}, {after: 60 * time.Second, control: "max-age=60", answer: fresh, want: "Miss"}},
		"nothing said":        {{want: "Bypass"}, {want: "Bypass"}},
		"private":             {{answer: control("private, max-age=60"), want: "Bypass"}},
		"no-cache of a field": {{answer: control(`no-cache="a, b", max-age=60`), want: "Bypass"}},
		"s-maxage":            {{answer: control("s-maxage=60, max-age=0"), want: "Miss"}, {want: "Hit", age: "0"}},
		"s-maxage 0":          {{answer: control("max-age=60, s-maxage=0"), want: "Bypass"}},
		"garbled":             {{answer: control("max-age=soon"), want: "Bypass"}},
		"expires":             {{answer: [][2]string{{"Content-Type", "text/plain"}, {"Expires", "Mon, 23 Nov 2026 16:16:00 GMT"}}, want: "Miss"}, {after: 58 * time.Second, want: "Hit", age: "58"}, {after: 59 * time.Second, want: "Bypass"}},
		"expired":             {{answer: [][2]string{{"Content-Type", "text/plain"}, {"Expires", "0"}}, want: "Bypass"}},
		"age":                 {{answer: append(control("max-age=60"), [2]string{"Age", "50"}), want: "Miss", age: "50"}, {after: 9 * time.Second, want: "Hit", age: "59"}, {after: 11 * time.Second, want: "Refresh", answer: fresh}},
		"request no-store":    {{answer: fresh, want: "Miss"}, {control: "no-store", want: "Bypass"}, {control: "no-cache", want: "Bypass"}, {want: "Hit", age: "0"}},
		"request max-age":     {{answer: fresh, want: "Miss"}, {after: 10 * time.Second, control: "max-age=10", want: "Hit", age: "10"}, {after: 11 * time.Second, control: "max-age=10", answer: fresh, want: "Refresh"}},
		"request min-fresh":   {{answer: fresh, want: "Miss"}, {after: 10 * time.Second, control: "min-fresh=50", want: "Hit", age: "10"}, {after: 10 * time.Second, control: "min-fresh=51", answer: fresh, want: "Refresh"}},
		"only-if-cached":      {{control: "only-if-cached", answer: fresh}, {answer: fresh, want: "Miss"}, {control: "only-if-cached", want: "Hit", age: "0"}},
		"authorization":       {{header: [][2]string{{"Authorization", "x"}}, answer: fresh, want: "Bypass"}, {header: [][2]string{{"Authorization", "x"}}, answer: control("public, max-age=60"), want: "Miss"}, {want: "Hit", age: "0"}},
		"vary":                {{header: [][2]string{{"A", "1"}}, answer: append(control("max-age=60"), [2]string{"Vary", "a , B"}), want: "Miss"}, {header: [][2]string{{"a", "1"}}, want: "Hit", age: "0"}, {header: [][2]string{{"a", "2"}}, answer: fresh, want: "Refresh"}},
		"variants": {
			{header: [][2]string{{"A", "1"}}, answer: append(control("max-age=60"), [2]string{"Vary", "a"}), want: "Miss"},
			{after: time.Second, header: [][2]string{{"A", "2"}}, answer: append(control("max-age=90"), [2]string{"Vary", "a"}), want: "Refresh"},
			{after: 2 * time.Second, header: [][2]string{{"A", "1"}}, want: "Hit", age: "2"},
			{after: 2 * time.Second, header: [][2]string{{"A", "2"}}, want: "Hit", age: "1"},
			{after: 70 * time.Second, header: [][2]string{{"A", "2"}}, want: "Hit", age: "69"},
			{after: 70 * time.Second, header: [][2]string{{"A", "1"}}, answer: append(control("max-age=60"), [2]string{"Vary", "a"}), want: "Refresh"},
			{after: 71 * time.Second, header: [][2]string{{"A", "2"}}, want: "Hit", age: "70"},
			{after: 71 * time.Second, header: [][2]string{{"A", "3"}}, answer: control("max-age=60"), want: "Refresh"},
			{after: 71 * time.Second, header: [][2]string{{"A", "2"}}, want: "Hit", age: "0"},
		},
		"vary by everything":      {{answer: append(control("max-age=60"), [2]string{"Vary", "*"}), want: "Bypass"}},
		"refresh stays uncached":  {{answer: fresh, want: "Miss"}, {after: time.Second, control: "max-age=0", want: "Bypass"}, {after: time.Second, want: "Hit", age: "1"}},
		"two lines of directives": {{answer: append(control("max-age=60"), [2]string{"cache-control", "private"}), want: "Bypass"}},
	} {
		t.Run(name, func(t *testing.T) { walk(t, `{"strategy":"memory","cache_control":true}`, steps) })
	}
	t.Run("stale", func(t *testing.T) {
		walk(t, `{"strategy":"memory","cache_control":true,"storage_ttl":600}`, []step{
			{answer: fresh, want: "Miss"},
			{after: 70 * time.Second, control: "max-stale", want: "Hit", age: "70"},
			{after: 70 * time.Second, control: "max-stale=10", want: "Hit", age: "70"},
			{after: 70 * time.Second, control: "max-stale=9", answer: fresh, want: "Refresh"},
			{after: 131 * time.Second, answer: control("max-age=60, must-revalidate"), want: "Refresh"},
			{after: 200 * time.Second, control: "max-stale", answer: fresh, want: "Refresh"},
			{after: 1000 * time.Second, answer: fresh, want: "Miss"},
		})
	})
}

func TestAnswers(t *testing.T) {
	p := build(t, "")
	upstream := pdktest.Response{
		Header: [][2]string{
			{"Content-Type", "text/plain"},
			{"Set-Cookie", "a=b"},
			{"Set-Cookie", "c=d"},
			{"Connection", "close"},
			{"Content-Length", "1000"},
			{"Date", "x"},
			{"X-Kong-Request-Id", "x"},
		},
		Body: strings.Repeat("0123456789", 100),
	}
	answer := func(*pdk.Exchange) pdktest.Response { return upstream }
	miss := p.DoWith(pdktest.Request{}, answer)
	hit := p.DoWith(pdktest.Request{}, answer)
	key := miss.Get("X-Cache-Key")
	want := [][2]string{
		{"Content-Type", "text/plain"}, {"Set-Cookie", "a=b"}, {"Set-Cookie", "c=d"}, {"age", "0"}, {"X-Cache-Status", "Hit"}, {"X-Cache-Key", key},
	}
	if diff := cmp.Diff(want, hit.Header); diff != "" || hit.Body != upstream.Body || hit.Status != 200 || len(key) != 64 {
		t.Errorf("hit: %d, %d bytes, header (-want +got):\n%s", hit.Status, len(hit.Body), diff)
	}
	if hit.Exchange.Source != pdk.SourceUpstream || hit.Exchange.Response.ContentLength != 1000 {
		t.Errorf("source %v, length %d", hit.Exchange.Source, hit.Exchange.Response.ContentLength)
	}
	for range 2 {
		if head := p.DoWith(pdktest.Request{Method: "HEAD"}, answer); head.Get("X-Cache-Status") != "Miss" || !head.Called {
			t.Error("an answer to HEAD was stored")
		}
	}
	if post := p.DoWith(pdktest.Request{Method: "POST"}, answer); post.Get("X-Cache-Status") != "Bypass" || post.Get("X-Cache-Key") != "" {
		t.Errorf("POST: %v", post.Header)
	}
	bare := build(t, `{"strategy":"memory","response_headers":{"age":false,"X-Cache-Status":false,"X-Cache-Key":false}}`)
	for i := range 2 {
		r := bare.Do(pdktest.Request{})
		if len(r.Header) != 1 || r.Called != (i == 0) {
			t.Errorf("without headers: %v", r.Header)
		}
	}
}

func TestKeyOfConsumersAndRoutes(t *testing.T) {
	node := pdktest.NewNode(t)
	keys := map[string]string{}
	for name, r := range map[string]*entity.Route{"none": nil, "a": {ID: "a"}, "b": {ID: "b"}} {
		p := pdktest.Build(t, pdktest.Options{Plugin: proxycache.Plugin, Config: `{"strategy":"memory"}`, Route: r, Node: node})
		for _, c := range []*entity.Consumer{nil, {ID: "c1"}, {ID: "c2"}} {
			x := p.NewExchange(pdktest.Request{})
			x.Consumer = c
			got := pdktest.Run(t, x, []*pdktest.Plugin{p}, func(*pdk.Exchange) pdktest.Response {
				return pdktest.Response{Header: [][2]string{{"Content-Type", "text/plain"}}}
			})
			keys[got.Get("X-Cache-Key")] += name + got.Get("X-Cache-Status") + " "
		}
	}
	if len(keys) != 7 { // without a route the consumer does not count
		t.Errorf("got %d keys: %v", len(keys), keys)
	}
}

func TestStoresNothingUnfit(t *testing.T) {
	t.Run("cut short", func(t *testing.T) {
		p := build(t, "")
		x := p.NewExchange(pdktest.Request{})
		if err := p.Phases.Access(x); err != nil {
			t.Fatal(err)
		}
		x.Source, x.Response.Status, x.Response.ContentLength = pdk.SourceUpstream, 200, 10
		x.Response.Header.Add("Content-Type", "text/plain")
		_ = p.Phases.HeaderFilter(x)
		_, _ = p.Phases.BodyFilter(x, []byte("12345"), false)
		_, _ = p.Phases.BodyFilter(x, nil, true)
		p.Phases.Log(x)
		if r := p.Do(pdktest.Request{}); r.Get("X-Cache-Status") != "Miss" {
			t.Error("stored a body that is too short")
		}
	})
	t.Run("too large", func(t *testing.T) {
		node := pdktest.NewNode(t).WithCacheSize(10000)
		p := pdktest.Build(t, pdktest.Options{Plugin: proxycache.Plugin, Config: `{"strategy":"memory"}`, Node: node})
		large := func(*pdk.Exchange) pdktest.Response {
			return pdktest.Response{Header: [][2]string{{"Content-Type", "text/plain"}}, Body: strings.Repeat("x", 2600)}
		}
		for range 2 {
			if r := p.DoWith(pdktest.Request{}, large); r.Get("X-Cache-Status") != "Miss" || len(r.Body) != 2600 {
				t.Errorf("got %s with %d bytes", r.Get("X-Cache-Status"), len(r.Body))
			}
		}
	})
	t.Run("exit of another plugin", func(t *testing.T) {
		p := build(t, "")
		x := p.NewExchange(pdktest.Request{})
		_ = p.Phases.Access(x)
		_ = x.ExitBody(200, "text/plain", nil)
		_ = p.Phases.HeaderFilter(x)
		if got := x.Response.Header.Get("X-Cache-Status"); got != "Bypass" {
			t.Errorf("got %s", got)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	now := pdktest.Start
	m := proxycache.NewMemory(100_000)
	body := make([]byte, 488)
	for i := range 1000 {
		m.Put(i, body, now.Add(time.Duration(i)*time.Second))
		m.Has(0, now.Add(-time.Second)) // 0 is asked for all the time
	}
	used, entries, links := m.Used()
	if used > 100_000 || entries < 90 || entries != links || int64(entries)*1000 != used {
		t.Errorf("%d bytes in %d entries, %d links", used, entries, links)
	}
	if !m.Has(999, now) || !m.Has(0, now.Add(-time.Second)) || m.Has(1, now) {
		t.Error("the wrong entries made room")
	}
	if m.Has(999, now.Add(999*time.Second)) {
		t.Error("an entry outlived its time")
	}
	m.Put(5000, make([]byte, 30_000), now)
	if m.Has(5000, now.Add(-1)) {
		t.Error("an entry of more than a quarter was stored")
	}
	m.Put(2000, body, now.Add(time.Hour))
	m.Put(2000, body, now.Add(time.Hour))
	m.Sweep(now.Add(time.Minute * 30))
	if _, entries, links = m.Used(); entries != 1 || links != 1 {
		t.Errorf("%d entries, %d links after the sweep", entries, links)
	}
	if !m.Remove(2000) || m.Remove(2000) {
		t.Error("remove")
	}
	m.Put(1, body, now)
	m.Purge()
	if used, entries, links = m.Used(); used != 0 || entries != 0 || links != 0 {
		t.Errorf("%d bytes, %d entries, %d links after the purge", used, entries, links)
	}
}

func TestMemoryConcurrently(t *testing.T) {
	m := proxycache.NewMemory(50_000)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 2000 {
				m.Put((i*7+g)%300, make([]byte, i%700), pdktest.Start.Add(time.Hour))
				m.Has(i%300, pdktest.Start)
				if i%100 == 0 {
					m.Remove(i % 300)
				}
			}
		})
	}
	all.Wait()
	if used, entries, links := m.Used(); used > 50_000 || entries != links {
		t.Errorf("%d bytes, %d entries, %d links", used, entries, links)
	}
}

func TestHitDoesNotAllocate(t *testing.T) {
	for name, request := range map[string]pdktest.Request{
		"plain": {Header: [][2]string{{"Accept", "*/*"}}},
		"query": {Path: "/p?b=1&a=2&c"},
	} {
		t.Run(name, func(t *testing.T) {
			p := build(t, `{"strategy":"memory","vary_headers":["accept"]}`)
			p.Do(request)
			x, template := new(pdk.Exchange), p.NewExchange(request)
			n := testing.AllocsPerRun(100, func() {
				x.Reset()
				x.Route, x.Start, x.ID = template.Route, template.Start, template.ID
				header := x.Request.Header
				x.Request = template.Request
				x.Request.Header = header
				for _, l := range request.Header {
					x.Request.Header.Add(l[0], l[1])
				}
				if err := p.Phases.Access(x); err != nil || !x.Exited() {
					t.Fatal(err, "no hit")
				}
				_ = p.Phases.HeaderFilter(x)
				_, _ = p.Phases.BodyFilter(x, x.Response.Buffered, true)
				p.Phases.Log(x)
			})
			if n != 0 {
				t.Errorf("got %v allocations, want 0", n)
			}
		})
	}
}

func BenchmarkHit(b *testing.B) {
	p := build(b, "")
	p.Do(pdktest.Request{})
	x, template := new(pdk.Exchange), p.NewExchange(pdktest.Request{})
	for b.Loop() {
		x.Reset()
		x.Route, x.Start = template.Route, template.Start
		header := x.Request.Header
		x.Request = template.Request
		x.Request.Header = header
		_ = p.Phases.Access(x)
	}
}

func FuzzDirectives(f *testing.F) {
	for _, s := range []string{"no-cache", `private="a,b", max-age="5"`, "max-age=-1", "=,=", `"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if proxycache.Parse(s) != proxycache.Parse(s+",") {
			t.Errorf("%q is read otherwise with a comma", s)
		}
	})
}

// fleet answers for nodes.
type fleet struct {
	nodes []pdk.Node
	lost  error
}

func (f fleet) Broadcast(ctx context.Context, target, name string, arguments any) []pdk.NodeReply {
	var out []pdk.NodeReply
	raw, err := json.Marshal(arguments)
	if err != nil || target != "proxy-cache" {
		panic(target)
	}
	for i, n := range f.nodes {
		reply := pdk.NodeReply{NodeID: fmt.Sprint(i), Hostname: "h"}
		v, err := proxycache.Plugin.Command(ctx, n, name, raw)
		if err == nil {
			reply.Result, err = json.Marshal(v)
		}
		if reply.Err = err; f.lost != nil && i == 0 {
			reply.Result, reply.Err = nil, f.lost
		}
		out = append(out, reply)
	}
	return out
}

func (f fleet) Plugin(id, name string) (json.RawMessage, bool) {
	return nil, id == "good" && name == "proxy-cache"
}

func TestAdmin(t *testing.T) {
	one, two, empty := pdktest.NewNode(t), pdktest.NewNode(t), pdktest.NewNode(t)
	fill := func() (key string) {
		for _, n := range []*pdktest.Node{one, two} {
			p := pdktest.Build(t, pdktest.Options{Plugin: proxycache.Plugin, Config: `{"strategy":"memory"}`, Node: n})
			answer := func(*pdk.Exchange) pdktest.Response {
				return pdktest.Response{Header: [][2]string{{"Content-Type", "text/plain"}, {"A", "1"}, {"A", "2"}, {"A", "3"}}, Body: "hello"}
			}
			// Commands go by the clock, so the entry must be of now.
			key = p.DoWith(pdktest.Request{At: time.Now()}, answer).Get("X-Cache-Key")
		}
		return key
	}
	call := func(f fleet, method, path string, params map[string]string) (int, string) {
		t.Helper()
		for _, e := range proxycache.Plugin.Endpoints {
			if e.Method == method && e.Path == path {
				status, body, err := e.Handle(t.Context(), f, params, nil)
				if err != nil {
					t.Fatal(err)
				}
				raw, _ := json.Marshal(body)
				return status, string(raw)
			}
		}
		t.Fatalf("no endpoint %s %s", method, path)
		return 0, ""
	}
	all := fleet{nodes: []pdk.Node{empty, one, two}}
	byKey, byPlugin := "/proxy-cache/{key}", "/proxy-cache/{plugin_id}/caches/{key}"
	with := func(key, plugin string) map[string]string { return map[string]string{"key": key, "plugin_id": plugin} }
	key := fill()
	for _, c := range []struct {
		method, path string
		params       map[string]string
		fleet        fleet
		status       int
		body         string
	}{
		{http.MethodGet, byKey, with("nope", ""), all, 404, "null"},
		{http.MethodGet, byKey, with(proxycache.HexKey(1), ""), all, 404, "null"},
		{http.MethodGet, byKey, with(key, ""), fleet{}, 404, "null"},
		{http.MethodGet, byKey, with(key, ""), all, 200, `{"status":200,"headers":{"A":["1","2","3"],"Content-Type":"text/plain"},"body":"hello","body_len":5,`},
		{http.MethodGet, byPlugin, with(key, "good"), all, 200, `"body":"hello"`},
		{http.MethodGet, byPlugin, with(key, "bad"), all, 404, "null"},
		{http.MethodDelete, byPlugin, with(key, "bad"), all, 404, "null"},
		{http.MethodDelete, byKey, with("nope", ""), all, 404, "null"},
		{http.MethodDelete, byKey, with(key, ""), fleet{nodes: all.nodes, lost: errors.New("timed out")}, 504, "data plane 0 (h) did not purge its cache: timed out"},
		{http.MethodDelete, byKey, with(key, ""), all, 404, "null"}, // the others had dropped it before
	} {
		status, body := call(c.fleet, c.method, c.path, c.params)
		if status != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s %s %v: got %d %s, want %d %s", c.method, c.path, c.params, status, body, c.status, c.body)
		}
	}
	fill()
	if status, _ := call(all, http.MethodDelete, byPlugin, with(key, "good")); status != 204 {
		t.Errorf("DELETE of a key: %d", status)
	}
	fill()
	if status, _ := call(all, http.MethodDelete, "/proxy-cache", nil); status != 204 {
		t.Errorf("DELETE of all: %d", status)
	}
	if status, _ := call(all, http.MethodGet, byKey, with(key, "")); status != 404 {
		t.Errorf("GET after DELETE of all: %d", status)
	}
	if status, _ := call(fleet{nodes: all.nodes, lost: errors.New("x")}, http.MethodDelete, "/proxy-cache", nil); status != 504 {
		t.Errorf("DELETE of all without a node: %d", status)
	}
	for _, c := range [][2]string{{"nope", `{}`}, {"get", `[]`}} {
		if _, err := proxycache.Plugin.Command(t.Context(), one, c[0], json.RawMessage(c[1])); err == nil {
			t.Errorf("command %s %s was taken", c[0], c[1])
		}
	}
}
