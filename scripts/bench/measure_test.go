package main

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParseWrk(t *testing.T) {
	const good = `Running 4s test @ http://127.0.0.1:8000/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.20ms    0.31ms  15.02ms   90.10%
  Latency Distribution
     50%    1.10ms
     75%    1.30ms
     90%    1.52ms
     99%  820.00us
  52000 requests in 4.00s, 10.00MB read
Requests/sec:  13000.00
`
	m, err := parseWrk(good)
	if err != nil || m.Requests != 52000 || m.PerSecond != 13000 || m.P50 != 1100 || m.P99 != 820 {
		t.Errorf("parseWrk = %+v, %v", m, err)
	}
	for name, out := range map[string]string{
		"faults":  strings.Replace(good, "Requests/sec", "  Non-2xx or 3xx responses: 7\nRequests/sec", 1),
		"sockets": strings.Replace(good, "Requests/sec", "  Socket errors: connect 0, read 3, write 0, timeout 0\nRequests/sec", 1),
		"nothing": "unable to connect",
	} {
		if m, err := parseWrk(out); err == nil {
			t.Errorf("%s: parseWrk = %+v, want an error", name, m)
		}
	}
}

func TestCPUTimeGrows(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Skipf("skipped: needs Linux's /proc: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		after, err := cpuTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after > before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("CPU time stays at %v while we work", after)
		}
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	var r result
	// The second round ran on a machine twice as slow: the ratio stays.
	for _, factor := range []float64{1, 2, 1} {
		r.add(testCase{name: "bare", proxy: nginx}, measurement{CPU: 40 * factor, PerSecond: 100 / factor})
		r.add(testCase{name: "route", proxy: sluice}, measurement{CPU: 50 * factor, PerSecond: 80 / factor})
	}
	r.summarize()
	if got := r.Rows[1]; got.CPURatio != 1.25 || got.RateRatio != 0.8 || got.CPU != 50 {
		t.Errorf("row = %+v", got)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median = %v, want 2.5", got)
	}
}

func TestConfigsAreJSON(t *testing.T) {
	s := &stack{upstream: "127.0.0.1:1"}
	for _, c := range s.cases() {
		if c.config != "" && !json.Valid([]byte(c.config)) {
			t.Errorf("%s: %s", c.name, c.config)
		}
	}
}

// The table of plugins has all that the documentation has, which a test in deploy compares
// with the registry.
func TestEveryPluginIsMeasured(t *testing.T) {
	s := &stack{upstream: "127.0.0.1:1", backend: "127.0.0.1:2", drain: "127.0.0.1:3"}
	measured := map[string]bool{"syslog": true} // where the machine has one
	for _, c := range s.pluginCases() {
		if document := c.document(s); !json.Valid([]byte(document)) {
			t.Errorf("%s: %s", c.name, document)
		}
		name, _, _ := strings.Cut(c.name, " ")
		measured[name] = true
	}
	page, err := os.ReadFile("../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| ([a-z0-9-]+) \| -?\d+ \|`).FindAllStringSubmatch(string(page), -1)
	if len(rows) < 30 {
		t.Fatalf("docs/plugins.md has %d plugins", len(rows))
	}
	for _, row := range rows {
		if !measured[row[1]] {
			t.Errorf("%s is not measured", row[1])
		}
	}
}

// TestBaselinesAreMeasured runs the load against nginx and HAProxy for a second.
func TestBaselinesAreMeasured(t *testing.T) {
	for _, tool := range []string{"wrk", "nginx", "haproxy"} {
		if _, err := lookTool(tool); err != nil && os.Getenv("CI") == "true" {
			t.Fatalf("%v, which CI must have (scripts/deps.sh installs it)", err)
		} else if err != nil {
			t.Skipf("skipped: %v (scripts/deps.sh installs it)", err)
		}
	}
	if testing.Short() {
		t.Skip("skipped: takes seconds")
	}
	s := &stack{dir: t.TempDir()}
	s.prepare()
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	if err := s.writeFiles(); err != nil {
		t.Fatal(err)
	}
	for _, start := range []func(context.Context) error{s.startUpstream, s.startNginx, s.startHAProxy} {
		if err := start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range s.cases() {
		if c.proxy == sluice {
			continue
		}
		m, err := s.measure(t.Context(), c, 1, 8)
		if err != nil || m.CPU <= 0 || m.PerSecond <= 0 || m.P99 < m.P50 {
			t.Errorf("%s %s: %+v, %v", c.proxy, c.name, m, err)
		}
		t.Logf("%s %s: %+v", c.proxy, c.name, m)
	}
}
