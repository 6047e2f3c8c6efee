package ratelimiting_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/ratelimiting"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func build(t testing.TB, config string) *pdktest.Plugin {
	t.Helper()
	return pdktest.Build(t, pdktest.Options{Plugin: ratelimiting.Plugin, Config: config})
}

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, ratelimiting.Plugin.Schema, "plugins/rate-limiting.json")
	schematest.ConfigAgrees(t, ratelimiting.Plugin.Schema, ratelimiting.Config{})
}

func TestConfig(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                               "at least one of these fields must be non-empty: 'config.second'",
		`{"minute":10,"second":20}`:        "schema violation (config: The limit for minute(10.0) cannot be lower than the limit for second(20.0))",
		`{"minute":0}`:                     "config.minute: value must be greater than 0",
		`{"minute":"5"}`:                   "config.minute: expected a number",
		`{"minute":5,"policy":"x"}`:        "config.policy: expected one of: local, cluster, redis",
		`{"minute":5,"policy":"redis"}`:    "config.redis: {\n  host = \"required field missing\"\n}",
		`{"minute":5,"limit_by":"header"}`: "config.header_name: required field missing",
		`{"minute":5,"limit_by":"path"}`:   "config.path: required field missing",
		`{"minute":5,"sync_rate":1}`:       "sync_rate can only be used with the redis policy",
		`{"minute":5,"policy":"redis","redis":{"host":"h"},"sync_rate":0}`:                                         "sync_rate must be greater than 0.02, or -1 to disable",
		`{"minute":5,"policy":"redis","redis_host":"h","sync_rate":0.01}`:                                          "sync_rate must be greater than 0.02, or -1 to disable",
		`{"minute":5,"policy":"redis","redis":{"cluster_nodes":[{}],"sentinel_nodes":[{}],"sentinel_master":"m"}}`: "can not both be set",
		`{"minute":5,"policy":"redis","redis":{"sentinel_nodes":[{}]}}`:                                            "must be set together",
		`{"minute":5,"policy":"redis","redis":{"cluster_nodes":[{"ip":"h"}],"database":1}}`:                        "database 0 only",
		`{"minute":5,"policy":"redis","redis":{"host":"h","sentinel_master":"m"}}`:                                 "must be set together",
		`{"minute":5,"policy":"redis","redis":{"cluster_nodes":[]}}`:                                               "cluster_nodes",
	} {
		if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: ratelimiting.Plugin, Config: config}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
	got, err := pdktest.Config(ratelimiting.Plugin, `{"second":1,"redis_host":"h","redis_port":1,"redis_timeout":2,"redis_database":3,"redis_password":"p"}`)
	if err != nil || !strings.Contains(string(got), `"host":"h"`) || !strings.Contains(string(got), `"port":1,`) {
		t.Errorf("shorthands became %s, %v", got, err)
	}
}

// headers are those of the plugin, in a stable order.
func headers(r *pdktest.Result) map[string]string {
	out := map[string]string{}
	for _, l := range r.Header {
		if strings.Contains(strings.ToLower(l[0]), "ratelimit") || l[0] == "Retry-After" {
			out[l[0]] = l[1]
		}
	}
	return out
}

