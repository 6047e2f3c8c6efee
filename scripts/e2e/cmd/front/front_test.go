package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// node is a data plane on an address of its own.
type node struct {
	ready            atomic.Bool
	traffic, control *httptest.Server
}

func serveOn(t *testing.T, address string, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("this machine has no %s: %v", address, err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func newNode(t *testing.T, ip, port, ready string) *node {
	t.Helper()
	n := &node{}
	n.ready.Store(true)
	n.traffic = serveOn(t, net.JoinHostPort(ip, port), func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, ip+" "+string(body))
	})
	n.control = serveOn(t, net.JoinHostPort(ip, ready), func(w http.ResponseWriter, _ *http.Request) {
		if !n.ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	return n
}

func TestFront(t *testing.T) {
	first := newNode(t, "127.0.0.1", "0", "0")
	_, port, _ := net.SplitHostPort(first.traffic.Listener.Addr().String())
	_, ready, _ := net.SplitHostPort(first.control.Listener.Addr().String())
	second := newNode(t, "127.0.0.2", port, ready)

	f := front{
		name: "nodes", port: port, ready: ready, every: 5 * time.Millisecond, dialTimeout: time.Second, log: hclog.NewNullLogger(),
		lookup: func(_ context.Context, name string) ([]string, error) {
			if name != "nodes" {
				return nil, errors.New("no such name")
			}
			return []string{"127.0.0.2", "127.0.0.1", "127.0.0.3"}, nil // nobody is on the last one
		},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.serve(ctx, l) }()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	ask := func() (string, error) {
		response, err := client.Post("http://"+l.Addr().String()+"/", "text/plain", http.NoBody)
		if err != nil {
			return "", err
		}
		defer func() { _ = response.Body.Close() }()
		b, err := io.ReadAll(response.Body)
		return string(b), err
	}
	until := func(what string, good func(seen map[string]int, failed int) bool) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for {
			seen, failed := map[string]int{}, 0
			for range 10 {
				if who, err := ask(); err == nil {
					seen[who]++
				} else {
					failed++
				}
			}
			if good(seen, failed) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v, %d failed", what, seen, failed)
			}
		}
	}
	until("both in turns", func(seen map[string]int, failed int) bool {
		return failed == 0 && seen["127.0.0.1 "] == 5 && seen["127.0.0.2 "] == 5
	})
	second.ready.Store(false)
	until("one drains", func(seen map[string]int, failed int) bool { return failed == 0 && seen["127.0.0.1 "] == 10 })
	second.ready.Store(true)
	until("both again", func(seen map[string]int, failed int) bool { return failed == 0 && len(seen) == 2 })
	// One that says it is ready and takes no connection is passed over.
	second.traffic.Close()
	for range 10 {
		if who, err := ask(); err != nil || who != "127.0.0.1 " {
			t.Errorf("with a dead node: %q, %v", who, err)
		}
	}
	first.ready.Store(false)
	until("nobody is ready but the dead one", func(_ map[string]int, failed int) bool { return failed == 10 })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
