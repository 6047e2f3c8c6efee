package balancer_test

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newBalancer(t testing.TB, o balancer.Options) *balancer.Balancer {
	t.Helper()
	b := balancer.New(o)
	t.Cleanup(b.Close)
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

func pick(t testing.TB, u *balancer.Upstream, x *pdk.Exchange, skip *balancer.Skip) balancer.Peer {
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

// TestWeights holds that each round gives every target exactly its share.
func TestWeights(t *testing.T) {
	for _, weights := range [][]int{{1}, {100, 100}, {1, 2, 3}, {100, 50, 0, 25}, {7, 3}, {0, 5}, {65535, 65534}, {1, 65535}} {
		b := newBalancer(t, balancer.Options{})
		u := b.Upstream(&entity.Upstream{ID: "u", Name: "u", Algorithm: "round-robin"}, targets(weights...))
		sum, divisor := 0, 0
		for _, w := range weights {
			sum += w
			for a, c := divisor, w; ; a, c = c, a%c {
				if c == 0 {
					divisor = a
					break
				}
			}
		}
		round := sum / divisor
		exact := round < 10000
		if !exact {
			round = 50000
		}
		for range 3 {
			got := make([]int, len(weights))
			for range round {
				got[pick(t, u, nil, nil).Port-1]++
			}
			for i, w := range weights {
				want := float64(w) * float64(round) / float64(sum)
				if exact && got[i] != int(want) || math.Abs(float64(got[i])-want) > 0.01*float64(round) || w > 0 && got[i] == 0 {
					t.Errorf("weights %v: in a round target %d got %d of %d, want %v", weights, i+1, got[i], round, want)
				}
			}
		}
		b.Drop(u)
	}
}

// TestRoundsAreSpread holds that a heavy target does not get its requests in one go.
func TestRoundsAreSpread(t *testing.T) {
	u := newBalancer(t, balancer.Options{}).Upstream(&entity.Upstream{ID: "u"}, targets(2, 1))
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

var algorithms = []string{"round-robin", "least-connections", "latency", "consistent-hashing"}

// TestNowhereToGo holds what upstreams without a usable target answer.
func TestNowhereToGo(t *testing.T) {
	for _, a := range algorithms {
		for name, weights := range map[string][]int{"none": nil, "weight 0": {0, 0}} {
			u := newBalancer(t, balancer.Options{}).Upstream(&entity.Upstream{ID: "u", Algorithm: a, HashOn: "path"}, targets(weights...))
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
			u := newBalancer(t, balancer.Options{}).Upstream(&entity.Upstream{ID: "u", Algorithm: a, HashOn: "path"}, targets(100, 1, 50, 0, 10))
			u.Mark("t5", false)
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
				u.Mark(id, false)
			}
			if _, err := u.Pick(t.Context(), x, &balancer.Skip{}); !errors.Is(err, balancer.ErrNoPeer) {
				t.Errorf("with all targets down: %v", err)
			}
			u.Mark("10.0.0.1:2", true)
			if p := pick(t, u, x, nil); p.Port != 2 {
				t.Errorf("the one that came back does not serve but %d", p.Port)
			}
		})
	}
}

// TestLeastConnections holds that requests under way fill targets by weight, over views.
func TestLeastConnections(t *testing.T) {
	b := newBalancer(t, balancer.Options{})
	e := &entity.Upstream{ID: "u", Algorithm: "least-connections"}
	u := b.Upstream(e, targets(1, 2, 3))
	var open []balancer.Peer
	count := map[int]int{}
	for i := range 60 {
		if i == 30 {
			next := b.Upstream(e, targets(1, 2, 3))
			b.Drop(u)
			u = next
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
			p.Done(time.Millisecond)
		}
	}
	for range 20 {
		if p := pick(t, u, nil, nil); p.Port != 2 {
			t.Fatalf("the idle target is 2, %d is picked", p.Port)
		} else {
			p.Start()
		}
	}
}

// TestLatency holds that the faster target gets the requests.
func TestLatency(t *testing.T) {
	u := newBalancer(t, balancer.Options{}).Upstream(&entity.Upstream{ID: "u", Algorithm: "latency"}, targets(100, 100))
	for _, p := range []balancer.Peer{peer(t, u, 1), peer(t, u, 2)} {
		p.Start()
		p.Done(time.Duration(p.Port) * 10 * time.Millisecond)
	}
	for range 20 {
		if p := pick(t, u, nil, nil); p.Port != 1 {
			t.Fatalf("the slower target %d is picked", p.Port)
		}
	}
}

// peer picks until it is the one of a port.
func peer(t testing.TB, u *balancer.Upstream, port int) balancer.Peer {
	t.Helper()
	for range 1000 {
		if p := pick(t, u, nil, nil); p.Port == port {
			return p
		}
	}
	t.Fatalf("target %d is never picked", port)
	return balancer.Peer{}
}

// hashed returns where each of many paths goes.
func hashed(t *testing.T, u *balancer.Upstream) map[string]string {
	t.Helper()
	out := map[string]string{}
	x := &pdk.Exchange{}
	for i := range 5000 {
		x.Request.Path = fmt.Sprint("/path/", i)
		out[x.Request.Path] = pick(t, u, x, nil).Address
	}
	return out
}

// TestHashingIsStable holds that a change of targets moves only what it must.
func TestHashingIsStable(t *testing.T) {
	b := newBalancer(t, balancer.Options{})
	e := &entity.Upstream{ID: "u", Algorithm: "consistent-hashing", HashOn: "path"}
	four, five := hashed(t, b.Upstream(e, targets(100, 100, 100, 100))), hashed(t, b.Upstream(e, targets(100, 100, 100, 100, 100)))
	moved, count := 0, map[string]int{}
	for path, was := range four {
		count[was]++
		if now := five[path]; now != was {
			moved++
			if now != "10.0.0.1:5" {
				t.Fatalf("%s moves from %s to %s, which was there before", path, was, now)
			}
		}
	}
	if moved < 700 || moved > 1300 {
		t.Errorf("%d of 5000 keys move to the fifth target, want about 1000", moved)
	}
	for address, n := range count {
		if n < 900 || n > 1600 {
			t.Errorf("%s has %d of 5000 keys, want about 1250", address, n)
		}
	}
	// A target that is down lends its keys out, and gets the same ones back.
	u := b.Upstream(e, targets(100, 100, 100, 100))
	u.Mark("t2", false)
	for path, now := range hashed(t, u) {
		if was := four[path]; was != "10.0.0.1:2" && now != was || now == "10.0.0.1:2" {
			t.Fatalf("with a target down %s moves from %s to %s", path, was, now)
		}
	}
	u.Mark("t2", true)
	for path, now := range hashed(t, u) {
		if now != four[path] {
			t.Fatalf("%s did not come back", path)
		}
	}
	// Weights count.
	count = map[string]int{}
	for _, address := range hashed(t, b.Upstream(e, targets(300, 100))) {
		count[address]++
	}
	if n := count["10.0.0.1:1"]; n < 3400 || n > 4100 {
		t.Errorf("the target of weight 300 has %d of 5000 keys, want about 3750", n)
	}
}

// TestHashKeys holds what requests are hashed on, and the fallback.
func TestHashKeys(t *testing.T) {
	for _, c := range []struct {
		name     string
		upstream entity.Upstream
		// with is a request with the property, other one with another value.
		with, other func(x *pdk.Exchange)
	}{
		{"consumer", entity.Upstream{HashOn: "consumer"}, func(x *pdk.Exchange) { x.Consumer = &entity.Consumer{ID: "c"} }, func(x *pdk.Exchange) { x.Consumer = &entity.Consumer{ID: "d"} }},
		{"credential", entity.Upstream{HashOn: "consumer"}, func(x *pdk.Exchange) { x.Credential.ID = "c" }, func(x *pdk.Exchange) { x.Credential.ID = "d" }},
		{
			"ip",
			entity.Upstream{HashOn: "ip"},
			func(x *pdk.Exchange) { x.Request.Client = netip.MustParseAddrPort("10.1.1.1:1") }, func(x *pdk.Exchange) { x.Request.Client = netip.MustParseAddrPort("10.1.1.9:1") },
		},
		{"header", entity.Upstream{HashOn: "header", HashOnHeader: "x-k"}, func(x *pdk.Exchange) { x.Request.Header.Add("X-K", "a") }, func(x *pdk.Exchange) { x.Request.Header.Add("X-K", "c") }},
		{"path", entity.Upstream{HashOn: "path"}, func(x *pdk.Exchange) { x.Request.Path = "/a" }, func(x *pdk.Exchange) { x.Request.Path = "/b" }},
		{"query", entity.Upstream{HashOn: "query_arg", HashOnQueryArg: "k"}, func(x *pdk.Exchange) { x.Request.RawQuery = "a=1&k=v" }, func(x *pdk.Exchange) { x.Request.RawQuery = "a=1&k=w" }},
		{
			"capture",
			entity.Upstream{HashOn: "uri_capture", HashOnURICapture: "id"},
			func(x *pdk.Exchange) { x.Captures.Names, x.Captures.Values = []string{"", "id"}, []string{"/a", "a"} }, func(x *pdk.Exchange) { x.Captures.Names, x.Captures.Values = []string{"", "id"}, []string{"/e", "e"} },
		},
		{"cookie", entity.Upstream{HashOn: "cookie", HashOnCookie: "ck", HashOnCookiePath: "/"}, func(x *pdk.Exchange) { x.Request.Header.Add("Cookie", "a=b; ck=v") }, func(x *pdk.Exchange) { x.Request.Header.Add("Cookie", "ck=w") }},
		{"fallback", entity.Upstream{HashOn: "header", HashOnHeader: "x-k", HashFallback: "path"}, func(x *pdk.Exchange) { x.Request.Path = "/a" }, func(x *pdk.Exchange) { x.Request.Path = "/b" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.upstream.ID, c.upstream.Algorithm = "u", "consistent-hashing"
			var many []int
			for range 200 {
				many = append(many, 10)
			}
			u := newBalancer(t, balancer.Options{}).Upstream(&c.upstream, targets(many...))
			at := func(set func(x *pdk.Exchange)) string {
				x := &pdk.Exchange{}
				set(x)
				return pick(t, u, x, nil).Address
			}
			first := at(c.with)
			for range 5 {
				if again := at(c.with); again != first {
					t.Errorf("an equal request goes to %s, not %s", again, first)
				}
			}
			if at(c.other) == first {
				t.Error("another value goes to the same target of 200")
			}
			nothing := map[string]bool{}
			for range 20 {
				nothing[at(func(*pdk.Exchange) {})] = true
			}
			if spread := c.name != "path" && c.name != "fallback"; spread != (len(nothing) > 1) {
				t.Errorf("requests without the property go to %d targets", len(nothing))
			}
		})
	}
}

func TestHashCookie(t *testing.T) {
	u := newBalancer(t, balancer.Options{}).Upstream(&entity.Upstream{
		ID: "u", Algorithm: "consistent-hashing", HashOn: "cookie", HashOnCookie: "ck", HashOnCookiePath: "/p",
	}, targets(1, 1, 1, 1, 1))
	x := &pdk.Exchange{}
	first := pick(t, u, x, nil).Address
	if want := "ck=" + x.HashCookie + "; Path=/p; Same-Site=Lax; HttpOnly"; x.HashCookieLine != want || len(x.HashCookie) != 36 {
		t.Errorf("the cookie is %q, want %q", x.HashCookieLine, want)
	}
	again := &pdk.Exchange{}
	again.Request.Header.Add("Cookie", "ck="+x.HashCookie)
	if got := pick(t, u, again, nil).Address; got != first || again.HashCookieLine != "" {
		t.Errorf("the cookie leads to %s, not %s, and %q is set", got, first, again.HashCookieLine)
	}
}

// TestPicksAllocateNothing for the algorithms that look at nothing of the request.
func TestPicksAllocateNothing(t *testing.T) {
	for _, a := range []string{"round-robin", "least-connections", "latency"} {
		u := newBalancer(t, balancer.Options{}).Upstream(&entity.Upstream{ID: "u", Algorithm: a}, targets(100, 100, 50))
		x, skip := &pdk.Exchange{}, &balancer.Skip{}
		if n := testing.AllocsPerRun(200, func() {
			p, _ := u.Pick(t.Context(), x, skip)
			p.Start()
			p.Done(time.Millisecond)
		}); n > 0 {
			t.Errorf("%s: %v allocations", a, n)
		}
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
