package e2e

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// burst calls path so often on each node, all at the same time, and returns how many
// came through.
func burst(t *testing.T, nodes []*node, calls []int, path string, with ...headers) int {
	t.Helper()
	var passed atomic.Int64
	var work sync.WaitGroup
	for i, n := range nodes {
		left := atomic.Int64{}
		left.Store(int64(calls[i]))
		for range 8 {
			work.Go(func() {
				for left.Add(-1) >= 0 {
					switch r := n.try("GET", path, nil, with...); {
					case r.err != nil:
						t.Error(r.err)
						return
					case r.status == 200:
						passed.Add(1)
					case r.status != 429:
						t.Errorf("%d %s", r.status, r.body)
						return
					}
				}
			})
		}
	}
	work.Wait()
	return int(passed.Load())
}

// Policy cluster: three nodes with uneven load let pass at most the limit and at least
// 95 % of it. While the control plane is away each lets its share pass.
func TestWalkClusterRateLimiting(t *testing.T) {
	c := newCluster(t, 3)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	const limit = 300
	c.must("POST", "/services/one/plugins", object{"name": "rate-limiting", "config": object{
		"hour": limit, "policy": "cluster", "limit_by": "header", "header_name": "X-Who",
	}}, 201, headers{"X-Sluice-Wait", "all"})
	who := func(name string) headers { return headers{"X-Who", name} }
	if left := time.Until(time.Now().Truncate(time.Hour).Add(time.Hour)); left < 2*time.Minute {
		time.Sleep(left + time.Second) // the counts must be of one hour
	}
	for i, calls := range [][]int{{400, 60, 10}, {200, 200, 200}, {350, 0, 0}, {0, 5, 500}} {
		got := burst(t, c.nodes, calls, "/one", who(fmt.Sprint("uneven", i)))
		t.Logf("calls %v: %d of %d came through", calls, got, limit)
		if got > limit || float64(got) < 0.95*limit {
			t.Errorf("calls %v: %d came through, want %d, within 5 %%", calls, got, limit)
		}
		// What nodes hold ahead of need is all that is left.
		for _, n := range c.nodes {
			got += spend(t, n, "/one", who(fmt.Sprint("uneven", i)))
			blocked := n.must("GET", "/one", nil, 429, who(fmt.Sprint("uneven", i)))
			if blocked.header.Get("X-RateLimit-Remaining-Hour") != "0" || blocked.header.Get("Retry-After") == "" {
				t.Errorf("blocked with %v", blocked.header)
			}
		}
		if got > limit {
			t.Errorf("calls %v: %d came through in the end, want %d", calls, got, limit)
		}
	}
	// What one node counts, another tells.
	burst(t, c.nodes, []int{100, 0, 0}, "/one", who("told"))
	left, err := strconv.Atoi(c.nodes[1].get("/one", who("told")).header.Get("X-RateLimit-Remaining-Hour"))
	if err != nil || left > 199 || left < 180 {
		t.Errorf("the second node says %d left, %v, want about 199", left, err)
	}
	burst(t, c.nodes, []int{50, 20, 10}, "/one", who("half"))

	c.control.kill()
	eventually(t, soon, func() error {
		for _, n := range c.nodes {
			if n.status.get("/status").at("control_plane", "connected") == true {
				return fmt.Errorf("%s is still connected", n.base)
			}
		}
		return nil
	})
	for i, name := range []string{"away", "half"} {
		got := burst(t, c.nodes, []int{400, 150, 150}, "/one", who(name))
		if name == "half" {
			got += 80
		}
		t.Logf("without a control plane, %s: %d of %d came through", name, got, limit)
		// The share that a node holds ahead of need may come on top.
		if got > limit+limit/25 || i == 0 && got < limit*9/10 {
			t.Errorf("%s: %d came through without a control plane, want %d", name, got, limit)
		}
	}
	c.control.start()
	c.up()
	eventually(t, soon, func() error {
		if n := len(c.listed()); n != 3 {
			return fmt.Errorf("%d nodes", n)
		}
		for _, n := range c.nodes {
			if n.status.get("/status").at("control_plane", "connected") != true {
				return fmt.Errorf("%s is not connected", n.base)
			}
		}
		return nil
	})
	time.Sleep(2 * time.Second)
	if got := burst(t, c.nodes, []int{100, 100, 100}, "/one", who("uneven0")); got > limit/25 {
		t.Errorf("a control plane that was started anew let %d more pass", got)
	}
	if got := burst(t, c.nodes, []int{200, 100, 100}, "/one", who("new")); got > limit || float64(got) < 0.95*limit {
		t.Errorf("afterwards %d come through", got)
	}
}
