package router_test

import (
	"encoding/json"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// routeSet is a set as scripts/bench/routers writes it.
type routeSet struct {
	Routes []struct {
		Method, Host, Prefix, Pattern, Regex string
		Headers                              map[string]string
	}
	Requests []struct {
		Method, Host, Path string
		Headers            map[string]string
	}
}

// measuredSet is what scripts/bench/routers reads.
type measuredSet struct {
	P50     float64 `json:"p50_ns"`
	P99     float64 `json:"p99_ns"`
	Allocs  float64 `json:"allocs"`
	Bytes   float64 `json:"bytes_per_route"`
	BuildMS float64 `json:"build_ms"`
}

var parameters = regexp.MustCompile(`\{[^}]+\}`)

// TestMeasureSets measures the sets in ROUTER_SETS for scripts/bench/routers, and writes
// what it measured to ROUTER_MEASURED.
func TestMeasureSets(t *testing.T) {
	in, out := os.Getenv("ROUTER_SETS"), os.Getenv("ROUTER_MEASURED")
	if in == "" {
		t.Skip("skipped: measures the sets of scripts/bench/routers")
	}
	b, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	var sets []routeSet
	if err := json.Unmarshal(b, &sets); err != nil {
		t.Fatal(err)
	}
	var all []measuredSet
	for i := range sets {
		all = append(all, sets[i].measure(t))
		sets[i] = routeSet{}
	}
	if b, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *routeSet) routes() []*entity.Route {
	out := make([]*entity.Route, 0, len(s.Routes))
	for _, r := range s.Routes {
		e := &entity.Route{ID: uuid.NewString(), Protocols: []string{"http", "https"}}
		if r.Method != "" {
			e.Methods = []string{r.Method}
		}
		if r.Host != "" {
			e.Hosts = []string{r.Host}
		}
		for name, value := range r.Headers {
			if e.Headers == nil {
				e.Headers = map[string][]string{}
			}
			e.Headers[name] = []string{value}
		}
		switch {
		case strings.Contains(r.Pattern, "{"):
			e.Paths = []string{"~" + parameters.ReplaceAllString(r.Pattern, "[^/]+") + "$"}
		case r.Pattern != "":
			e.Paths = []string{"~" + regexp.QuoteMeta(r.Pattern) + "$"}
		case r.Regex != "":
			e.Paths = []string{"~" + r.Regex}
		default:
			e.Paths = []string{r.Prefix}
		}
		out = append(out, e)
	}
	return out
}

func (s *routeSet) measure(t *testing.T) (m measuredSet) {
	t.Helper()
	routes := s.routes()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	table := update(t, router.New(""), routes)
	m.BuildMS = float64(time.Since(began).Milliseconds())
	runtime.GC()
	runtime.ReadMemStats(&after)
	m.Bytes = float64(after.HeapAlloc-min(before.HeapAlloc, after.HeapAlloc)) / float64(len(routes))
	requests := make([]router.Request, len(s.Requests))
	for i, q := range s.Requests {
		if _, err := url.Parse(q.Path); err != nil {
			t.Fatal(err)
		}
		h := &pdk.Header{}
		for name, value := range q.Headers {
			h.Add(name, value)
		}
		requests[i].Request = expression.Request{Method: q.Method, Protocol: "http", Host: q.Host, Path: q.Path, Header: h, Port: 80}
	}
	const batch = 16
	var match router.Match
	var times []float64
	i := 0
	runtime.ReadMemStats(&before)
	for began = time.Now(); len(times) < 20000 && time.Since(began) < 3*time.Second; {
		start := time.Now()
		for range batch {
			if q := &requests[i%len(requests)]; !table.Match(q, &match) {
				t.Fatalf("no match for %s", describe(q))
			}
			i++
		}
		times = append(times, float64(time.Since(start))/batch)
	}
	runtime.ReadMemStats(&after)
	m.Allocs = float64(int(float64(after.Mallocs-before.Mallocs)/float64(i)*10)) / 10
	slices.Sort(times)
	m.P50, m.P99 = times[len(times)/2], times[len(times)*99/100]
	runtime.KeepAlive(routes)
	return m
}
