package ratelimiting_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/ratelimiting"
)

// server is a redis-server of the test's own.
type server struct {
	t    testing.TB
	port int
	cmd  *exec.Cmd
}

func startRedis(t testing.TB) *server {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no redis-server, which CI must have")
		}
		t.Skip("skipped: needs redis-server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, port: l.Addr().(*net.TCPAddr).Port}
	_ = l.Close()
	s.cmd = exec.Command(binary, "--port", fmt.Sprint(s.port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "secret", "--dir", t.TempDir(), "--logfile", filepath.Join(t.TempDir(), "log"))
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", s.port))
		if err == nil {
			_ = c.Close()
			return s
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *server) stop() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

func (s *server) config(more string) string {
	return fmt.Sprintf(`{"policy":"redis","redis":{"host":"127.0.0.1","port":%d,"password":"secret","timeout":500},%s}`, s.port, more)
}

func TestRedis(t *testing.T) {
	s := startRedis(t)
	// Two nodes share the counts.
	one, two := build(t, s.config(`"minute":3,"month":5`)), build(t, s.config(`"minute":3,"month":5`))
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
	s := startRedis(t)
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 3 {
		p := build(t, s.config(`"hour":100`))
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
			s := startRedis(t)
			p := build(t, s.config(test.config))
			s.stop()
			for range 3 {
				if r := p.Do(pdktest.Request{}); r.Status != test.status || r.Err != nil || len(headers(r)) > 0 {
					t.Errorf("got %d %q %v", r.Status, r.Body, r.Err)
				}
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		s := startRedis(t)
		p := build(t, strings.Replace(s.config(`"minute":1,"fault_tolerant":false`), "secret", "guess", 1))
		if r := p.Do(pdktest.Request{}); r.Status != 500 {
			t.Errorf("got %d", r.Status)
		}
	})
}

func TestRedisSync(t *testing.T) {
	s := startRedis(t)
	config := s.config(`"hour":10,"limit_by":"header","header_name":"x-id","sync_rate":1`)
	one, two := build(t, config), build(t, config)
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
	s.stop()
	do(one, "b")
	one.Env.Tick() // Redis is away: nothing is lost
	if r := do(one, "b"); r.Status != 200 || r.Get("RateLimit-Remaining") != "8" {
		t.Errorf("without Redis: %d %v", r.Status, headers(r))
	}
	if ratelimiting.Counters(one.Env.Shared("counters/"+one.Env.PluginID(), nil)) < 1200 {
		t.Error("counters were lost")
	}
}