func TestHeaders(t *testing.T) {
	p := build(t, `{"minute":2,"hour":100.5,"limit_by":"ip"}`)
	at := time.Date(2026, 11, 23, 16, 15, 1, 5e8, time.UTC)
	for i, want := range []map[string]string{
		{"X-RateLimit-Limit-Minute": "2", "X-RateLimit-Remaining-Minute": "1", "X-RateLimit-Limit-Hour": "100.5", "X-RateLimit-Remaining-Hour": "99.5", "RateLimit-Limit": "2", "RateLimit-Remaining": "1", "RateLimit-Reset": "59"},
		{"X-RateLimit-Limit-Minute": "2", "X-RateLimit-Remaining-Minute": "0", "X-RateLimit-Limit-Hour": "100.5", "X-RateLimit-Remaining-Hour": "98.5", "RateLimit-Limit": "2", "RateLimit-Remaining": "0", "RateLimit-Reset": "59"},
		{"X-RateLimit-Limit-Minute": "2", "X-RateLimit-Remaining-Minute": "0", "X-RateLimit-Limit-Hour": "100.5", "X-RateLimit-Remaining-Hour": "98.5", "RateLimit-Limit": "2", "RateLimit-Remaining": "0", "RateLimit-Reset": "59", "Retry-After": "59"},
	} {
		r := p.Do(pdktest.Request{At: at})
		if diff := cmp.Diff(want, headers(r)); diff != "" {
			t.Errorf("request %d (-want +got):\n%s", i, diff)
		}
		if blocked := i == 2; (r.Status == 429) != blocked || r.Called == blocked {
			t.Errorf("request %d: got %d", i, r.Status)
		}
	}
	if r := p.Do(pdktest.Request{At: at.Add(59 * time.Second)}); r.Status != 200 || r.Get("RateLimit-Reset") != "60" || r.Get("X-RateLimit-Remaining-Hour") != "97.5" {
		t.Errorf("the next minute gave %d %v", r.Status, headers(r))
	}
}

