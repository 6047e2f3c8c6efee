package balancer_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

type ctx = context.Context

// weightings are lists of weights that shares are measured for.
func weightings() [][]int {
	many := make([]int, 300)
	for i := range many {
		many[i] = 1 + (i*7919)%997
	}
	return [][]int{{1}, {100, 100}, {1, 2, 3}, {100, 50, 0, 25}, {7, 3}, {0, 5}, {65535, 65534}, {1, 65535}, {1000, 999, 998, 1}, {65535, 1, 1, 1, 32768}, many}
}

// TestShares holds that over 100,000 picks each target gets its share by weight, within
// 1 % of all picks, and that what has a weight gets something in the end.
func TestShares(t *testing.T) {
	const all = 100_000
	for _, algorithm := range []string{"round-robin", "consistent-hashing", "sticky-sessions"} {
		for _, weights := range weightings() {
			u := newUpstream(t, &entity.Upstream{Algorithm: algorithm, HashOn: "path", StickySessionsCookie: "c"}, targets(weights...))
			sum := 0
			for _, w := range weights {
				sum += w
			}
			got := make([]int, len(weights))
			x := &pdk.Exchange{}
			for i := range all {
				x.Request.Path = fmt.Sprint("/", i)
				got[pick(t, u, x, nil).Port-1]++
			}
			for i, w := range weights {
				if want := w * all / sum; !near(got[i], want, all, 0.01) || w == 0 && got[i] > 0 {
					t.Errorf("%s: of %d targets number %d with weight %d of %d got %d of %d, want %d", algorithm, len(weights), i+1, w, sum, got[i], all, want)
				}
			}
		}
	}
}

// TestRounds holds that round robin gives each target exactly its part of each round, as
// long as rounds are short, and that a heavy target does not get its part in one go.
func TestRounds(t *testing.T) {
	for _, weights := range [][]int{{1}, {100, 100}, {1, 2, 3}, {100, 50, 0, 25}, {7, 3}, {300, 100}, {5, 5, 10, 80}} {
		u := newUpstream(t, &entity.Upstream{}, targets(weights...))
		divisor, sum := 0, 0
		for _, w := range weights {
			sum += w
			for a, c := divisor, w; ; a, c = c, a%c {
				if c == 0 {
					divisor = a
					break
				}
			}
		}
		for range 3 {
			got := make([]int, len(weights))
			for range sum / divisor {
				got[pick(t, u, nil, nil).Port-1]++
			}
			for i, w := range weights {
				if got[i] != w/divisor {
					t.Errorf("weights %v: target %d got %d of a round, want %d", weights, i+1, got[i], w/divisor)
				}
			}
		}
	}
	u := newUpstream(t, &entity.Upstream{}, targets(2, 1))
	row, longest := 0, 0
	for range 30 {
		if pick(t, u, nil, nil).Port == 1 {
			row++
		} else {
			row = 0
		}
		longest = max(longest, row)
	}
	if longest > 2 {
		t.Errorf("%d requests in a row go to one target", longest)
	}
}

// TestSmoothness holds that at any moment of a long round robin no target is far from its
// share, with and without a wheel.
func TestSmoothness(t *testing.T) {
	for _, weights := range [][]int{{5, 3, 2}, {65535, 65534, 10000}, {997, 613, 211, 89}} {
		u := newUpstream(t, &entity.Upstream{}, targets(weights...))
		sum := 0
		for _, w := range weights {
			sum += w
		}
		got := make([]int, len(weights))
		worst := 0.0
		for n := 1; n <= 20_000; n++ {
			got[pick(t, u, nil, nil).Port-1]++
			for i, w := range weights {
				worst = max(worst, math.Abs(float64(got[i])-float64(w)*float64(n)/float64(sum)))
			}
		}
		if worst > 6 {
			t.Errorf("weights %v: a target is %.1f requests off its share", weights, worst)
		}
	}
}

// TestChangesDisturbNothing holds that a view that is made anew goes on where the one
// before it was.
func TestChangesDisturbNothing(t *testing.T) {
	u := newUpstream(t, &entity.Upstream{}, targets(1, 1, 1))
	var order []int
	for range 9 {
		order = append(order, pick(t, u, nil, nil).Port)
		u.change(targets(1, 1, 1))
	}
	for i := 3; i < 9; i++ {
		if order[i] != order[i-3] {
			t.Fatalf("the order is %v", order)
		}
	}
}

