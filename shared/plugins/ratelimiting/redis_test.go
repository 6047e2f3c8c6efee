package ratelimiting_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/pdk/redis/redistest"
	"github.com/sluice-gateway/sluice/shared/plugins/ratelimiting"
)

func config(redis, more string) string {
	return `{"policy":"redis","redis":` + redis + `,` + more + `}`
}

func TestRedis(t *testing.T) {
	t.Run("server", func(t *testing.T) { counts(t, redistest.Start(t).Config()) })
	if testing.Short() {
		return
	}
	t.Run("cluster", func(t *testing.T) { counts(t, redistest.ClusterConfig(redistest.StartCluster(t))) })
	t.Run("sentinel", func(t *testing.T) {
		w := redistest.StartWatched(t)
		counts(t, w.Config())
		// The replica takes over, with the counts that it has.
		p := build(t, config(w.Config(), `"year":1000,"fault_tolerant":false`))
		if r := p.Do(pdktest.Request{}); r.Status != 200 || r.Get("RateLimit-Remaining") != "999" {
			t.Fatalf("%d %v", r.Status, headers(r))
		}
		if n, err := w.Master.Do("WAIT", 1, 5000); err != nil || fmt.Sprint(n) != "1" {
			t.Fatalf("the replica has %v, %v", n, err)
		}
		w.Master.Stop()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			r := p.Do(pdktest.Request{})
			if r.Status == 200 {
				if r.Get("RateLimit-Remaining") != "998" {
					t.Errorf("after a failover: %v", headers(r))
				}
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no failover: %d %s", r.Status, r.Body)
			}
		}
	})
}

func counts(t *testing.T, redis string) {
	t.Helper()
	// Two nodes share the counts.
	one, two := build(t, config(redis, `"minute":3,"month":5`)), build(t, config(redis, `"minute":3,"month":5`))
	for i, want := range []struct {
		p                     *pdktest.Plugin
		at                    time.Duration
		status                int
		leftMinute, leftMonth string
	}{
		{one, 0, 200, "2", "4"},
		{two, 0, 200, "1", "3"},
		{one, 0, 200, "0", "2"},
		{two, 0, 429, "0", "2"},
		{two, time.Minute, 200, "2", "1"},
		{one, time.Minute, 200, "1", "0"},
		{two, time.Minute, 429, "1", "0"},
	} {
		r := want.p.Do(pdktest.Request{At: pdktest.Start.Add(want.at)})
		if r.Err != nil || r.Status != want.status || r.Get("X-RateLimit-Remaining-Minute") != want.leftMinute || r.Get("X-RateLimit-Remaining-Month") != want.leftMonth {
			t.Errorf("request %d: got %d, %v, %v", i, r.Status, headers(r), r.Err)
		}
	}
}

func TestRedisConcurrently(t *testing.T) {
	s := redistest.Start(t)
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 3 {
		p := build(t, config(s.Config(), `"hour":100`))
		all.Go(func() {
			x := new(pdk.Exchange)
			for range 60 {
				x.Reset()
				pdktest.Fill(x, pdktest.Request{})
				if err := p.Phases.Access(x); err != nil {
					t.Error(err)
				}
				if !x.Exited() {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if passed.Load() != 100 {
		t.Errorf("%d passed, want 100", passed.Load())
	}
}

func TestRedisAway(t *testing.T) {
	for _, test := range []struct {
		name, config string
		status       int
	}{
		{"tolerant", `"minute":1`, 200},
		{"not tolerant", `"minute":1,"fault_tolerant":false`, 500},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := redistest.Start(t)
			p := build(t, config(s.Config(), test.config))
			s.Stop()
			for range 3 {
				if r := p.Do(pdktest.Request{}); r.Status != test.status || r.Err != nil || len(headers(r)) > 0 {
					t.Errorf("got %d %q %v", r.Status, r.Body, r.Err)
				}
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		s := redistest.Start(t)
		p := build(t, strings.Replace(config(s.Config(), `"minute":1,"fault_tolerant":false`), "secret", "guess", 1))
		if r := p.Do(pdktest.Request{}); r.Status != 500 {
			t.Errorf("got %d", r.Status)
		}
	})
}

func TestRedisSync(t *testing.T) {
	s := redistest.Start(t)
	settings := config(s.Config(), `"hour":10,"limit_by":"header","header_name":"x-id","sync_rate":1`)
	one, two := build(t, settings), build(t, settings)
	// Exchanges go by the clock, so the requests must be of now; an hour may end meanwhile.
	now := time.Now()
	do := func(p *pdktest.Plugin, id string) *pdktest.Result {
		return p.Do(pdktest.Request{At: now, Header: [][2]string{{"x-id", id}}})
	}
	for range 4 {
		do(one, "a")
		do(two, "a")
	}
	if r := do(one, "a"); r.Get("RateLimit-Remaining") != "5" {
		t.Errorf("before an exchange: %v", headers(r))
	}
	for range 2 { // one learns of two's only after two has told them
		one.Env.Tick()
		two.Env.Tick()
	}
	for i, want := range []string{"0", "0"} {
		r := do([]*pdktest.Plugin{one, two}[i], "a")
		if r.Get("RateLimit-Remaining") != want || now.Truncate(time.Hour) != time.Now().Truncate(time.Hour) {
			t.Errorf("after an exchange: %d %v", r.Status, headers(r))
		}
	}
	for i := range 1200 { // more than one batch
		do(one, fmt.Sprint("many", i))
	}
	one.Env.Tick()
	s.Stop()
	do(one, "b")
	one.Env.Tick() // Redis is away: nothing is lost
	if r := do(one, "b"); r.Status != 200 || r.Get("RateLimit-Remaining") != "8" {
		t.Errorf("without Redis: %d %v", r.Status, headers(r))
	}
	if ratelimiting.Counters(one.Env.Shared("counters/"+one.Env.PluginID(), nil)) < 1200 {
		t.Error("counters were lost")
	}
}
