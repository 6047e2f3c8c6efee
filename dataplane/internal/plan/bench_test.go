package plan_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
)

// BenchmarkApply changes one route of 100,000.
func BenchmarkApply(b *testing.B) {
	for _, perService := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("%d routes a service", perService), func(b *testing.B) {
			r := newRoom(b)
			const routes = 100_000
			var all []config.Change
			route := func(i, version int) config.Change {
				return put("routes", fmt.Sprintf("00000000-0000-4000-8000-%012d", i), object{
					"name": fmt.Sprint("route-", i), "paths": []string{fmt.Sprintf("/s%d/r%d/%d", i/perService, i, version)}, "service": ref(fmt.Sprint("s", i/perService)),
				})
			}
			for i := range routes {
				if i%perService == 0 {
					all = append(all, put("services", fmt.Sprint("s", i/perService), object{"host": "h"}))
				}
				all = append(all, route(i, 0))
			}
			began := time.Now()
			if _, err := r.Apply(b.Context(), config.Update{Whole: true, Changes: all}); err != nil {
				b.Fatal(err)
			}
			b.Logf("all took %v", time.Since(began))
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				c := []config.Change{route(i*7919%routes, i+1)}
				at := time.Now()
				if _, err := r.Apply(b.Context(), config.Update{Changes: c}); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(at))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-us")
			b.ReportMetric(0, "ns/op")
		})
	}
}
