package rpc_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	members "github.com/sluice-gateway/sluice/controlplane/internal/identity"
	"github.com/sluice-gateway/sluice/controlplane/internal/rpc"
	"github.com/sluice-gateway/sluice/controlplane/internal/snapshot"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/controlplane/internal/traffic"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/dictionary"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/roothash"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plane is a control plane's half of the stream on a store of its own.
type plane struct {
	t        *testing.T
	store    *bolt.Store
	hub      *hub.Hub
	traffic  *traffic.Store
	address  string
	identity *tlsutil.Identity
	members  *members.Authority
	skew     atomic.Int64         // of the members' clock, nanoseconds
	desk     atomic.Pointer[desk] // set by tests that ask
}

// Write implements rpc.Desk.
func (p *plane) Write(ctx context.Context, plugin string, writes []pdk.EntityWrite, wait time.Duration) (store.Position, error) {
	return p.desk.Load().Write(ctx, plugin, writes, wait)
}

// Lease implements rpc.Desk.
func (p *plane) Lease(node, plugin string, requests []pdk.LeaseRequest) ([]pdk.LeaseGrant, error) {
	return p.desk.Load().Lease(node, plugin, requests)
}

func start(t *testing.T) *plane {
	t.Helper()
	return startWith(t, bolt.Options{})
}

