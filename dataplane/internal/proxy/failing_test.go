package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const (
	serviceID  = "00000001-0000-4000-8000-000000000001"
	routeID    = "00000001-0000-4000-8000-000000000002"
	upstreamID = "00000001-0000-4000-8000-000000000003"
)

// failing is a server that answers well, or fails in a way.
type failing struct {
	net.Listener

	mode  atomic.Value // of strings
	calls atomic.Int64

	mu   sync.Mutex
	dead bool
	open map[net.Conn]struct{}
	work sync.WaitGroup
}

// newFailing starts a server with a mode: ok, 500, hang, reset, slow or flap.
func newFailing(t testing.TB, mode string) *failing {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &failing{Listener: l, open: map[net.Conn]struct{}{}}
	f.mode.Store(mode)
	f.work.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			if f.dead { // it was accepted while the others were cut
				_ = nc.Close()
			}
			f.open[nc] = struct{}{}
			f.mu.Unlock()
			f.work.Go(func() {
				f.serve(nc)
				f.mu.Lock()
				delete(f.open, nc)
				f.mu.Unlock()
			})
		}
	})
	t.Cleanup(f.kill)
	return f
}

// kill closes the listener and cuts all connections, as a process that dies.
func (f *failing) kill() {
	_ = f.Close()
	f.mu.Lock()
	f.dead = true
	for nc := range f.open {
		if tcp, ok := nc.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = nc.Close()
	}
	f.mu.Unlock()
	f.work.Wait()
}

func (f *failing) address() string { return f.Addr().String() }

func (f *failing) serve(nc net.Conn) {
	defer func() { _ = nc.Close() }()
	r := bufio.NewReader(nc)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		mode, _ := f.mode.Load().(string)
		n := f.calls.Add(1)
		if mode == "flap" {
			if mode = "ok"; n%20 < 10 {
				mode = "reset"
			}
		}
		switch mode {
		case "hang":
			_, _ = r.ReadByte() // until the connection ends
			return
		case "reset":
			if tcp, ok := nc.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			return
		case "slow":
			time.Sleep(60 * time.Millisecond)
		}
		status := 200
		if mode == "500" {
			status = 500
		}
		if _, err := fmt.Fprintf(nc, "HTTP/1.1 %d X\r\nContent-Length: 2\r\nX-Target: %s\r\n\r\nok", status, f.address()); err != nil {
			return
		}
	}
}

// balanced serves /: a service with these fields over an upstream of targets, and further
// changes of the configuration.
func (g *gateway) balanced(service, upstream schema.Object, addresses []string, plugins ...schema.Object) {
	g.t.Helper()
	s := schema.Object{"id": serviceID, "host": "up.test", "connect_timeout": 300, "read_timeout": 300, "write_timeout": 300}
	maps.Copy(s, service)
	u := schema.Object{"id": upstreamID, "name": "up.test"}
	maps.Copy(u, upstream)
	changes := []config.Change{
		g.change("services", s), g.change("routes", schema.Object{"id": routeID, "paths": []any{"/"}, "service": schema.Object{"id": serviceID}}),
		g.change("upstreams", u),
	}
	for i, a := range addresses {
		changes = append(changes, g.change("targets", schema.Object{
			"id": fmt.Sprintf("00000002-0000-4000-8000-%012d", i), "target": a, "upstream": schema.Object{"id": upstreamID},
		}))
	}
	for i, p := range plugins {
		p["id"] = fmt.Sprintf("00000003-0000-4000-8000-%012d", i)
		changes = append(changes, g.change("plugins", p))
	}
	g.serve(changes...)
}

// passiveChecks are on, with small limits.
func passiveChecks() schema.Object {
	return schema.Object{"healthchecks": schema.Object{"passive": schema.Object{
		"healthy": schema.Object{"successes": 1}, "unhealthy": schema.Object{"http_failures": 3, "tcp_failures": 2, "timeouts": 2},
	}}}
}