// TestLeastConnections holds that requests under way fill targets by weight, over views.
func TestLeastConnections(t *testing.T) {
	u := newUpstream(t, &entity.Upstream{Algorithm: "least-connections"}, targets(1, 2, 3))
	var open []balancer.Peer
	count := map[int]int{}
	for i := range 60 {
		if i == 30 {
			u.change(targets(1, 2, 3))
		}
		p := pick(t, u, nil, nil)
		p.Start()
		count[p.Port]++
		open = append(open, p)
	}
	for port, want := range map[int]int{1: 10, 2: 20, 3: 30} {
		if count[port] != want {
			t.Errorf("target %d has %d, want %d", port, count[port], want)
		}
	}
	for _, p := range open {
		if p.Port == 2 {
			p.Done()
		}
	}
	for range 20 {
		p := pick(t, u, nil, nil)
		if p.Port != 2 {
			t.Fatalf("the idle target is 2, %d is picked", p.Port)
		}
		p.Start()
	}
}

// simulate sends requests from clients that each wait for their answer, for a while of
// simulated time, to targets that take so long; it returns how many each got.
func simulate(t *testing.T, algorithm string, clients int, weights []int, took func(port int, since time.Duration) time.Duration) []int {
	t.Helper()
	counts := make([]int, len(weights))
	length := time.Minute
	if clients > 100 {
		length = 10 * time.Second
	}
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t, &entity.Upstream{Algorithm: algorithm}, targets(weights...))
		began := time.Now()
		done := make(chan []int)
		for range clients {
			go func() {
				mine := make([]int, len(weights))
				for time.Since(began) < length {
					p, err := u.Pick(t.Context(), &pdk.Exchange{}, &balancer.Skip{})
					if err != nil {
						t.Error(err)
						break
					}
					p.Start()
					d := took(p.Port, time.Since(began))
					time.Sleep(d + rand.N(d/4+1))
					p.Observe(d, time.Now())
					p.Done()
					mine[p.Port-1]++
				}
				done <- mine
			}()
		}
		for range clients {
			for i, n := range <-done {
				counts[i] += n
			}
		}
	})
	return counts
}

// TestSlowTargets holds which share targets get that are slower than others.
func TestSlowTargets(t *testing.T) {
	ten := make([]int, 40)
	for i := range ten {
		ten[i] = 100
	}
	slowFirst := func(fast, slow time.Duration) func(int, time.Duration) time.Duration {
		return func(port int, _ time.Duration) time.Duration {
			if port == 1 {
				return slow
			}
			return fast
		}
	}
	share := func(counts []int, i int) float64 {
		all := 0
		for _, n := range counts {
			all += n
		}
		return float64(counts[i]) / float64(all)
	}
	for _, c := range []struct {
		name, algorithm string
		clients         int
		weights         []int
		took            func(int, time.Duration) time.Duration
		low, high       float64 // of the first target's share
	}{
		// With as many requests under way at each, shares are as the speeds: 1 of 1+10+10.
		{"least connections, ten times slower", "least-connections", 30, []int{100, 100, 100}, slowFirst(10*time.Millisecond, 100*time.Millisecond), 0.04, 0.06},
		{"least connections, equal", "least-connections", 30, []int{100, 100, 100}, slowFirst(10*time.Millisecond, 10*time.Millisecond), 0.32, 0.35},
		{"least connections, weights", "least-connections", 40, []int{300, 100}, slowFirst(10*time.Millisecond, 10*time.Millisecond), 0.73, 0.77},
		// One of 40, drawn in pairs: it has as many under way and is ten times slower.
		{"two choices, ten times slower", "least-connections", 400, ten, slowFirst(10*time.Millisecond, 100*time.Millisecond), 0.002, 0.006},
		// Its latency is weighed too: it gets less than by connections alone.
		{"latency, ten times slower", "latency", 30, []int{100, 100, 100}, slowFirst(10*time.Millisecond, 100*time.Millisecond), 0.001, 0.015},
		{"latency, equal", "latency", 30, []int{100, 100, 100}, slowFirst(10*time.Millisecond, 10*time.Millisecond), 0.25, 0.42},
		{"latency of many, ten times slower", "latency", 400, ten, slowFirst(10*time.Millisecond, 100*time.Millisecond), 0, 0.003},
		// It is slow for the first ten seconds only and must get its share back.
		{"latency, recovers", "latency", 30, []int{100, 100, 100}, func(port int, since time.Duration) time.Duration {
			if port == 1 && since < 10*time.Second {
				return 100 * time.Millisecond
			}
			return 10 * time.Millisecond
		}, 0.12, 0.33},
		{"round robin does not look", "round-robin", 30, []int{100, 100, 100}, slowFirst(10*time.Millisecond, 100*time.Millisecond), 0.333, 0.334},
	} {
		t.Run(c.name, func(t *testing.T) {
			counts := simulate(t, c.algorithm, c.clients, c.weights, c.took)
			if s := share(counts, 0); s < c.low || s > c.high {
				t.Errorf("the first target gets %.4f of all, want %v to %v: %v", s, c.low, c.high, counts)
			}
		})
	}
}
