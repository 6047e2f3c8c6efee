package rpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
)

// linkCredentials are TLS, and let the handler of a stream end its connection.
type linkCredentials struct {
	credentials.TransportCredentials
}

// linkInfo is what a handler learns of its connection.
type linkInfo struct {
	credentials.TLSInfo
	conn net.Conn
}

// ServerHandshake implements credentials.TransportCredentials.
func (c linkCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	t, ok := info.(credentials.TLSInfo)
	if !ok {
		return nil, nil, errors.Join(errors.New("the link is not TLS"), conn.Close())
	}
	return conn, linkInfo{t, raw}, nil
}

// Clone implements credentials.TransportCredentials.
func (c linkCredentials) Clone() credentials.TransportCredentials {
	return linkCredentials{c.TransportCredentials.Clone()}
}

// vitals say whether a node lives: when it was heard last, and since when it does not read
// what it is sent, both in nanoseconds since 1970; 0 for the latter when it does.
type vitals struct {
	heard, sending atomic.Int64
	why            atomic.Pointer[string] // its connection was closed
	session        atomic.Pointer[hub.Session]
	over           time.Time // when the session was first seen to have ended; of judge
}

// goodbyeTime is how long a node may take to hear that its session is over.
const goodbyeTime = 2 * time.Second

// judge tells what is wrong with a node, "" for nothing.
func (v *vitals) judge(now time.Time) string {
	if now.Sub(time.Unix(0, v.heard.Load())) > silence {
		return "no heartbeat"
	}
	if since := v.sending.Load(); since != 0 && now.Sub(time.Unix(0, since)) > stall {
		return "the node does not read what it is sent"
	}
	if s := v.session.Load(); s != nil && s.Ended() {
		if v.over.IsZero() {
			v.over = now
		}
		if now.Sub(v.over) > goodbyeTime {
			return "the session is over"
		}
	}
	return ""
}

// watch ends the connections of nodes that have fallen silent or deaf. One goroutine does
// it for all of them: a sender that is stuck because its node reads nothing can't look
// itself.
type watch struct {
	mu    sync.Mutex
	nodes map[*vitals]net.Conn
}

func newWatch() *watch { return &watch{nodes: map[*vitals]net.Conn{}} }

// add watches a connection until remove.
func (w *watch) add(conn net.Conn) *vitals {
	v := &vitals{}
	v.heard.Store(time.Now().UnixNano())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes[v] = conn
	return v
}

func (w *watch) remove(v *vitals) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes, v)
}

func (w *watch) run(ctx context.Context) {
	ticker := time.NewTicker(hub.BeatInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			w.look(now)
		}
	}
}

func (w *watch) look(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for v, conn := range w.nodes {
		if why := v.judge(now); why != "" {
			v.why.Store(&why)
			// Of the socket, not of TLS, which would want to say goodbye to who does not read.
			_ = conn.Close()
		}
	}
}
