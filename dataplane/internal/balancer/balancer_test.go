package balancer_test

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/resolver"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newBalancer makes one whose names are asked for at these servers, at none when there
// are none.
func newBalancer(t testing.TB, o balancer.Options, servers ...string) *balancer.Balancer {
	t.Helper()
	r, err := resolver.New(resolver.Options{Servers: servers, ResolvConf: filepath.Join(t.TempDir(), "none")})
	if err != nil {
		t.Fatal(err)
	}
	o.Resolver = r
	b := balancer.New(o)
	t.Cleanup(func() {
		b.Close()
		r.Close()
	})
	return b
}

// targets on ports 1, 2 and so on with these weights.
func targets(weights ...int) []*entity.Target {
	var out []*entity.Target
	for i, w := range weights {
		out = append(out, &entity.Target{ID: fmt.Sprint("t", i+1), Target: fmt.Sprintf("10.0.0.1:%d", i+1), Weight: w})
	}
	return out
}

// fixture is an upstream whose targets are marked by hand.
type fixture struct {
	*balancer.Upstream
	b       *balancer.Balancer
	e       *entity.Upstream
	targets []*entity.Target
	marks   map[string]*entity.TargetMark
	marked  int64
}

func newUpstream(t testing.TB, e *entity.Upstream, list []*entity.Target) *fixture {
	t.Helper()
	return on(newBalancer(t, balancer.Options{}), e, list)
}

func on(b *balancer.Balancer, e *entity.Upstream, list []*entity.Target) *fixture {
	if e.ID == "" {
		e.ID = "u"
	}
	return &fixture{Upstream: b.Upstream(e, list, nil), b: b, e: e, targets: list, marks: map[string]*entity.TargetMark{}, marked: 1_800_000_000_000}
}

// change makes the next view.
func (f *fixture) change(list []*entity.Target) {
	f.targets = list
	var marks []*entity.TargetMark
	for _, m := range f.marks {
		marks = append(marks, m)
	}
	old := f.Upstream
	f.Upstream = f.b.Upstream(f.e, list, marks)
	f.b.Drop(old)
}

// mark sets the health of a target by hand.
func (f *fixture) mark(target string, healthy bool) {
	f.marked++
	f.marks[target] = &entity.TargetMark{ID: "m" + target, Target: &entity.Ref{ID: target}, Healthy: healthy, At: f.marked}
	f.change(f.targets)
}

type picker interface {
	Pick(ctx ctx, x *pdk.Exchange, skip *balancer.Skip) (balancer.Peer, error)
}

func pick(t testing.TB, u picker, x *pdk.Exchange, skip *balancer.Skip) balancer.Peer {
	t.Helper()
	if x == nil {
		x = &pdk.Exchange{}
	}
	if skip == nil {
		skip = &balancer.Skip{}
	}
	p, err := u.Pick(t.Context(), x, skip)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var algorithms = []string{"round-robin", "least-connections", "latency", "consistent-hashing", "sticky-sessions"}

// TestNowhereToGo holds what upstreams without a usable target answer.
func TestNowhereToGo(t *testing.T) {
	for _, a := range algorithms {
		for name, weights := range map[string][]int{"none": nil, "weight 0": {0, 0}} {
			u := newUpstream(t, &entity.Upstream{Algorithm: a, HashOn: "path", StickySessionsCookie: "c"}, targets(weights...))
			if _, err := u.Pick(t.Context(), &pdk.Exchange{}, &balancer.Skip{}); !errors.Is(err, balancer.ErrNoPeer) {
				t.Errorf("%s, %s: %v", a, name, err)
			}
		}
	}
}

// TestSkipping holds that a retry goes to another target until all were tried, and that
// targets which are down or have no weight get nothing.
func TestSkipping(t *testing.T) {
	for _, a := range algorithms {
		t.Run(a, func(t *testing.T) {
			u := newUpstream(t, &entity.Upstream{Algorithm: a, HashOn: "path", StickySessionsCookie: "c"}, targets(100, 1, 50, 0, 10))
			u.mark("t5", false)
			x := &pdk.Exchange{}
			for i := range 60 {
				x.Request.Path = fmt.Sprint("/", i)
				skip, seen := &balancer.Skip{}, map[int]bool{}
				for range 3 {
					p := pick(t, u, x, skip)
					if seen[p.Port] || p.Port > 3 {
						t.Fatalf("request %d goes to %d after %v", i, p.Port, seen)
					}
					seen[p.Port] = true
					skip.Add(p)
				}
				// All were tried: it starts over.
				if p := pick(t, u, x, skip); p.Port > 3 {
					t.Fatalf("it goes to %d", p.Port)
				}
			}
			for _, id := range []string{"t1", "t2", "t3"} {
				u.mark(id, false)
			}
			if _, err := u.Pick(t.Context(), x, &balancer.Skip{}); !errors.Is(err, balancer.ErrNoPeer) {
				t.Errorf("with all targets down: %v", err)
			}
			u.mark("t2", true)
			if p := pick(t, u, x, nil); p.Port != 2 {
				t.Errorf("the one that came back does not serve but %d", p.Port)
			}
		})
	}
}

// TestMoreTriesThanRemembered holds that a request with very many retries ends.
func TestMoreTriesThanRemembered(t *testing.T) {
	for _, a := range algorithms {
		var weights []int
		for range 40 {
			weights = append(weights, 7)
		}
		u := newUpstream(t, &entity.Upstream{Algorithm: a, HashOn: "path", StickySessionsCookie: "c"}, targets(weights...))
		skip := &balancer.Skip{}
		for range 100 {
			skip.Add(pick(t, u, nil, skip))
		}
	}
}

// TestDirect holds that hosts which are no upstream are called as they are.
func TestDirect(t *testing.T) {
	b := newBalancer(t, balancer.Options{})
	for host, want := range map[string]string{"10.1.2.3": "10.1.2.3:80", "::1": "[::1]:80", "[::1]": "[::1]:80"} {
		p, err := b.Direct(t.Context(), host, 80)
		if err != nil || p.Address != want || p.Host != host || p.Port != 80 {
			t.Errorf("%s: %+v, %v", host, p, err)
		}
		p.Start()
		p.Report(balancer.Failed, 0)
		p.Done()
	}
	if _, err := b.Direct(t.Context(), "name.test", 80); !errors.Is(err, balancer.ErrResolve) {
		t.Errorf("a name that nobody knows: %v", err)
	}
}

func TestSplitTarget(t *testing.T) {
	for in, want := range map[string]struct {
		host string
		port int
	}{"a:1": {"a", 1}, "a": {"a", 8000}, "[::1]:2": {"[::1]", 2}, "[::1]": {"[::1]", 8000}, "10.0.0.1:80": {"10.0.0.1", 80}} {
		if host, port := balancer.SplitTarget(in); host != want.host || port != want.port {
			t.Errorf("%s: %s, %d", in, host, port)
		}
	}
}

// near tells whether a count is within a share of all that is wanted.
func near(got, want, all int, share float64) bool {
	return math.Abs(float64(got-want)) <= share*float64(all)
}
