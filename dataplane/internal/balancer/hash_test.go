package balancer_test

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

const keys = 20_000

// hashed returns where each of many paths goes.
func hashed(t *testing.T, u picker) map[string]string {
	t.Helper()
	out := map[string]string{}
	x := &pdk.Exchange{}
	for i := range keys {
		x.Request.Path = fmt.Sprint("/path/", i)
		out[x.Request.Path] = pick(t, u, x, nil).Address
	}
	return out
}

// TestHashingIsStable holds that a change of targets or weights moves only keys that
// must, and no more than their share: at most one n-th, but for the dice.
func TestHashingIsStable(t *testing.T) {
	e := func() *entity.Upstream { return &entity.Upstream{Algorithm: "consistent-hashing", HashOn: "path"} }
	for _, c := range []struct {
		name          string
		before, after []int
		// share of keys that moves; to or from is the only target that they move to or from.
		share    float64
		to, from int
	}{
		{"a fifth target", []int{1, 1, 1, 1}, []int{1, 1, 1, 1, 1}, 1.0 / 5, 5, 0},
		{"one of five goes", []int{1, 1, 1, 1, 1}, []int{1, 1, 1, 1}, 1.0 / 5, 0, 5},
		{"one is drained", []int{100, 100, 100}, []int{100, 0, 100}, 1.0 / 3, 0, 2},
		{"a heavier one comes", []int{100, 100}, []int{100, 100, 200}, 1.0 / 2, 3, 0},
		{"a weight grows", []int{100, 100, 100}, []int{100, 100, 300}, 3.0/5 - 1.0/3, 3, 0},
		{"a weight shrinks", []int{100, 300}, []int{100, 100}, 3.0/4 - 1.0/2, 0, 2},
		{"all weights are doubled", []int{10, 30, 20}, []int{20, 60, 40}, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newUpstream(t, e(), targets(c.before...))
			before := hashed(t, u)
			u.change(targets(c.after...))
			moved := 0
			for path, now := range hashed(t, u) {
				was := before[path]
				if now == was {
					continue
				}
				moved++
				if c.to > 0 && !strings.HasSuffix(now, fmt.Sprint(":", c.to)) || c.from > 0 && !strings.HasSuffix(was, fmt.Sprint(":", c.from)) {
					t.Fatalf("%s moves from %s to %s", path, was, now)
				}
			}
			if !near(moved, int(c.share*keys), keys, 0.012) {
				t.Errorf("%d of %d keys move, want about %.0f", moved, keys, c.share*keys)
			}
		})
	}
}

// TestHashingLends holds that a target that is down lends its keys out and gets the same
// ones back.
func TestHashingLends(t *testing.T) {
	u := newUpstream(t, &entity.Upstream{Algorithm: "consistent-hashing", HashOn: "path"}, targets(100, 100, 50, 100))
	before := hashed(t, u)
	u.mark("t2", false)
	others := map[string]int{}
	for path, now := range hashed(t, u) {
		was := before[path]
		if was != "10.0.0.1:2" && now != was || now == "10.0.0.1:2" {
			t.Fatalf("with a target down %s moves from %s to %s", path, was, now)
		}
		if was != now {
			others[now]++
		}
	}
	if len(others) != 3 {
		t.Errorf("its keys go to %v", others)
	}
	// A retry of a request goes where its key would be without the first target.
	for path, was := range before {
		if was == "10.0.0.1:2" {
			x, skip := &pdk.Exchange{}, &balancer.Skip{}
			x.Request.Path = path
			without := pick(t, u, x, nil)
			u.mark("t2", true)
			skip.Add(pick(t, u, x, skip))
			if p := pick(t, u, x, skip); p.Address != without.Address {
				t.Errorf("a retry goes to %s, not %s", p.Address, without.Address)
			}
			break
		}
	}
	for path, now := range hashed(t, u) {
		if now != before[path] {
			t.Fatalf("%s did not come back", path)
		}
	}
}

