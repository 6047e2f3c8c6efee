package responseratelimiting_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/pdk/redis/redistest"
	"github.com/sluice-gateway/sluice/shared/plugins/responseratelimiting"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func build(t *testing.T, config string) *pdktest.Plugin {
	t.Helper()
	return pdktest.Build(t, pdktest.Options{Plugin: responseratelimiting.Plugin, Config: config})
}

// uses makes an upstream that says what a request has used.
func uses(lines ...string) func(*pdk.Exchange) pdktest.Response {
	r := pdktest.Response{Body: "body"}
	for _, l := range lines {
		r.Header = append(r.Header, [2]string{"X-Kong-Limit", l})
	}
	return func(*pdk.Exchange) pdktest.Response { return r }
}

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, responseratelimiting.Plugin.Schema, "plugins/response-ratelimiting.json")
	schematest.ConfigAgrees(t, responseratelimiting.Plugin.Schema, responseratelimiting.Config{})
	for config, want := range map[string]string{
		`{}`:                            "config.limits: required field missing",
		`{"limits":{}}`:                 "limits",
		`{"limits":{"v":{}}}`:           "at least one of these fields must be non-empty: 'second'",
		`{"limits":{"v":{"minute":0}}}`: "value must be greater than 0",
		`{"limits":{"v":{"minute":1}},"policy":"x"}`:   "expected one of: local, cluster, redis",
		`{"limits":{"v":{"week":1}}}`:                  "unknown field",
		`{"limits":{"v":{"hour":1}},"policy":"redis"}`: "host",
	} {
		if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: responseratelimiting.Plugin, Config: config}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
}

func TestLocal(t *testing.T) {
	p := build(t, `{"limits":{"videos":{"minute":5,"hour":7},"images":{"second":100}}}`)
	for i, step := range []struct {
		at           time.Duration
		uses         string
		status       int
		minute, hour string // left of videos, for the client
		told         string // left of videos before
	}{
		{0, "", 200, "5", "7", "5"},
		{0, "videos=2, images=1", 200, "3", "5", "5"},
		{0, "videos=9", 200, "0", "0", "3"},
		{0, "", 200, "0", "0", "-6"},
		{0, "videos=1", 429, "0", "0", "-6"},
		{time.Minute, "images=1", 200, "5", "0", "-4"},
		{time.Minute, "videos=0", 200, "5", "0", "-4"},
		{time.Hour, "videos=1,nothing=3,bad,videos", 200, "4", "6", "5"},
	} {
		r := p.DoWith(pdktest.Request{At: pdktest.Start.Add(step.at)}, uses(step.uses))
		if r.Err != nil || r.Status != step.status || r.Get("X-RateLimit-Remaining-videos-minute") != step.minute || r.Get("X-RateLimit-Remaining-videos-hour") != step.hour {
			t.Errorf("step %d: %d %v %v", i, r.Status, r.Header, r.Err)
		}
		if got := r.Get("X-RateLimit-Remaining-videos"); got != step.told {
			t.Errorf("step %d: %q were left before, want %q", i, got, step.told)
		}
		if r.Get("X-Kong-Limit") != "" || r.Get("X-RateLimit-Limit-videos-minute") != "5" || r.Get("X-RateLimit-Limit-images-second") != "100" {
			t.Errorf("step %d: %v", i, r.Header)
		}
		if (r.Body == "") != (step.status == 429) {
			t.Errorf("step %d: body %q", i, r.Body)
		}
	}
}

func TestSeveralLines(t *testing.T) {
	p := build(t, `{"limits":{"a":{"hour":10},"b":{"hour":10}}}`)
	p.DoWith(pdktest.Request{}, uses("a=1", "b=2"))
	r := p.DoWith(pdktest.Request{}, uses())
	if r.Get("X-RateLimit-Remaining-a-hour") != "9" || r.Get("X-RateLimit-Remaining-b-hour") != "8" {
		t.Errorf("%v", r.Header)
	}
}

func TestOptions(t *testing.T) {
	p := build(t, `{"limits":{"v":{"hour":1}},"hide_client_headers":true,"block_on_first_violation":true,"header_name":"X-Used"}`)
	used := func(*pdk.Exchange) pdktest.Response {
		return pdktest.Response{Header: [][2]string{{"x-used", "v=1"}}}
	}
	r := p.DoWith(pdktest.Request{}, used)
	for _, l := range r.Header {
		if strings.HasPrefix(l[0], "X-RateLimit") || strings.EqualFold(l[0], "x-used") {
			t.Errorf("the client gets %v", l)
		}
	}
	r = p.DoWith(pdktest.Request{}, used)
	if r.Called || r.Status != 429 || !strings.Contains(r.Body, "API rate limit exceeded for 'v'") {
		t.Errorf("%d %s, upstream called %v", r.Status, r.Body, r.Called)
	}
}