func TestWindows(t *testing.T) {
	at := func(s string) time.Time {
		parsed, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for _, test := range []struct {
		period, first, same, next string
		reset                     string // at first
	}{
		{"second", "2026-11-23T16:15:01Z", "2026-11-23T16:15:01.999Z", "2026-11-23T16:15:02Z", "1"},
		{"minute", "2026-11-23T16:15:59Z", "2026-11-23T16:15:00Z", "2026-11-23T16:16:00Z", "1"},
		{"hour", "2026-11-23T16:15:01Z", "2026-11-23T16:59:59Z", "2026-11-23T17:00:00Z", "2699"},
		{"day", "2026-11-23T00:00:00+01:00", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z", "3600"},
		{"month", "2026-02-28T23:59:59Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", "172801"},
		{"year", "2026-12-31T23:59:59Z", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "1"},
	} {
		t.Run(test.period, func(t *testing.T) {
			p := build(t, `{"`+test.period+`":1}`)
			if r := p.Do(pdktest.Request{At: at(test.first)}); r.Status != 200 || r.Get("RateLimit-Reset") != test.reset {
				t.Errorf("first: %d, reset %s, want %s", r.Status, r.Get("RateLimit-Reset"), test.reset)
			}
			if r := p.Do(pdktest.Request{At: at(test.same)}); r.Status != 429 {
				t.Errorf("same: %d", r.Status)
			}
			if r := p.Do(pdktest.Request{At: at(test.next)}); r.Status != 200 {
				t.Errorf("next: %d", r.Status)
			}
		})
	}
}

func TestBlockedRequestsCountInNoWindow(t *testing.T) {
	p := build(t, `{"second":1,"hour":3}`)
	at := pdktest.Start
	for i := range 5 {
		p.Do(pdktest.Request{At: at.Add(time.Duration(i) * time.Millisecond)})
	}
	r := p.Do(pdktest.Request{At: at.Add(time.Second)})
	if r.Status != 200 || r.Get("X-RateLimit-Remaining-Hour") != "1" {
		t.Errorf("got %d %v", r.Status, headers(r))
	}
}

func TestErrors(t *testing.T) {
	p := build(t, `{"minute":1,"hide_client_headers":true,"error_code":430,"error_message":"slow down"}`)
	if r := p.Do(pdktest.Request{}); r.Status != 200 || len(headers(r)) > 0 {
		t.Errorf("got %d %v", r.Status, headers(r))
	}
	if r := p.Do(pdktest.Request{}); r.Status != 430 || len(headers(r)) > 0 || !strings.Contains(r.Body, `"message":"slow down"`) {
		t.Errorf("got %d %q %v", r.Status, r.Body, headers(r))
	}
}

func TestLimitBy(t *testing.T) {
	long := strings.Repeat("x", 5000)
	bob, amy := &entity.Consumer{ID: "bob"}, &entity.Consumer{ID: "amy"}
	type request struct {
		consumer   *entity.Consumer
		credential string
		r          pdktest.Request
		want       int
	}
	from := func(ip string) pdktest.Request { return pdktest.Request{Client: ip} }
	id := func(v string) pdktest.Request { return pdktest.Request{Header: [][2]string{{"X-Id", v}}} }
	for _, test := range []struct {
		by       string
		service  *entity.Service
		requests []request
	}{
		{"consumer", nil, []request{{bob, "c1", from("1.1.1.1"), 200}, {bob, "c2", from("1.1.1.2"), 429}, {amy, "c1", from("1.1.1.1"), 200}, {nil, "c1", from("1.1.1.1"), 200}, {nil, "c1", from("1.1.1.2"), 429}, {nil, "", from("1.1.1.1"), 200}, {nil, "", from("1.1.1.1"), 429}}},
		{"credential", nil, []request{{bob, "c1", from("1.1.1.1"), 200}, {amy, "c1", from("1.1.1.2"), 429}, {bob, "c2", from("1.1.1.1"), 200}, {bob, "", from("1.1.1.1"), 200}, {amy, "", from("1.1.1.1"), 429}}},
		{"ip", nil, []request{{bob, "", from("1.1.1.1"), 200}, {amy, "", from("1.1.1.1"), 429}, {nil, "", from("::ffff:1.1.1.1"), 429}, {nil, "", from("2001:db8::1"), 200}, {nil, "", from("2001:db8:0::1"), 429}}},
		{"service", &entity.Service{ID: "s"}, []request{{bob, "", from("1.1.1.1"), 200}, {amy, "", from("1.1.1.2"), 429}}},
		{"service", nil, []request{{bob, "", from("1.1.1.1"), 200}, {amy, "", from("1.1.1.2"), 200}, {nil, "", from("1.1.1.1"), 429}}},
		{"header", nil, []request{{nil, "", id("a"), 200}, {nil, "", id("a"), 429}, {nil, "", id("b"), 200}, {nil, "", from("1.1.1.1"), 200}, {nil, "", from("1.1.1.1"), 429}, {nil, "", id("1.1.1.1"), 200}, {nil, "", id(long), 200}, {nil, "", id(long), 429}, {nil, "", id(long + "y"), 200}}},
		{"path", nil, []request{{nil, "", pdktest.Request{Path: "/p?x"}, 200}, {nil, "", pdktest.Request{Path: "/p", Client: "1.1.1.1"}, 429}, {nil, "", pdktest.Request{Path: "/p/q"}, 200}, {nil, "", pdktest.Request{Path: "/q"}, 429}}},
	} {
		t.Run(test.by, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{
				Plugin: ratelimiting.Plugin, Service: test.service,
				Config: `{"minute":1,"header_name":"X-Id","path":"/p","limit_by":"` + test.by + `"}`,
			})
			for i, r := range test.requests {
				x := p.NewExchange(r.r)
				x.Consumer, x.Credential.ID = r.consumer, r.credential
				got := pdktest.Run(t, x, []*pdktest.Plugin{p}, func(*pdk.Exchange) pdktest.Response { return pdktest.Response{} })
				if got.Status != r.want {
					t.Errorf("request %d: got %d, want %d", i, got.Status, r.want)
				}
			}
		})
	}
}

func TestCountersSurviveConfigChanges(t *testing.T) {
	node := pdktest.NewNode(t)
	on := func(id, config string) *pdktest.Plugin {
		return pdktest.Build(t, pdktest.Options{Plugin: ratelimiting.Plugin, Config: config, ID: id, Node: node})
	}
	on("p1", `{"minute":2}`).Do(pdktest.Request{})
	if r := on("p1", `{"minute":3,"hour":9}`).Do(pdktest.Request{}); r.Get("X-RateLimit-Remaining-Minute") != "1" || r.Get("X-RateLimit-Remaining-Hour") != "8" {
		t.Errorf("after a change: %v", headers(r))
	}
	if r := on("p2", `{"minute":3}`).Do(pdktest.Request{}); r.Get("X-RateLimit-Remaining-Minute") != "2" {
		t.Errorf("another plugin: %v", headers(r))
	}
}

