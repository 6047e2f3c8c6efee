package router_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// words make paths that share prefixes, as those of a catalogue of services do.
var words = []string{"accounts", "billing", "catalog", "delivery", "events", "files", "gateway", "history", "identity", "jobs", "keys", "ledger", "media", "notify", "orders", "payments"}

func cataloguePath(i int) string {
	return fmt.Sprintf("/%s/v%d/%s-%d", words[i%16], 1+i/16%3, words[i/48%16], i/768)
}

// catalogue makes n routes with a path each.
func catalogue(n int) []*entity.Route {
	out := make([]*entity.Route, n)
	for i := range out {
		out[i] = &entity.Route{ID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(fmt.Sprint(i))).String(), Paths: []string{cataloguePath(i)}, Protocols: []string{"http", "https"}}
	}
	return out
}

// hosted makes n routes under n/5 hosts, one in eight of them with a wildcard.
func hosted(n int) []*entity.Route {
	out := catalogue(n)
	for i, r := range out {
		host := fmt.Sprintf("tenant-%d.example.com", i/5)
		if i/5%8 == 0 {
			host = "*." + host
		}
		r.Hosts, r.Paths = []string{host}, []string{[]string{"/", "/api", "/api/v2", "/static", "/admin"}[i%5]}
	}
	return out
}

func benchmarkMatch(b *testing.B, routes []*entity.Route, request func(i int) expression.Request) {
	table, errs := router.New("").Update(routes, nil)
	if len(errs) > 0 {
		b.Fatal(errs)
	}
	d := rand.New(rand.NewPCG(seed, 9)) //nolint:gosec // cases, not secrets
	header := &pdk.Header{}
	header.Add("Accept", "*/*")
	header.Add("User-Agent", "bench")
	requests := make([]router.Request, 4096)
	for i := range requests {
		requests[i].Request = request(d.IntN(len(routes)))
		requests[i].Header, requests[i].Method, requests[i].Protocol, requests[i].Port = header, "GET", "http", 80
	}
	// Medians of small batches, for the machine may have other things to do meanwhile.
	const batch = 16
	var m router.Match
	var times []float64
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		for range batch {
			if !table.Match(&requests[i&4095], &m) {
				b.Fatalf("no match for %+v", requests[i&4095])
			}
			i++
		}
		times = append(times, float64(time.Since(began))/batch)
	}
	slices.Sort(times)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(times[len(times)/2], "p50-ns/match")
	b.ReportMetric(times[len(times)*99/100], "p99-ns/match")
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1, 1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("prefix/%d", n), func(b *testing.B) {
			benchmarkMatch(b, catalogue(n), func(i int) expression.Request {
				return expression.Request{Host: "api.example.com", Path: cataloguePath(i) + "/items/42"}
			})
		})
		b.Run(fmt.Sprintf("host/%d", n), func(b *testing.B) {
			routes := hosted(n)
			benchmarkMatch(b, routes, func(i int) expression.Request {
				host := routes[i].Hosts[0]
				if host[0] == '*' {
					host = "www" + host[1:]
				}
				return expression.Request{Host: host, Path: routes[i].Paths[0] + "/x"}
			})
		})
	}
}

// BenchmarkUpdate changes one route of 100,000, and 20,000 of them in one update.
func BenchmarkUpdate(b *testing.B) {
	for name, routes := range map[string][]*entity.Route{"prefix": catalogue(100_000), "host": hosted(100_000)} {
		table, _ := router.New("").Update(routes, nil)
		for _, n := range []int{1, 20_000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				var times []float64
				i := 0
				for b.Loop() {
					var put []*entity.Route
					for range n {
						r := *routes[i*7919%len(routes)]
						r.RegexPriority = i
						put = append(put, &r)
						i++
					}
					began := time.Now()
					table, _ = table.Update(put, nil)
					times = append(times, float64(time.Since(began))/1e3)
				}
				slices.Sort(times)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(times[len(times)/2], "p50-us")
				b.ReportMetric(times[len(times)*99/100], "p99-us")
			})
		}
	}
}

// TestMemory holds that a route costs no more than a KiB in the router.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("builds 100,000 routes")
	}
	for name, routes := range map[string][]*entity.Route{"prefix": catalogue(100_000), "host": hosted(100_000)} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		table, errs := router.New("").Update(routes, nil)
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := float64(after.HeapAlloc-before.HeapAlloc) / float64(len(routes))
		t.Logf("%s: %.0f bytes a route", name, each)
		if len(errs) > 0 || table.Len() != len(routes) || each > 1024 {
			t.Errorf("%s: %v, %d routes of %.0f bytes", name, errs, table.Len(), each)
		}
		runtime.KeepAlive(routes)
	}
}
