package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// front passes connections to the nodes that are ready, in turns.
type front struct {
	name, port, ready  string
	every, dialTimeout time.Duration
	lookup             func(ctx context.Context, name string) ([]string, error)
	log                hclog.Logger

	nodes atomic.Pointer[[]string] // addresses for traffic
	turn  atomic.Uint64
}

// stopTimeout bounds how long connections are waited for after the stop.
const stopTimeout = 5 * time.Second

// serve passes connections on until ctx ends, and waits for them.
func (f *front) serve(ctx context.Context, l net.Listener) error {
	f.nodes.Store(&[]string{})
	var work sync.WaitGroup
	work.Go(func() { f.watch(ctx) })
	closing := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer closing()
	var open sync.Map // net.Conn of clients
	for {
		client, err := l.Accept()
		if err != nil {
			timer := time.AfterFunc(stopTimeout, func() {
				open.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
			})
			work.Wait()
			timer.Stop()
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		open.Store(client, nil)
		work.Go(func() {
			defer open.Delete(client)
			f.pass(ctx, client)
		})
	}
}

// watch keeps the list of nodes that are ready.
func (f *front) watch(ctx context.Context) {
	client := http.Client{Timeout: f.dialTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	ticker := time.NewTicker(f.every)
	defer ticker.Stop()
	for {
		addresses, err := f.lookup(ctx, f.name)
		if err != nil {
			f.log.Debug("no nodes", "error", err)
		}
		slices.Sort(addresses)
		good := make([]bool, len(addresses))
		var asking sync.WaitGroup
		for i, a := range addresses {
			asking.Go(func() { good[i] = isReady(ctx, &client, net.JoinHostPort(a, f.ready)) })
		}
		asking.Wait()
		nodes := []string{}
		for i, a := range addresses {
			if good[i] {
				nodes = append(nodes, net.JoinHostPort(a, f.port))
			}
		}
		if !slices.Equal(nodes, *f.nodes.Load()) {
			f.log.Info("nodes", "ready", strings.Join(nodes, " "), "known", len(addresses))
			f.nodes.Store(&nodes)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func isReady(ctx context.Context, client *http.Client, address string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/status/ready", nil)
	if err != nil {
		return false
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// pass connects a client with a node; one that does not answer is passed over.
func (f *front) pass(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	node, err := f.connect(ctx)
	if err != nil {
		f.log.Warn("a connection was refused", "error", err)
		return
	}
	defer func() { _ = node.Close() }()
	var back sync.WaitGroup
	back.Go(func() { copyHalf(client, node) })
	copyHalf(node, client)
	back.Wait()
}

func (f *front) connect(ctx context.Context) (net.Conn, error) {
	nodes := *f.nodes.Load()
	first := f.turn.Add(1)
	err := errors.New("no node is ready")
	for i := range nodes {
		d := net.Dialer{Timeout: f.dialTimeout}
		var node net.Conn
		if node, err = d.DialContext(ctx, "tcp", nodes[(first+uint64(i))%uint64(len(nodes))]); err == nil {
			return node, nil
		}
	}
	return nil, err
}

// copyHalf copies until one side ends, and tells the other that nothing comes any more.
func copyHalf(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	// The other direction may wait for a peer that is gone.
	_ = to.Close()
	_ = from.Close()
}
