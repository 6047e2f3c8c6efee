package e2e

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// pause stops a node's process without ending it, until the test ends.
func pause(t *testing.T, n *node) {
	t.Helper()
	stopped(t, n.program)
}

// stopped does so with any program, and returns what lets it go on.
func stopped(t *testing.T, p *program) (goOn func()) {
	t.Helper()
	proc := p.proc
	if err := proc.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn = func() { _ = proc.Signal(syscall.SIGCONT) }
	t.Cleanup(goOn)
	return goOn
}

// TestPausedNode holds that a node which does not run for longer than the timeouts, as on a
// machine that has too much to do, does not blame upstreams for it: answers that came
// meanwhile are taken, over HTTP/1.1 and TLS, with heads and with bodies.
func TestPausedNode(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	const clients = 10
	var came sync.WaitGroup
	var measured atomic.Bool
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if measured.Load() {
			if r.URL.Path == "/body" {
				_, _ = w.Write([]byte("first "))
				w.(http.Flusher).Flush()
			}
			came.Done()
			time.Sleep(200 * time.Millisecond)
		}
		_, _ = w.Write([]byte("fine"))
	})
	c.serve("plain", serving(t, handler, false), "/plain")
	c.serve("tls", serving(t, handler, true), "/tls")
	for _, path := range []string{"/plain/head", "/plain/body", "/tls/head", "/tls/body"} {
		c.must("PATCH", "/services"+path[:len(path)-len("/head")], object{"read_timeout": 600, "retries": 0}, 200)
		eventually(t, soon, func() error { return n.try("POST", path, nil).is(200) })
		measured.Store(true)
		came.Add(clients)
		var wait sync.WaitGroup
		for range clients {
			wait.Go(func() {
				want := "fine"
				if path[len(path)-len("body"):] == "body" {
					want = "first fine"
				}
				if r := n.try("POST", path, "x"); r.is(200) != nil || string(r.body) != want {
					t.Errorf("%s: %v %q", path, r.is(200), r.body)
				}
			})
		}
		came.Wait()
		goOn := stopped(t, n.program)
		time.Sleep(time.Second)
		goOn()
		wait.Wait()
		measured.Store(false)
	}
}

// serving starts a server of a handler and returns its URL.
func serving(t *testing.T, h http.Handler, secure bool) string {
	t.Helper()
	start := httptest.NewServer
	if secure {
		start = httptest.NewTLSServer
	}
	s := start(h)
	t.Cleanup(s.Close)
	return s.URL
}
