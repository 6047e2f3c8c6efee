package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Where the store of the benchmark is, and how long.
var (
	benchDir     string
	benchContext context.Context
)

// large is an Admin API on a store in a file with 100,000 entities: 20,000 services with
// three routes each and 20,000 consumers. It is made once.
var large = sync.OnceValues(func() (*admin.API, error) {
	const services, routes = 20_000, 3
	document := map[string][]schema.Object{}
	for i := range services {
		name := fmt.Sprintf("service-%05d", i)
		document["services"] = append(document["services"], schema.Object{"name": name, "host": name + ".example", "tags": []any{"bench", fmt.Sprintf("team-%d", i%100)}})
		document["consumers"] = append(document["consumers"], schema.Object{"username": fmt.Sprintf("consumer-%05d", i), "custom_id": fmt.Sprint(i)})
		for j := range routes {
			document["routes"] = append(document["routes"], schema.Object{
				"name": fmt.Sprintf("route-%05d-%d", i, j), "service": schema.Object{"name": name},
				"paths": []any{fmt.Sprintf("/%05d/%d", i, j)}, "hosts": []any{name + ".example"},
			})
		}
	}
	kinds := entity.NewKinds(entity.Options{Plugins: plugins.Bundled().Schema, Extra: plugins.Bundled().Entities()})
	st, err := bolt.Open(benchContext, bolt.Options{Path: filepath.Join(benchDir, "sluice.db")})
	if err != nil {
		return nil, err
	}
	c, err := catalog.New(benchContext, catalog.Options{Store: st, Kinds: kinds})
	if err != nil {
		return nil, err
	}
	if _, err := c.Replace(benchContext, document); err != nil {
		return nil, err
	}
	return admin.New(admin.Options{Catalog: c, Kinds: kinds, Plugins: plugins.Bundled(), Fleet: &fleet{}, Position: st.Position, NodeID: nodeID, Hostname: "host"})
})

// call makes one request, without a network in between.
func call(b *testing.B, api http.Handler, method, path, body string, status int) *httptest.ResponseRecorder {
	b.Helper()
	r := httptest.NewRequestWithContext(b.Context(), method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	if w.Code != status {
		b.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w
}

// BenchmarkAdmin measures the goals of the Admin API at 100,000 entities: a write takes
// 4 ms at the median and 25 ms at the 99th percentile with fsync, a list of 1,000 under
// 10 ms, an entity by its key under 300 us.
func BenchmarkAdmin(b *testing.B) {
	benchDir, benchContext = b.TempDir(), b.Context()
	api, err := large()
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, bench := range []struct {
		name string
		run  func(b *testing.B, i int)
	}{
		{"post", func(b *testing.B, i int) {
			call(b, api, "POST", "/services", fmt.Sprintf(`{"name":"new-%d","host":"h"}`, i), 201)
		}},
		{"post-route", func(b *testing.B, i int) {
			call(b, api, "POST", fmt.Sprintf("/services/service-%05d/routes", i%20_000), fmt.Sprintf(`{"name":"new-%d","paths":["/n/%d"]}`, i, i), 201)
		}},
		{"patch", func(b *testing.B, i int) {
			call(b, api, "PATCH", fmt.Sprintf("/services/service-%05d", i%20_000), fmt.Sprintf(`{"retries":%d}`, i%30_000), 200)
		}},
		{"get-by-name", func(b *testing.B, i int) {
			call(b, api, "GET", fmt.Sprintf("/services/service-%05d", i*7919%20_000), "", 200)
		}},
		{"list-1000", func(b *testing.B, _ int) { call(b, api, "GET", "/routes?size=1000", "", 200) }},
		{"list-1000-tag", func(b *testing.B, _ int) { call(b, api, "GET", "/services?size=1000&tags=bench", "", 200) }},
		{"list-name-contains", func(b *testing.B, i int) {
			call(b, api, "GET", fmt.Sprintf("/routes?name_contains=%05d-2", i*7919%20_000), "", 200)
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				bench.run(b, n)
				took = append(took, time.Since(start))
				n++
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "us/p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "us/p99")
		})
	}
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/1e6, "MB-heap")
	})
}