func TestConcurrentRequestsNeverPassTheLimit(t *testing.T) {
	p := build(t, `{"minute":500,"hour":100000}`)
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			x := new(pdk.Exchange)
			for range 200 {
				x.Reset()
				pdktest.Fill(x, pdktest.Request{})
				if err := p.Phases.Access(x); err != nil {
					t.Error(err)
				}
				if !x.Exited() {
					passed.Add(1)
				}
				if err := p.Phases.HeaderFilter(x); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if passed.Load() != 500 {
		t.Errorf("%d passed, want 500", passed.Load())
	}
	if r := p.Do(pdktest.Request{}); r.Get("X-RateLimit-Remaining-Hour") != "99500" {
		t.Errorf("blocked requests were counted: %v", headers(r))
	}
}

func TestTableIsBounded(t *testing.T) {
	const limit = 1024
	at := pdktest.Start
	table := ratelimiting.NewTable(limit)
	for i := range 10 * limit {
		table.Add(fmt.Sprint("a", i), at, 5)
	}
	if n := table.Len(); n > limit {
		t.Errorf("%d counters, want %d at most", n, limit)
	}
	// One that is asked for often stays while others flood the table.
	for i := range 20 * limit {
		table.Add(fmt.Sprint("b", i), at.Add(time.Second), 5)
		if i%10 == 0 {
			table.Add("hot", at.Add(2*time.Second), 3)
		}
	}
	if table.Add("hot", at.Add(2*time.Second), 3) {
		t.Error("a busy counter was lost")
	}
	table.Sweep(at.Add(2 * time.Second))
	if table.Len() == 0 {
		t.Error("current counters were swept away")
	}
	table.Sweep(at.Add(2 * time.Minute))
	if n := table.Len(); n != 0 {
		t.Errorf("%d counters are left after their minute", n)
	}
}

func TestTableConcurrently(t *testing.T) {
	table := ratelimiting.NewTable(1 << 16)
	var all sync.WaitGroup
	var added [4]atomic.Int64
	for g := range 4 {
		all.Go(func() {
			for i := range 5000 {
				if table.Add(fmt.Sprint(i), pdktest.Start, 2) {
					added[g].Add(1)
				}
				if i%1000 == 0 {
					table.Sweep(pdktest.Start)
				}
			}
		})
	}
	all.Wait()
	sum := int64(0)
	for g := range added {
		sum += added[g].Load()
	}
	if sum != 10000 || table.Len() != 5000 {
		t.Errorf("added %d to %d counters, want 10000 to 5000", sum, table.Len())
	}
}

func TestDoesNotAllocate(t *testing.T) {
	for name, config := range map[string]string{
		"passes":  `{"second":1e9,"minute":1e9,"hour":1e9,"day":1e9,"month":1e9,"year":1e9}`,
		"blocked": `{"minute":1,"hour":5}`,
		"header":  `{"minute":1e9,"limit_by":"header","header_name":"x-id"}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := build(t, config)
			x := new(pdk.Exchange)
			request := pdktest.Request{Header: [][2]string{{"x-id", strings.Repeat("x", 200)}}, Client: "2001:db8::1"}
			template := p.NewExchange(request)
			n := testing.AllocsPerRun(200, func() {
				x.Reset()
				x.Start, x.Request.Client, x.ID = template.Start, template.Request.Client, template.ID
				x.Request.Header.Add("x-id", request.Header[0][1])
				if err := p.Phases.Access(x); err != nil {
					t.Fatal(err)
				}
				if err := p.Phases.HeaderFilter(x); err != nil {
					t.Fatal(err)
				}
			})
			if n != 0 {
				t.Errorf("got %v allocations, want 0", n)
			}
		})
	}
}

func BenchmarkAccess(b *testing.B) {
	p := build(b, `{"minute":1e12,"limit_by":"ip"}`)
	x := new(pdk.Exchange)
	client := p.NewExchange(pdktest.Request{}).Request.Client
	for b.Loop() {
		x.Reset()
		x.Start, x.Request.Client = pdktest.Start, client
		_ = p.Phases.Access(x)
		_ = p.Phases.HeaderFilter(x)
	}
}