// TestHashKeys holds what requests are hashed on, and the fallback.
func TestHashKeys(t *testing.T) {
	header := func(name string, values ...string) func(x *pdk.Exchange) {
		return func(x *pdk.Exchange) {
			for _, v := range values {
				x.Request.Header.Add(name, v)
			}
		}
	}
	query := func(q string) func(x *pdk.Exchange) { return func(x *pdk.Exchange) { x.Request.RawQuery = q } }
	for _, c := range []struct {
		name     string
		upstream entity.Upstream
		// with is a request with the property, same another one with it, other one with
		// another value.
		with, same, other func(x *pdk.Exchange)
	}{
		{"consumer", entity.Upstream{HashOn: "consumer"}, func(x *pdk.Exchange) { x.Consumer = &entity.Consumer{ID: "c"} }, func(x *pdk.Exchange) { x.Consumer, x.Credential.ID = &entity.Consumer{ID: "c"}, "k" }, func(x *pdk.Exchange) { x.Consumer = &entity.Consumer{ID: "d"} }},
		{"credential", entity.Upstream{HashOn: "consumer"}, func(x *pdk.Exchange) { x.Credential.ID = "c" }, nil, func(x *pdk.Exchange) { x.Credential.ID = "d" }},
		{
			"ip",
			entity.Upstream{HashOn: "ip"},
			func(x *pdk.Exchange) { x.Request.Client = netip.MustParseAddrPort("10.1.1.1:1") }, func(x *pdk.Exchange) { x.Request.Client = netip.MustParseAddrPort("[::ffff:10.1.1.1]:99") }, func(x *pdk.Exchange) { x.Request.Client = netip.MustParseAddrPort("10.1.1.9:1") },
		},
		{"header", entity.Upstream{HashOn: "header", HashOnHeader: "x-k"}, header("X-K", "a, b"), header("x-k", "a", "b"), header("X-K", "c")},
		{"path", entity.Upstream{HashOn: "path"}, func(x *pdk.Exchange) { x.Request.Path = "/a" }, nil, func(x *pdk.Exchange) { x.Request.Path = "/b" }},
		{"query", entity.Upstream{HashOn: "query_arg", HashOnQueryArg: "k"}, query("a=1&k=v&k=w"), query("k=w&b=2&k=v"), query("k=w")},
		{
			"capture",
			entity.Upstream{HashOn: "uri_capture", HashOnURICapture: "id"},
			func(x *pdk.Exchange) { x.Captures.Names, x.Captures.Values = []string{"", "id"}, []string{"/a", "a"} }, nil, func(x *pdk.Exchange) { x.Captures.Names, x.Captures.Values = []string{"", "id"}, []string{"/e", "e"} },
		},
		{
			"capture by number",
			entity.Upstream{HashOn: "uri_capture", HashOnURICapture: "1"},
			func(x *pdk.Exchange) { x.Captures.Values = []string{"/a", "a"} }, nil, func(x *pdk.Exchange) { x.Captures.Values = []string{"/e", "e"} },
		},
		{"cookie", entity.Upstream{HashOn: "cookie", HashOnCookie: "ck", HashOnCookiePath: "/"}, header("Cookie", "a=b; ck=v"), header("Cookie", "ck=v"), header("Cookie", "ck=w")},
		{"fallback", entity.Upstream{HashOn: "header", HashOnHeader: "x-k", HashFallback: "path"}, func(x *pdk.Exchange) { x.Request.Path = "/a" }, nil, func(x *pdk.Exchange) { x.Request.Path = "/b" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.upstream.Algorithm = "consistent-hashing"
			var many []int
			for range 200 {
				many = append(many, 10)
			}
			u := newUpstream(t, &c.upstream, targets(many...))
			at := func(set func(x *pdk.Exchange)) string {
				x := &pdk.Exchange{}
				if set != nil {
					set(x)
				}
				return pick(t, u, x, nil).Address
			}
			first := at(c.with)
			if c.same == nil {
				c.same = c.with
			}
			for range 5 {
				if again := at(c.same); again != first {
					t.Errorf("an equal request goes to %s, not %s", again, first)
				}
			}
			if at(c.other) == first {
				t.Error("another value goes to the same target of 200")
			}
			nothing := map[string]bool{}
			for range 20 {
				nothing[at(nil)] = true
			}
			if spread := c.name != "path" && c.name != "fallback"; spread != (len(nothing) > 1) {
				t.Errorf("requests without the property go to %d targets", len(nothing))
			}
		})
	}
}