func startWith(t *testing.T, o bolt.Options) *plane {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), "db")
	st, err := bolt.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := rpc.NewEncoder([]string{"services"})
	if err != nil {
		t.Fatal(err)
	}
	source, err := snapshot.New(snapshot.Options{Store: st, Encoder: encoder, Kinds: []string{"services", "routes"}, ChunkSize: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Store: st, Source: source})
	if err != nil {
		t.Fatal(err)
	}
	p := &plane{t: t, store: st, hub: h, traffic: traffic.New(traffic.Options{}), identity: identity(t)}
	if p.members, err = members.New(members.Options{
		Dir: t.TempDir(), Store: st, Life: time.Hour, Grace: time.Hour, Now: func() time.Time { return time.Now().Add(time.Duration(p.skew.Load())) },
	}); err != nil {
		t.Fatal(err)
	}
	server, err := rpc.New(rpc.Options{Hub: h, Desk: p, Traffic: p.traffic, TLS: p.members.Server(p.identity.Server()), Members: p.members, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.address = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- server.Serve(l) }()
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop, stopped := context.WithTimeout(context.Background(), 3*time.Second)
		defer stopped()
		server.Stop(stop)
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func identity(t *testing.T) *tlsutil.Identity {
	t.Helper()
	cert, key, err := tlsutil.Generate(tlsutil.Name, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, err := tlsutil.Load(tlsutil.Shared, cert, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// put writes services in one change set.
func (p *plane) put(names ...string) store.Position {
	p.t.Helper()
	at, err := p.store.Update(p.t.Context(), store.Info{}, func(tx store.WriteTx) error {
		for _, name := range names {
			if err := tx.Put("services", id(name), body(name), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return at
}

func (p *plane) remove(name string) store.Position {
	p.t.Helper()
	at, err := p.store.Update(p.t.Context(), store.Info{}, func(tx store.WriteTx) error { return tx.Delete("services", id(name)) })
	if err != nil {
		p.t.Fatal(err)
	}
	return at
}

func id(name string) string { return uuid.NewSHA1(uuid.Nil, []byte(name)).String() }

func body(name string) []byte {
	return fmt.Appendf(nil, `{"name":%q,"pad":"%s"}`, name, strings.Repeat("x", 500))
}

// node is a data plane that answers by hand.
type node struct {
	t      *testing.T
	stream grpc.BidiStreamingClient[configv1.SyncRequest, configv1.SyncResponse]
	id     string
	tree   map[string]string // what it has
	got    int               // bytes of what it heard
	said   int               // bytes of what it said
}

func (p *plane) dial(config *tls.Config) (configv1.SyncServiceClient, func()) {
	p.t.Helper()
	conn, err := grpc.NewClient(p.address, grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithNoProxy())
	if err != nil {
		p.t.Fatal(err)
	}
	return configv1.NewSyncServiceClient(conn), func() { _ = conn.Close() }
}

func (p *plane) connect(hello *configv1.Hello) *node {
	p.t.Helper()
	client, closeConn := p.dial(p.identity.Client(""))
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	stream, err := client.Sync(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		cancel()
		closeConn()
	})
	n := &node{t: p.t, stream: stream, id: hello.GetNodeId(), tree: map[string]string{}}
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Hello{Hello: hello}})
	return n
}

func hello(name string) *configv1.Hello {
	return &configv1.Hello{NodeId: id(name), BootId: uuid.NewString(), Hostname: name, Version: "1", ProtocolMin: 1, ProtocolMax: 1, Source: "none"}
}

func (n *node) say(m *configv1.SyncRequest) {
	n.t.Helper()
	n.said += proto.Size(m)
	if err := n.stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
		n.t.Fatal(err)
	}
}

// hear returns the next message that is no beat.
func (n *node) hear() *configv1.SyncResponse {
	n.t.Helper()
	for {
		m, err := n.stream.Recv()
		if err != nil {
			n.t.Fatalf("stream ended: %v", err)
		}
		n.got += proto.Size(m)
		if m.GetBeat() == nil {
			return m
		}
	}
}

// apply takes frames or a whole snapshot until a position is complete.
func (n *node) apply() (to *configv1.Position, whole bool) {
	n.t.Helper()
	for {
		m := n.hear()
		if f := m.GetFrame(); f != nil {
			n.change(f.GetChanges(), f.GetEncoding(), f.GetPayload())
			return f.GetTo(), false
		}
		c := m.GetSnapshotChunk()
		if c == nil {
			n.t.Fatalf("neither frame nor snapshot: %v", m)
		}
		if c.GetIndex() == 0 {
			clear(n.tree)
		}
		n.change(c.GetChanges(), c.GetEncoding(), c.GetPayload())
		if c.GetIndex() == c.GetCount()-1 {
			return c.GetTo(), true
		}
	}
}

func (n *node) change(changes []*configv1.Change, encoding string, payload []byte) {
	n.t.Helper()
	if encoding != "" {
		d, err := zstd.NewReader(nil, zstd.WithDecoderDicts(dictionary.One))
		if err != nil {
			n.t.Fatal(err)
		}
		defer d.Close()
		raw, err := d.DecodeAll(payload, nil)
		if err != nil {
			n.t.Fatal(err)
		}
		var list configv1.ChangeList
		if err := proto.Unmarshal(raw, &list); err != nil {
			n.t.Fatal(err)
		}
		changes = list.GetChanges()
	}
	for _, c := range changes {
		if c.GetOp() == configv1.Change_OP_DELETE {
			delete(n.tree, c.GetId())
		} else {
			n.tree[c.GetId()] = string(c.GetBody())
		}
	}
}

func (n *node) ack(state configv1.Ack_State, p *configv1.Position, errs ...*configv1.EntityError) {
	n.t.Helper()
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ack{Ack: &configv1.Ack{State: state, Position: p, Errors: errs}}})
}

// root is the root of what the node has.
func (n *node) root() roothash.Root {
	t := roothash.New()
	for id, b := range n.tree {
		t.Put("services", id, []byte(b))
	}
	return t.Root()
}

// holds that a node has what the store has.
func (n *node) equals(p store.Position) {
	n.t.Helper()
	if n.root() != p.Root {
		n.t.Errorf("the node has another configuration than the store at revision %d", p.Revision)
	}
}

func TestFollowing(t *testing.T) {
	p := start(t)
	names := make([]string, 200)
	for i := range names {
		names[i] = fmt.Sprint("s", i)
	}
	head := p.put(names...)
	n := p.connect(hello("n"))
	if w := n.hear().GetWelcome(); w.GetPlan() != configv1.Welcome_PLAN_SNAPSHOT || w.GetHead().GetRevision() != head.Revision {
		t.Fatalf("welcome %v", w)
	}
	to, whole := n.apply()
	if !whole || to.GetRevision() != head.Revision {
		t.Fatalf("got revision %d, whole %v", to.GetRevision(), whole)
	}
	n.equals(head)
	n.ack(configv1.Ack_STATE_APPLIED, to)
	// While one frame is not answered, changes gather: two more make one frame.
	p.put("a")
	first, whole := n.apply()
	if whole {
		t.Fatal("one change came as a snapshot")
	}
	p.put("b")
	p.put("a", "c")
	head = p.remove("s0")
	time.Sleep(20 * time.Millisecond)
	n.ack(configv1.Ack_STATE_APPLIED, first)
	to, _ = n.apply()
	if to.GetRevision() != head.Revision {
		t.Errorf("got revision %d, want %d at once", to.GetRevision(), head.Revision)
	}
	n.equals(head)
	n.ack(configv1.Ack_STATE_APPLIED, to)
	spec, err := hub.ParseSpec("all")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if r, err := p.hub.Wait(ctx, head, spec); err != nil || r.Applied != 1 || r.Total != 1 {
		t.Errorf("wait: %+v, %v", r, err)
	}
	n.ack(configv1.Ack_STATE_PERSISTED, to)
	// A node that comes back with its position gets nothing or what it lacks.
	again := hello("n2")
	again.Position = to
	up := p.connect(again)
	if w := up.hear().GetWelcome(); w.GetPlan() != configv1.Welcome_PLAN_UP_TO_DATE {
		t.Errorf("welcome of a node that is there: %v", w)
	}
	maps.Copy(up.tree, n.tree)
	head = p.put("d")
	if to, whole := up.apply(); whole || to.GetRevision() != head.Revision {
		t.Errorf("a delta was due, got revision %d, whole %v", to.GetRevision(), whole)
	}
	up.equals(head)
}

func TestRefusalIsNotRepeated(t *testing.T) {
	p := start(t)
	head := p.put("bad")
	n := p.connect(hello("n"))
	n.hear()
	to, _ := n.apply()
	n.ack(configv1.Ack_STATE_REJECTED, to, &configv1.EntityError{Kind: "services", Id: id("bad"), Field: "host", Message: "no such thing"})
	spec, err := hub.ParseSpec("1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	began := time.Now()
	r, err := p.hub.Wait(ctx, head, spec)
	if !errors.Is(err, hub.ErrNotApplied) || r.Refused[id("n")] != "no such thing" {
		t.Errorf("wait: %+v, %v", r, err)
	}
	if time.Since(began) > 3*time.Second {
		t.Error("waiting for what was refused goes on")
	}
	row := p.hub.Nodes()[0]
	if row["state"] != "refused" || row["refused"] == nil {
		t.Errorf("row %v", row)
	}
	// The next thing that it hears is the next change, from where it is.
	head = p.put("good")
	to, _ = n.apply()
	if to.GetRevision() != head.Revision {
		t.Errorf("got revision %d, want %d", to.GetRevision(), head.Revision)
	}
	n.equals(head)
	n.ack(configv1.Ack_STATE_APPLIED, to)
	if _, err := p.hub.Wait(ctx, head, spec); err != nil {
		t.Errorf("wait: %v", err)
	}
}

func TestDivergedNodeIsRepairedOnce(t *testing.T) {
	p := start(t)
	head := p.put("a", "b")
	h := hello("n") // of a node that can not tell what it has
	h.Position = &configv1.Position{Lineage: head.Lineage, Generation: head.Generation, Revision: head.Revision, Root: make([]byte, 32)}
	n := p.connect(h)
	if w := n.hear().GetWelcome(); w.GetPlan() != configv1.Welcome_PLAN_SNAPSHOT {
		t.Errorf("welcome %v", w)
	}
	to, whole := n.apply()
	if !whole {
		t.Error("what it gets is not whole")
	}
	n.equals(head)
	n.ack(configv1.Ack_STATE_DIVERGED, to)
	head = p.put("c")
	to, _ = n.apply()
	if to.GetRevision() != head.Revision {
		t.Errorf("after a repair that did not help: revision %d, want the next one, %d", to.GetRevision(), head.Revision)
	}
}

func TestNodeAheadIsHeld(t *testing.T) {
	p := start(t)
	head := p.put("a")
	h := hello("n")
	h.Position = &configv1.Position{Lineage: head.Lineage, Generation: head.Generation, Revision: head.Revision + 7, Root: make([]byte, 32)}
	n := p.connect(h)
	if w := n.hear().GetWelcome(); w.GetPlan() != configv1.Welcome_PLAN_HELD || !strings.Contains(w.GetReason(), "older store") {
		t.Errorf("welcome %v", w)
	}
	p.put("b")
	// Nothing but beats comes; a command still does.
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		replies := p.hub.Broadcast(ctx, "room", "do", map[string]int{"x": 1})
		if len(replies) != 1 || replies[0].Err != nil || string(replies[0].Result) != `"done"` {
			t.Errorf("replies %+v", replies)
		}
	}()
	c := n.hear().GetCommand()
	if c.GetTarget() != "room" || c.GetName() != "do" || string(c.GetArguments()) != `{"x":1}` {
		t.Errorf("command %v", c)
	}
	n.say(&configv1.SyncRequest{Message: &configv1.SyncRequest_CommandResult{CommandResult: &configv1.CommandResult{Id: c.GetId(), Result: []byte(`"done"`)}}})
	<-done
}

func TestForgedAcksAreNotBelieved(t *testing.T) {
	p := start(t)
	head := p.put("a")
	n := p.connect(hello("n"))
	n.hear()
	to, _ := n.apply()
	future := proto.Clone(to).(*configv1.Position) //nolint:forcetypeassert // it is one
	future.Revision += 100
	n.ack(configv1.Ack_STATE_APPLIED, future)
	spec, err := hub.ParseSpec("all")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if r, err := p.hub.Wait(ctx, head, spec); err == nil {
		t.Errorf("a made-up position counts: %+v", r)
	}
}

func TestHellosThatAreRefused(t *testing.T) {
	p := start(t)
	long := strings.Repeat("x", 300)
	for name, test := range map[string]struct {
		change func(h *configv1.Hello)
		code   codes.Code
		says   string
	}{
		"node id":      {func(h *configv1.Hello) { h.NodeId = "../../etc" }, codes.InvalidArgument, "node_id"},
		"hostname":     {func(h *configv1.Hello) { h.Hostname = long }, codes.InvalidArgument, "hostname"},
		"label":        {func(h *configv1.Hello) { h.Labels = map[string]string{"a": long} }, codes.InvalidArgument, "labels"},
		"root":         {func(h *configv1.Hello) { h.Position = &configv1.Position{Root: []byte{1}} }, codes.InvalidArgument, "position"},
		"new protocol": {func(h *configv1.Hello) { h.ProtocolMin, h.ProtocolMax = 2, 3 }, codes.FailedPrecondition, "protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			h := hello("n")
			test.change(h)
			n := p.connect(h)
			_, err := n.stream.Recv()
			if status.Code(err) != test.code || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v that says %s", err, test.code, test.says)
			}
		})
	}
	client, closeConn := p.dial(p.identity.Client(""))
	defer closeConn()
	stream, err := client.Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Beat{Beat: &configv1.Beat{}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no hello: %v", err)
	}
	if rows := p.hub.Nodes(); len(rows) != 0 {
		t.Errorf("refused nodes are listed: %v", rows)
	}
}

