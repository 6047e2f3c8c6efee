package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/dataplane/internal/counters"
	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/sketch"
)

const countedService, countedRoute = "00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000b1"

// countingGateway serves one route to an upstream, and counts.
func countingGateway(t testing.TB, set *counters.Set, url string, more ...schema.Object) *gateway {
	t.Helper()
	g := newGateway(t, func(o *proxy.Options) { o.Counters = set })
	g.serveCounted(url, more...)
	return g
}

func (g *gateway) serveCounted(url string, more ...schema.Object) {
	g.t.Helper()
	changes := g.changes("services", schema.Object{"id": countedService, "name": "s", "url": url, "retries": int64(0)})
	changes = append(changes, g.change("routes", schema.Object{
		"id": countedRoute, "name": "r", "paths": []any{"/r"}, "service": schema.Object{"id": countedService},
	}))
	g.serve(append(changes, g.changes("plugins", more...)...)...)
}

// taken returns what was counted since the last time.
func taken(set *counters.Set) map[counters.Key]counters.Delta {
	set.Cut()
	out := map[counters.Key]counters.Delta{}
	for _, s := range set.Slices(0, 1<<30) {
		for _, d := range s.Deltas {
			out[d.Key] = d
		}
		set.Confirm(s.Sequence)
	}
	return out
}

func TestCounting(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		if r.URL.Path == "/missing" {
			w.WriteHeader(404)
		}
		_, _ = io.WriteString(w, "hello")
	}))
	defer up.Close()
	set := counters.New(counters.Options{})
	g := countingGateway(t, set, up.URL, schema.Object{
		"name": "request-termination", "route": schema.Object{"id": countedRoute}, "config": schema.Object{"status_code": int64(418), "trigger": "stop"},
	})
	request := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" }
	key, none := counters.Key{Service: countedService, Route: countedRoute}, counters.Key{}
	for path, want := range map[string]int{"/r": 200, "/r/missing": 404, "/r?stop=1": 418, "/nowhere": 404} {
		if got := g.do(request(path)); got.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, got.StatusCode, want)
		}
	}
	g.do("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") // no request at all
	// The log phase comes after the answer.
	var got map[counters.Key]counters.Delta
	sum := map[counters.Key]map[uint32]uint32{}
	var route counters.Delta
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) && (sum[none][404] == 0 || sum[none][400] == 0 || len(sum[key]) < 3) {
		got = taken(set)
		for k, d := range got {
			if sum[k] == nil {
				sum[k] = map[uint32]uint32{}
			}
			for _, c := range d.Statuses {
				sum[k][c.Of] += c.N
			}
			if k == key {
				route.In += d.In
				route.Out += d.Out
				route.Upstream = append(route.Upstream, d.Upstream...)
				route.Gateway = append(route.Gateway, d.Gateway...)
			}
		}
		time.Sleep(time.Millisecond)
	}
	want := map[counters.Key]map[uint32]uint32{key: {200: 1, 404: 1, 418: 1}, none: {404: 1, 400: 1}}
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	calls := uint32(0)
	for _, c := range route.Upstream {
		calls += c.N
		if int(c.Of) < sketch.Bucket(20*time.Millisecond) {
			t.Errorf("the upstream took a latency of bucket %d", c.Of)
		}
	}
	if calls != 2 || route.In < 100 || route.Out < 300 {
		t.Errorf("%d calls, %d bytes in, %d out", calls, route.In, route.Out)
	}

	// An upstream that can't be reached; the counters outlive the plan.
	up.Close()
	g.serveCounted("http://127.0.0.1:1")
	if got := g.do(request("/r")); got.StatusCode != 502 {
		t.Errorf("without upstream: %d", got.StatusCode)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if d := taken(set)[key]; d.Failed == 1 && len(d.Statuses) == 1 && d.Statuses[0] == (counters.Count{Of: 502, N: 1}) {
			break
		} else if d.Statuses != nil || time.Now().After(deadline) {
			t.Fatalf("counted %+v", d)
		}
	}
}

// flatUpstream answers each request on a connection without allocating.
func flatUpstream(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				buf, answer := make([]byte, 16<<10), []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: application/octet-stream\r\n\r\nhello")
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// keepAlive returns a function that sends a request on one connection and reads the answer.
func (g *gateway) keepAlive() func() {
	g.t.Helper()
	c, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = c.Close() })
	text, answer := []byte("GET /r HTTP/1.1\r\nHost: h\r\n\r\n"), make([]byte, 4096)
	return func() {
		if _, err := c.Write(text); err != nil {
			g.t.Fatal(err)
		}
		if n, err := c.Read(answer); err != nil || string(answer[:12]) != "HTTP/1.1 200" {
			g.t.Fatalf("%v: %s", err, answer[:n])
		}
	}
}

// BenchmarkCounting is a request from the client's socket and back, without and with
// counting; compare the CPU time of the two.
func BenchmarkCounting(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprint(with), func(b *testing.B) {
			var set *counters.Set
			if with {
				set = counters.New(counters.Options{})
			}
			g := countingGateway(b, set, flatUpstream(b))
			once := g.keepAlive()
			b.ReportAllocs()
			for b.Loop() {
				once()
			}
		})
	}
}
