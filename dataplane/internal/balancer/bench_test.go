package balancer_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// fleet is 1,000 upstreams of ten targets each.
func fleet(t testing.TB, b *balancer.Balancer, algorithm string) []*balancer.Upstream {
	t.Helper()
	out := make([]*balancer.Upstream, 1000)
	for i := range out {
		var list []*entity.Target
		for j := range 10 {
			list = append(list, &entity.Target{ID: fmt.Sprintf("%08d-0000-4000-8000-%012d", i, j), Target: fmt.Sprintf("10.%d.%d.%d:8080", i/250, i%250, j+1), Weight: 100 + 10*j})
		}
		e := passive(1, 5, 5, 5)
		e.ID, e.Name, e.Algorithm, e.HashOn, e.HashOnHeader = fmt.Sprint("u", i), fmt.Sprintf("u%d.test", i), algorithm, "header", "X-Key"
		e.StickySessionsCookie = "c"
		e.HealthChecks.Active = active("http").HealthChecks.Active
		e.HealthChecks.Active.Healthy.Interval, e.HealthChecks.Active.Unhealthy.Interval = 3600, 3600
		out[i] = b.Upstream(e, list, nil)
	}
	return out
}

// BenchmarkPick picks, starts and ends requests at 1,000 upstreams of ten targets.
func BenchmarkPick(b *testing.B) {
	for _, a := range algorithms {
		b.Run(a, func(b *testing.B) {
			all := fleet(b, newBalancer(b, balancer.Options{}), a)
			x, skip := &pdk.Exchange{}, &balancer.Skip{}
			x.Request.Header.Add("X-Key", "some-key")
			cookie := &pdk.Exchange{}
			if _, err := all[7].Pick(b.Context(), cookie, skip); err == nil && cookie.HashCookieLine != "" {
				all = all[7:8] // a client that comes back
				x.Request.Header.Add("Cookie", cookie.HashCookieLine[:34])
			}
			i, ctx := 0, b.Context()
			x.Start = time.Now()
			b.ReportAllocs()
			for b.Loop() {
				i++
				p, err := all[i%len(all)].Pick(ctx, x, skip)
				if err != nil {
					b.Fatal(err)
				}
				p.Start()
				p.Done()
			}
		})
	}
}

// BenchmarkPickOfMany picks among so many targets of one upstream.
func BenchmarkPickOfMany(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		for _, a := range algorithms[:4] {
			b.Run(fmt.Sprint(a, "/", n), func(b *testing.B) {
				weights := make([]int, n)
				for i := range weights {
					weights[i] = 1 + i%7
				}
				u := newUpstream(b, &entity.Upstream{Algorithm: a, HashOn: "header", HashOnHeader: "X-Key"}, targets(weights...))
				x, skip := &pdk.Exchange{}, &balancer.Skip{}
				x.Request.Header.Add("X-Key", "some-key")
				b.ReportAllocs()
				for b.Loop() {
					_, _ = u.Pick(b.Context(), x, skip)
				}
			})
		}
	}
}

// TestMemory holds that a target costs less than 2 KiB, its checks included.
func TestMemory(t *testing.T) {
	for _, a := range algorithms {
		b := newBalancer(t, balancer.Options{})
		heap := func() uint64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc + m.StackInuse
		}
		balancerBefore := heap()
		all := fleet(t, b, a)
		for _, u := range all {
			pick(t, u, nil, nil)
		}
		per := float64(int64(heap())-int64(balancerBefore)) / 10_000 //nolint:gosec // sizes of memory
		t.Logf("%s: %.0f bytes a target", a, per)
		if per > 2048 {
			t.Errorf("%s: %.0f bytes a target, want 2048 at most", a, per)
		}
		runtime.KeepAlive(all)
	}
}

// TestPicksAllocateNothing for all algorithms and what they look at.
func TestPicksAllocateNothing(t *testing.T) {
	for _, on := range []string{"none", "header", "path", "ip", "query_arg", "consumer", "uri_capture", "cookie"} {
		for _, a := range algorithms {
			if (a == "consistent-hashing") != (on != "none") {
				continue
			}
			e := passive(1, 5, 5, 5)
			e.Algorithm, e.HashOn, e.HashOnHeader, e.HashOnQueryArg, e.HashOnURICapture, e.HashOnCookie = a, on, "X-Key", "k", "id", "ck"
			e.StickySessionsCookie, e.OutlierDetection = "sc", &entity.OutlierDetection{ConsecutiveErrors: 5}
			for _, n := range []int{3, 30} {
				weights := make([]int, n)
				for i := range weights {
					weights[i] = 100 + i
				}
				u := newUpstream(t, e, targets(weights...))
				x, skip := &pdk.Exchange{}, &balancer.Skip{}
				first := &pdk.Exchange{}
				pick(t, u, first, nil)
				x.Request.Header.Add("X-Key", "v")
				x.Request.Header.Add("Cookie", "ck=v; "+first.HashCookieLine)
				x.Request.Path, x.Request.RawQuery, x.Consumer = "/p", "a=b&k=v", &entity.Consumer{ID: "c"}
				x.Captures.Names, x.Captures.Values = []string{"", "id"}, []string{"/1", "1"}
				ctx := t.Context()
				if n := testing.AllocsPerRun(200, func() {
					p, _ := u.Pick(ctx, x, skip)
					p.Start()
					p.Observe(time.Millisecond, time.Now())
					p.Report(balancer.Answered, 200)
					p.Done()
				}); n > 0 {
					t.Errorf("%s on %s: %v allocations", a, on, n)
				}
			}
		}
	}
}
