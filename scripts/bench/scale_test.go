package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestManyRoutes(t *testing.T) {
	s := &stack{upstream: "127.0.0.1:1"}
	if c := s.config("", 10_000, 1); !json.Valid([]byte(c)) || strings.Count(c, `"paths"`) != 10_000 {
		t.Error("a configuration of 10,000 routes is not one")
	}
	for n, want := range map[int]string{1: `"/r" .. k * 1)`, 10_000: `"/r" .. k * 10)`, 100_000: `"/r" .. k * 100)`} {
		if got := routesScript(n, min(n, 1000)); !strings.Contains(got, want) {
			t.Errorf("%d routes: %s", n, got)
		}
	}
	rows := []scaleRow{{Routes: 1, CPU: []float64{10, 20}, Nginx: []float64{8, 16}, P99: []float64{1, 1}}, {Routes: 10_000, CPU: []float64{11, 33}, Nginx: []float64{8, 24}, P99: []float64{1, 3}}}
	var out bytes.Buffer
	printScale(&out, rows)
	if fields := strings.Fields(strings.TrimSpace(out.String())); strings.Join(fields[len(fields)-5:], " ") != "10000 22.0 1.38 1.10 2" {
		t.Errorf("table:\n%s", out.String())
	}
}

// TestPacedCallsAreTimed holds that a load keeps its rate, and that what is late because an
// answer was late counts as late.
func TestPacedCallsAreTimed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const stall = 100 * time.Millisecond
	n := 0
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if n++; n == 5 {
			time.Sleep(stall) // one answer is slow: that is the point
		}
	})}
	go func() { _ = server.Serve(l) }()
	defer func() { _ = server.Close() }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	const between = 10 * time.Millisecond
	took, err := calls(nc, between, 0, time.Now().Add(30*between))
	if err != nil {
		t.Fatal(err)
	}
	if len(took) < 28 || len(took) > 30 {
		t.Errorf("%d calls in 30 periods", len(took))
	}
	late := 0
	for _, d := range took {
		if d > stall/2 {
			late++
		}
	}
	if late < 4 {
		t.Errorf("%d calls were late", late)
	}
	if p := percentile(took, 99); p < 100_000 {
		t.Errorf("the slowest took %v us", p)
	}
}