func TestOneIDTwice(t *testing.T) {
	p := start(t)
	n := p.connect(hello("n"))
	n.hear()
	other := p.connect(hello("n"))
	if _, err := other.stream.Recv(); status.Code(err) != codes.AlreadyExists {
		t.Errorf("another process with the id: %v", err)
	}
}

func TestStrangersAreNotLetIn(t *testing.T) {
	p := start(t)
	for name, config := range map[string]*tls.Config{
		"another certificate": identity(t).Client(""),
		"no certificate":      {InsecureSkipVerify: true, NextProtos: []string{"h2"}}, //nolint:gosec // the test's own
	} {
		config.InsecureSkipVerify, config.VerifyConnection = true, nil //nolint:gosec // the server must refuse
		client, closeConn := p.dial(config)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		stream, err := client.Sync(ctx)
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		closeConn()
	}
}

func TestGoodbye(t *testing.T) {
	p := start(t)
	n := p.connect(hello("n"))
	n.hear()
	n.apply()
	p.hub.Stop()
	if g := n.hear().GetGoodbye(); g.GetReason() == "" || g.GetRetryAfterMs() == 0 {
		t.Errorf("goodbye %v", g)
	}
	if _, err := n.stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after goodbye: %v", err)
	}
	late := p.connect(hello("late"))
	if _, err := late.stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("a node that comes while the control plane stops: %v", err)
	}
}
