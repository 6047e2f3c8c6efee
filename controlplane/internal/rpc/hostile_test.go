package rpc_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
)

func TestHugeHello(t *testing.T) {
	p := start(t)
	h := hello("n")
	for i := range 10_000 {
		h.Plugins = append(h.Plugins, &configv1.Plugin{Name: fmt.Sprint("plugin", i), SchemaHash: make([]byte, 32)})
	}
	n := p.connect(h)
	if _, err := n.stream.Recv(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("a hello of half a megabyte: %v", err)
	}
	h = hello("n")
	h.Hostname = strings.Repeat("x", 8<<20)
	n = p.connect(h)
	if _, err := n.stream.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a hello of 8 MiB: %v", err)
	}
	if rows := p.hub.Nodes(); len(rows) != 0 {
		t.Errorf("refused nodes are listed: %v", rows)
	}
}

// TestFlood holds that a node that says too much is ended, and that others are heard
// meanwhile.
func TestFlood(t *testing.T) {
	p := start(t)
	p.put("a")
	good := p.connect(hello("good"))
	good.hear()
	to, _ := good.apply()
	good.ack(configv1.Ack_STATE_APPLIED, to)
	bad := p.connect(hello("bad"))
	bad.hear()
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := bad.stream.Recv(); err != nil {
				ended <- err
				return
			}
		}
	}()
	said := 0
	for said < 200_000 && bad.stream.Send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Beat{Beat: &configv1.Beat{}}}) == nil {
		said++
	}
	if err := <-ended; status.Code(err) != codes.ResourceExhausted {
		t.Errorf("after %d words: %v", said, err)
	}
	head := p.put("b")
	if to, _ := good.apply(); to.GetRevision() != head.Revision {
		t.Errorf("the other node got revision %d", to.GetRevision())
	}
}

// TestMadeUpPositionsDoNotCount holds that nobody waits in vain, or not at all, because of
// what a node says of the future.
func TestMadeUpPositionsDoNotCount(t *testing.T) {
	for name, lie := range map[string]func(n *node, future *configv1.Position){
		"applied": func(n *node, future *configv1.Position) { n.ack(configv1.Ack_STATE_APPLIED, future) },
		"diverged": func(n *node, future *configv1.Position) {
			n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ack{Ack: &configv1.Ack{State: configv1.Ack_STATE_DIVERGED, Position: future, Serving: future}}})
		},
		"short": func(n *node, future *configv1.Position) {
			n.ack(configv1.Ack_STATE_APPLIED, &configv1.Position{Revision: future.GetRevision(), Root: future.GetRoot()[:8]})
		},
		"inventory": func(n *node, future *configv1.Position) {
			n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Inventory{Inventory: &configv1.Inventory{Position: future, Last: true}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			head := p.put("a")
			n := p.connect(able("n"))
			n.hear()
			n.apply()
			future := inProto(head)
			future.Revision += 100
			lie(n, future)
			spec, err := hub.ParseSpec("all")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if r, err := p.hub.Wait(ctx, head, spec); err == nil {
				t.Errorf("a made-up position counts: %+v", r)
			}
		})
	}
	// Nor does a node that is ahead when it comes, once the store gets there by another way.
	p := start(t)
	head := p.put("a")
	h := able("n")
	h.Position = inProto(head)
	h.Position.Revision++
	n := p.connect(h)
	n.hear()
	head = p.put("b")
	spec, err := hub.ParseSpec("all")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if r, err := p.hub.Wait(ctx, head, spec); err == nil {
		t.Errorf("another configuration of the same revision counts: %+v", r)
	}
}

// trickle is a connection from which one byte at a time is read, once it is told to.
type trickle struct {
	net.Conn

	slow *atomic.Bool
	end  <-chan struct{}
}

func (c *trickle) Read(b []byte) (int, error) {
	if c.slow.Load() {
		timer := time.NewTimer(20 * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.end:
		}
		b = b[:1]
	}
	return c.Conn.Read(b)
}

// TestSlowReadersCostNothing holds that what a node does not read is not kept for it.
func TestSlowReadersCostNothing(t *testing.T) {
	p := start(t)
	p.put(names(6000)...) // 3 MB
	const fleet = 12
	slow, end := &atomic.Bool{}, make(chan struct{})
	var conns []*grpc.ClientConn
	var ends []context.CancelFunc
	for i := range fleet {
		conn, err := grpc.NewClient(p.address, grpc.WithTransportCredentials(credentials.NewTLS(p.identity.Client(""))), grpc.WithNoProxy(),
			grpc.WithReadBufferSize(0),
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
				if err != nil {
					return nil, err
				}
				return &trickle{c, slow, end}, nil
			}))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		ctx, cancel := context.WithCancel(t.Context())
		ends = append(ends, cancel)
		stream, err := configv1.NewSyncServiceClient(conn).Sync(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Hello{Hello: hello(fmt.Sprint("slow", i))}}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	slow.Store(true)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 100 {
		p.put(fmt.Sprint("change", i))
	}
	grown := int64(heap()) - int64(before)
	// The frames that are kept for all are among it.
	if grown > fleet*(256<<10)+(8<<20) {
		t.Errorf("%d slow readers have %d bytes kept for them", fleet, grown)
	}
	t.Logf("heap grows by %d KiB with %d slow readers of 3 MB and 100 changes", grown>>10, fleet)
	// A node that reads is served all the same.
	fast := p.connect(hello("fast"))
	fast.hear()
	head, err := p.store.Position()
	if err != nil {
		t.Fatal(err)
	}
	for to, _ := fast.apply(); ; to, _ = fast.apply() {
		fast.ack(configv1.Ack_STATE_APPLIED, to)
		if to.GetRevision() == head.Revision {
			break
		}
	}
	fast.equals(head)
	for _, cancel := range ends {
		cancel()
	}
	close(end)
	var wait sync.WaitGroup
	for _, conn := range conns {
		wait.Go(func() { _ = conn.Close() })
	}
	wait.Wait()
}

// TestRefusedInHello holds that a node is not sent again what it has refused, over any
// number of connections, and that everybody can see why.
func TestRefusedInHello(t *testing.T) {
	p := start(t)
	then := p.put("a")
	head := p.put("bad")
	for range 3 {
		h := able("n")
		h.Position, h.Refused = inProto(then), inProto(head)
		h.Refusals = []*configv1.EntityError{{Kind: "services", Id: id("bad"), Name: "bad", Field: "host", Message: "no such thing"}}
		n := p.connect(h)
		n.hear()
		row := p.hub.Nodes()[0]
		if row["state"] != "refused" || !strings.Contains(fmt.Sprint(row["refused"]), "no such thing") {
			t.Errorf("row %v", row)
		}
		if err := n.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if m, err := n.stream.Recv(); err == nil && m.GetBeat() == nil {
			t.Errorf("it was sent %v", m)
		}
	}
	h := able("n")
	h.Position, h.Refused = inProto(then), inProto(head)
	n := p.connect(h)
	n.hear()
	n.has("a")
	head = p.put("good")
	if to, _ := n.apply(); to.GetRevision() != head.Revision {
		t.Errorf("got revision %d, want the next change", to.GetRevision())
	}
	n.equals(head)
}