// load sends requests from so many clients until each has sent its part, and counts the
// failed ones.
func (g *gateway) load(method string, clients, each int, between func(sent int64)) (failed int64) {
	g.t.Helper()
	var sent, bad atomic.Int64
	var wait sync.WaitGroup
	for range clients {
		wait.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
			defer client.CloseIdleConnections()
			for range each {
				var body io.Reader
				if method == "POST" {
					body = strings.NewReader("some body")
				}
				req, err := http.NewRequestWithContext(g.t.Context(), method, "http://"+g.address+"/x", body)
				if err != nil {
					g.t.Error(err)
					return
				}
				resp, err := client.Do(req)
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
				if err != nil || resp.StatusCode != 200 {
					bad.Add(1)
				}
				if n := sent.Add(1); between != nil {
					between(n)
				}
			}
		})
	}
	wait.Wait()
	return bad.Load()
}

// TestFailingTargets holds how many clients' requests fail while one of three targets
// fails in each of the ways that servers do, with passive checks and Kong's retries.
func TestFailingTargets(t *testing.T) {
	const clients, each = 4, 60
	for _, c := range []struct {
		mode string
		// get and post are the most requests that may fail.
		get, post int64
		// calls are the most that the failing target may have got, 0 for any number.
		calls int64
	}{
		// Nothing was sent: every method is tried again.
		{"refuse", 0, 0, 0},
		// GET is tried again. POST may have been received: it fails until the target is
		// out, which those under way by then may still meet.
		{"reset", 0, 2 + clients, 2 + clients},
		{"hang", 0, 2 + clients, 2 + clients},
		// An answer is an answer: 500 goes to the client, until the target is out.
		{"500", 3 + clients, 3 + clients, 3 + clients},
		{"slow", 0, 0, 0},
		// It is taken out at the first resets and stays out: nothing probes it.
		{"flap", 0, 2 + clients, 0},
		{"ok", 0, 0, 0},
	} {
		for method, most := range map[string]int64{"GET": c.get, "POST": c.post} {
			t.Run(c.mode+" "+method, func(t *testing.T) {
				t.Parallel()
				g := newGateway(t, nil)
				bad := newFailing(t, c.mode)
				if c.mode == "refuse" {
					bad.kill()
				}
				g.balanced(nil, passiveChecks(), []string{newFailing(t, "ok").address(), bad.address(), newFailing(t, "ok").address()})
				if failed := g.load(method, clients, each, nil); failed > most {
					t.Errorf("%d of %d requests fail, want %d at most", failed, clients*each, most)
				}
				if n := bad.calls.Load(); c.calls > 0 && n > c.calls {
					t.Errorf("the failing target got %d requests, want %d at most", n, c.calls)
				}
			})
		}
	}
}

// TestTargetKilledUnderLoad holds that no idempotent request fails when one of three
// targets dies, and that of the others only those fail that were under way there.
func TestTargetKilledUnderLoad(t *testing.T) {
	for _, algorithm := range []string{"round-robin", "least-connections", "latency", "consistent-hashing"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, nil)
			servers := []*failing{newFailing(t, "ok"), newFailing(t, "ok"), newFailing(t, "ok")}
			up := passiveChecks()
			up["algorithm"] = algorithm
			if algorithm == "consistent-hashing" {
				up["hash_on"] = "path"
			}
			addresses := []string{servers[0].address(), servers[1].address(), servers[2].address()}
			// With timeouts of 300 ms, as everywhere here: a killed target refuses at once, and a
			// healthy one's answer that is there when this process runs again is no timeout, however
			// busy the machine (see lastLook in transport).
			g.balanced(nil, up, addresses)
			var once sync.Once
			killed := make(chan struct{})
			kill := func(sent int64) {
				if sent > 400 {
					once.Do(func() {
						for _, s := range servers {
							if s.calls.Load() > 0 { // one that has requests
								s.kill()
								break
							}
						}
						close(killed)
					})
				}
			}
			const posters = 4
			var wait sync.WaitGroup
			var gets, posts int64
			wait.Go(func() { gets = g.load("GET", 4, 300, kill) })
			wait.Go(func() { posts = g.load("POST", posters, 300, nil) })
			wait.Wait()
			<-killed
			if gets > 0 {
				t.Errorf("%d GET requests fail", gets)
			}
			if posts > posters {
				t.Errorf("%d POST requests fail, want %d at most: those under way", posts, posters)
			}
		})
	}
}