func TestIdentities(t *testing.T) {
	for _, test := range []struct {
		by   string
		same [3]bool // of another consumer's, another credential's, another address's
	}{
		{"consumer", [3]bool{false, true, true}},
		{"credential", [3]bool{true, false, true}},
		{"ip", [3]bool{true, true, false}},
	} {
		p := build(t, `{"limits":{"v":{"hour":9}},"limit_by":"`+test.by+`"}`)
		do := func(consumer, credential, client string) string {
			x := p.NewExchange(pdktest.Request{Client: client})
			x.Consumer, x.Credential = &entity.Consumer{ID: consumer}, pdk.Credential{ID: credential}
			return pdktest.Run(t, x, []*pdktest.Plugin{p}, uses("v=1")).Get("X-RateLimit-Remaining-v")
		}
		do("c1", "k1", "10.0.0.1")
		for i, got := range []string{do("c2", "k1", "10.0.0.1"), do("c1", "k2", "10.0.0.1"), do("c1", "k1", "10.0.0.2")} {
			if (got != "9") != test.same[i] {
				t.Errorf("by %s, %d: %s left", test.by, i, got)
			}
		}
	}
	p := build(t, `{"limits":{"v":{"hour":9}}}`)
	p.DoWith(pdktest.Request{Client: "10.0.0.1"}, uses("v=1"))
	if r := p.DoWith(pdktest.Request{Client: "10.0.0.2"}, uses("v=1")); r.Get("X-RateLimit-Remaining-v") != "9" {
		t.Error("without a consumer the address does not count")
	}
}

func TestRedis(t *testing.T) {
	deployments := map[string]func(t *testing.T) string{
		"server": func(t *testing.T) string { t.Helper(); return redistest.Start(t).Config() },
	}
	if !testing.Short() {
		deployments["cluster"] = func(t *testing.T) string { t.Helper(); return redistest.ClusterConfig(redistest.StartCluster(t)) }
		deployments["sentinel"] = func(t *testing.T) string { t.Helper(); return redistest.StartWatched(t).Config() }
	}
	for name, start := range deployments {
		t.Run(name, func(t *testing.T) {
			config := fmt.Sprintf(`{"policy":"redis","redis":%s,"limits":{"v":{"hour":5,"year":9},"w":{"day":1.5}},"fault_tolerant":false}`, start(t))
			one, two := build(t, config), build(t, config)
			if r := one.DoWith(pdktest.Request{}, uses("v=2,w=0.5")); r.Status != 200 {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				r := two.DoWith(pdktest.Request{}, uses())
				if r.Get("X-RateLimit-Remaining-v-hour") == "3" && r.Get("X-RateLimit-Remaining-v-year") == "7" && r.Get("X-RateLimit-Remaining-w-day") == "1" {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d %v", r.Status, r.Header)
				}
			}
		})
	}
}

func TestRedisAway(t *testing.T) {
	s := redistest.Start(t)
	for tolerant, want := range map[bool]int{true: 200, false: 500} {
		p := build(t, fmt.Sprintf(`{"policy":"redis","redis":%s,"limits":{"v":{"hour":5}},"fault_tolerant":%v}`, s.Config(), tolerant))
		s.Stop()
		for range 3 {
			if r := p.DoWith(pdktest.Request{}, uses("v=1")); r.Status != want {
				t.Errorf("tolerant %v: %d %s", tolerant, r.Status, r.Body)
			}
		}
	}
}

func TestCluster(t *testing.T) {
	plane := pdktest.NewPlane(t, responseratelimiting.Plugin)
	var used uint64
	plane.OnLease = func(requests []pdk.LeaseRequest) ([]pdk.LeaseGrant, error) {
		out := make([]pdk.LeaseGrant, len(requests))
		for i, r := range requests {
			used = max(used, r.Used)
			out[i] = pdk.LeaseGrant{Taken: r.Used + 3, Nodes: 2} // the other node has used 3
		}
		return out, nil
	}
	p := pdktest.Build(t, pdktest.Options{
		Plugin: responseratelimiting.Plugin, Node: pdktest.NewNode(t).WithControl(plane), Config: `{"policy":"cluster","limits":{"v":{"hour":5}}}`,
	})
	for i, want := range []struct {
		left   string
		status int
	}{{"1", 200}, {"0", 200}, {"0", 429}} {
		if r := p.DoWith(pdktest.Request{}, uses("v=1")); r.Status != want.status || r.Get("X-RateLimit-Remaining-v-hour") != want.left {
			t.Errorf("request %d: %d %v", i, r.Status, r.Header)
		}
	}
}