func TestHashCookie(t *testing.T) {
	u := newUpstream(t, &entity.Upstream{
		Algorithm: "consistent-hashing", HashOn: "cookie", HashOnCookie: "ck", HashOnCookiePath: "/p",
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

// TestStickySessions holds that a client stays where its cookie says, on every node, that
// a cookie which was tampered with or names a target that is away gets a new one.
func TestStickySessions(t *testing.T) {
	e := func() *entity.Upstream {
		return &entity.Upstream{Algorithm: "sticky-sessions", StickySessionsCookie: "sc", StickySessionsCookiePath: "/app"}
	}
	node := func(secret string) *fixture {
		b := newBalancer(t, balancer.Options{})
		b.SignCookies(secret)
		return on(b, e(), targets(1, 1, 1, 1))
	}
	u, other, stranger := node("one"), node("one"), node("two")
	ask := func(u *fixture, cookie string, skip *balancer.Skip) (port int, set string) {
		x := &pdk.Exchange{}
		x.Request.ForwardedProto = "https"
		if cookie != "" {
			x.Request.Header.Add("Cookie", "x=y; sc="+cookie)
		}
		p := pick(t, u, x, skip)
		if x.HashCookieLine == "" {
			return p.Port, ""
		}
		value, rest, _ := strings.Cut(strings.TrimPrefix(x.HashCookieLine, "sc="), "; ")
		if rest != "Path=/app; HttpOnly; SameSite=Lax; Secure" {
			t.Errorf("the cookie is %s", x.HashCookieLine)
		}
		return p.Port, value
	}
	port, cookie := ask(u, "", nil)
	if cookie == "" || strings.Contains(cookie, "10.0.0") {
		t.Fatalf("the cookie is %q", cookie)
	}
	for _, n := range []*fixture{u, other} {
		for range 10 {
			if p, set := ask(n, cookie, nil); p != port || set != "" {
				t.Fatalf("a client of %d goes to %d and gets %q", port, p, set)
			}
		}
	}
	for name, bad := range map[string]string{"cut": cookie[:len(cookie)-1], "other": "A" + cookie[1:], "nonsense": "!", "long": strings.Repeat("A", 5000)} {
		if _, set := ask(u, bad, nil); set == "" {
			t.Errorf("%s: a cookie that was not signed here is taken", name)
		}
	}
	if _, set := ask(stranger, cookie, nil); set == "" {
		t.Error("a cookie of another cluster is taken")
	}
	u.mark(fmt.Sprint("t", port), false)
	moved, next := ask(u, cookie, nil)
	if moved == port || next == "" {
		t.Fatalf("a target that is down: goes to %d, gets %q", moved, next)
	}
	if p, set := ask(u, next, nil); p != moved || set != "" {
		t.Errorf("the new cookie leads to %d, not %d", p, moved)
	}
	u.mark(fmt.Sprint("t", port), true)
	x, skip := &pdk.Exchange{}, &balancer.Skip{}
	x.Request.Header.Add("Cookie", "sc="+cookie)
	first := pick(t, u, x, skip)
	skip.Add(first)
	if p := pick(t, u, x, skip); p.Port == first.Port || !strings.HasPrefix(x.HashCookieLine, "sc=") {
		t.Errorf("a retry goes to %d and the client gets %q", p.Port, x.HashCookieLine)
	}
	own := e()
	own.StickySessionsKey = "a key of sixteen characters"
	if _, set := ask(on(newBalancer(t, balancer.Options{}), own, targets(1, 1, 1, 1)), cookie, nil); set == "" {
		t.Error("with an own key the cluster's cookie is taken")
	}
}

// TestBelow holds the fast logarithm to the exact one, and that it never turns round.
func TestBelow(t *testing.T) {
	check := func(v uint64) {
		want := 64 - math.Log2(float64(v)+1)
		if got := balancer.Below(v); math.Abs(got-want) > 3e-6 {
			t.Fatalf("%d is %v below, want %v", v, got, want)
		}
	}
	for shift := range 64 {
		for _, v := range []uint64{1 << shift, 1<<shift + 1<<shift/2, 1<<shift - 1} {
			if v > 1<<20 { // below that, what is added to keep zero out shows
				check(v)
			}
		}
	}
	last := math.Inf(1)
	for i := range uint64(100_000) {
		v := i * (math.MaxUint64 / 100_000)
		if v > 1<<20 {
			check(v)
		}
		got := balancer.Below(v)
		if got > last || got < 0 {
			t.Fatalf("%d is %v below, after %v", v, got, last)
		}
		last = got
	}
}