// TestTargetComesBack holds that with active checks a target that dies is left out and
// gets requests again when it is back.
func TestTargetComesBack(t *testing.T) {
	g := newGateway(t, nil)
	a, b := newFailing(t, "ok"), newFailing(t, "ok")
	up := schema.Object{"healthchecks": schema.Object{"active": schema.Object{
		"healthy": schema.Object{"interval": 0.02, "successes": 1}, "unhealthy": schema.Object{"interval": 0.02, "tcp_failures": 1, "http_failures": 1, "timeouts": 1},
	}}}
	g.balanced(schema.Object{"retries": 0}, up, []string{a.address(), b.address()})
	answeredBy := func(want map[string]bool) func() bool {
		return func() bool {
			seen := map[string]bool{}
			for range 4 {
				r := g.do("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				seen[r.Header.Get("X-Target")] = true
			}
			return fmt.Sprint(seen) == fmt.Sprint(want)
		}
	}
	both, one := map[string]bool{a.address(): true, b.address(): true}, map[string]bool{a.address(): true}
	soon(t, "both targets answer", answeredBy(both))
	b.mode.Store("500")
	soon(t, "the failing target is left out", answeredBy(one))
	if failed := g.load("GET", 2, 20, nil); failed > 0 {
		t.Errorf("%d requests fail although the target is out", failed)
	}
	b.mode.Store("ok")
	soon(t, "the target is back", answeredBy(both))
}

func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come true: %s", what)
		}
	}
}

// TestConnectionsOfRemovedTargets holds that a response which is under way ends although
// its target was removed meanwhile.
func TestConnectionsOfRemovedTargets(t *testing.T) {
	g := newGateway(t, nil)
	half, release := make(chan struct{}), make(chan struct{})
	long := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		close(half)
		<-release
		_, _ = io.WriteString(w, "second")
	}))
	defer long.Close()
	g.balanced(nil, nil, []string{long.Listener.Addr().String()})
	body := make(chan string, 1)
	go func() { body <- g.do("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").body }()
	<-half
	g.balanced(nil, nil, []string{newFailing(t, "ok").address()})
	close(release)
	if got := <-body; got != "first second" {
		t.Errorf("the response is %q", got)
	}
}

// TestLimits holds that an upstream's limits answer with 503 and say why, and that a
// request which waits gets its turn.
func TestLimits(t *testing.T) {
	g := newGateway(t, nil)
	entered, release := make(chan struct{}, 10), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	}))
	defer slow.Close()
	g.balanced(schema.Object{"read_timeout": 10000}, schema.Object{"limits": schema.Object{"max_connections": 1, "max_pending": 1, "pending_timeout": 5}}, []string{slow.Listener.Addr().String()})
	const get = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	statuses := make(chan int, 2)
	for range 2 {
		go func() { statuses <- g.do(get).StatusCode }()
	}
	<-entered
	soon(t, "another one waits", func() bool {
		u, ok := g.plans.Current().UpstreamByID(upstreamID)
		return ok && u.Health().Pending == 1
	})
	r := g.do(get)
	if r.Header.Get("X-Sluice-Overload") != "max_pending" || !strings.Contains(r.body, "upstream has no capacity for the request") {
		t.Errorf("%v: %s", r.Header, r.body)
	}
	close(release)
	for range 2 {
		if s := <-statuses; s != 200 {
			t.Errorf("a request within the limits gets %d", s)
		}
	}
	if s := g.do(get).StatusCode; s != 200 {
		t.Errorf("afterwards a request gets %d", s)
	}
}
