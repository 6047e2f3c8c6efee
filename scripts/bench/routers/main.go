// Command routers compares the router of the data plane with what Go has: net/http's
// ServeMux, httprouter, chi and Caddy's matchers, on the same sets of routes with the
// same requests, in one run. It is a module of its own, so that nothing else gets what it
// depends on, and runs the router's own test to measure what lies in an internal package.
//
// It measures small batches and prints their median, for the machine may be shared; read
// what stands in one line.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// measured is what one engine did with one set.
type measured struct {
	P50    float64 `json:"p50_ns"`
	P99    float64 `json:"p99_ns"`
	Allocs float64 `json:"allocs"`
	// Bytes of memory a route, and the time that the build took.
	Bytes   float64 `json:"bytes_per_route"`
	BuildMS float64 `json:"build_ms"`
	Err     string  `json:"error,omitempty"`
}

func main() {
	scale := flag.Int("scale", 1, "divide the sizes of the sets by this")
	dataplane := flag.String("dataplane", "../../../dataplane", "folder of the data plane's module")
	flag.Parse()
	if err := run(*scale, *dataplane); err != nil {
		fmt.Fprintln(os.Stderr, "routers:", err)
		os.Exit(1)
	}
}

func run(scale int, dataplane string) (err error) {
	all := sets(max(scale, 1))
	dir, err := os.MkdirTemp("", "sluice-routers")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ours, err := router(all, dir, dataplane)
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "set\trouter\tp50 ns\tp99 ns\tallocs\tbytes a route\tbuild ms")
	for i := range all {
		line(out, all[i].Name, "Sluice", ours[i])
		for _, e := range engines {
			line(out, all[i].Name, e.name, measure(e, &all[i]))
		}
	}
	return out.Flush()
}

func line(out *tabwriter.Writer, set, engine string, m measured) {
	if m.Err != "" {
		fmt.Fprintf(out, "%s\t%s\t%s\n", set, engine, m.Err)
		return
	}
	fmt.Fprintf(out, "%s\t%s\t%.0f\t%.0f\t%.1f\t%.0f\t%.0f\n", set, engine, m.P50, m.P99, m.Allocs, m.Bytes, m.BuildMS)
}

// router runs the test of the data plane's router that measures sets.
func router(all []set, dir, dataplane string) ([]measured, error) {
	b, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	in, out := filepath.Join(dir, "sets.json"), filepath.Join(dir, "measured.json")
	if err := os.WriteFile(in, b, 0o600); err != nil {
		return nil, err
	}
	command := exec.Command("go", "test", "-count=1", "-run", "^TestMeasureSets$", "./internal/router")
	command.Dir = dataplane
	command.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "GOWORK=") }),
		"ROUTER_SETS="+in, "ROUTER_MEASURED="+out)
	if text, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go test of the router: %w\n%s", err, text)
	}
	if b, err = os.ReadFile(out); err != nil {
		return nil, err
	}
	var ours []measured
	return ours, json.Unmarshal(b, &ours)
}

const (
	batch   = 16
	longest = 3 * time.Second
)

func measure(e engine, s *set) (m measured) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	match, err := e.build(s)
	if err != nil {
		return measured{Err: err.Error()}
	}
	m.BuildMS = float64(time.Since(began).Milliseconds())
	runtime.GC()
	runtime.ReadMemStats(&after)
	m.Bytes = float64(after.HeapAlloc-min(before.HeapAlloc, after.HeapAlloc)) / float64(len(s.Routes))
	requests := make([]*http.Request, len(s.Requests))
	for i, q := range s.Requests {
		r, err := http.NewRequest(q.Method, "http://"+q.Host+q.Path, nil)
		if err != nil {
			return measured{Err: err.Error()}
		}
		for name, value := range q.Headers {
			r.Header.Set(name, value)
		}
		requests[i] = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), nil, nil)
	}
	var times []float64
	began, i := time.Now(), 0
	runtime.ReadMemStats(&before)
	for len(times) < 20000 && time.Since(began) < longest {
		start := time.Now()
		for range batch {
			if !match(requests[i%len(requests)]) {
				return measured{Err: "does not match " + requests[i%len(requests)].URL.Path}
			}
			i++
		}
		times = append(times, float64(time.Since(start))/batch)
	}
	runtime.ReadMemStats(&after)
	m.Allocs = float64(after.Mallocs-before.Mallocs) / float64(i)
	slices.Sort(times)
	m.P50, m.P99 = times[len(times)/2], times[len(times)*99/100]
	return m
}
