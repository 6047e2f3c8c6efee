package controlclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/controlclient"
	"github.com/sluice-gateway/sluice/dataplane/internal/diskcache"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/roothash"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// control is a control plane that says what a test tells it to.
type control struct {
	configv1.UnimplementedSyncServiceServer

	t        *testing.T
	identity *tlsutil.Identity
	address  string
	server   *grpc.Server
	streams  chan *stream
	features []string // of its welcomes
}

type stream struct {
	grpc.BidiStreamingServer[configv1.SyncRequest, configv1.SyncResponse]
	t     *testing.T
	hello *configv1.Hello
	end   chan error
}

// Sync implements configv1.SyncServiceServer.
func (c *control) Sync(s grpc.BidiStreamingServer[configv1.SyncRequest, configv1.SyncResponse]) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	st := &stream{s, c.t, m.GetHello(), make(chan error, 1)}
	select {
	case c.streams <- st:
	case <-s.Context().Done():
		return nil
	}
	select {
	case err := <-st.end:
		return err
	case <-s.Context().Done():
		return nil
	}
}

func newControl(t *testing.T) *control {
	t.Helper()
	cert, key, err := tlsutil.Generate(tlsutil.Name, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, err := tlsutil.Load(tlsutil.Shared, cert, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &control{t: t, identity: id, address: l.Addr().String(), streams: make(chan *stream)}
	c.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(id.Server())))
	configv1.RegisterSyncServiceServer(c.server, c)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = c.server.Serve(l)
	}()
	t.Cleanup(func() {
		c.server.Stop()
		<-done
	})
	return c
}

// next waits for a node, and welcomes it.
func (c *control) next(beat time.Duration) *stream {
	c.t.Helper()
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case s := <-c.streams:
		s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Welcome{Welcome: &configv1.Welcome{
			Protocol: 1, Plan: configv1.Welcome_PLAN_DELTA, Head: at(9, nil), BeatIntervalMs: uint32(beat.Milliseconds()), Features: c.features,
		}}})
		return s
	case <-timer.C:
		c.t.Fatal("no node connects")
		return nil
	}
}

func (s *stream) say(m *configv1.SyncResponse) {
	s.t.Helper()
	if err := s.Send(m); err != nil {
		s.t.Fatal(err)
	}
}

// ack returns the next acknowledgement.
func (s *stream) ack(want configv1.Ack_State) *configv1.Ack {
	s.t.Helper()
	for {
		m, err := s.Recv()
		if err != nil {
			s.t.Fatalf("no ack: %v", err)
		}
		if a := m.GetAck(); a != nil {
			if a.GetState() != want {
				s.t.Fatalf("got %v, want %v", a, want)
			}
			return a
		}
	}
}

// entities of a test, by id.
type entities map[string]string

func (e entities) root() []byte {
	t := roothash.New()
	for id, b := range e {
		t.Put("services", id, []byte(b))
	}
	r := t.Root()
	return r[:]
}

func at(revision uint64, e entities) *configv1.Position {
	return &configv1.Position{Lineage: "l", Generation: 1, Revision: revision, Root: e.root()}
}

func puts(e entities) []*configv1.Change {
	var out []*configv1.Change
	for id, b := range e {
		out = append(out, &configv1.Change{Op: configv1.Change_OP_PUT, Kind: "services", Id: id, Body: []byte(b)})
	}
	slices.SortFunc(out, func(a, b *configv1.Change) int { return strings.Compare(a.GetId(), b.GetId()) })
	return out
}

func (s *stream) snapshot(revision uint64, e entities, meant bool) {
	s.t.Helper()
	changes, to := puts(e), at(revision, e)
	parts := [][]*configv1.Change{nil}
	if len(changes) > 0 {
		parts = slices.Collect(slices.Chunk(changes, max(1, min(len(changes)/2, 1000))))
	}
	for i, part := range parts {
		s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_SnapshotChunk{SnapshotChunk: &configv1.SnapshotChunk{
			To: to, Index: uint32(i), Count: uint32(len(parts)), Changes: part, RemovalIntended: meant,
		}}})
	}
}

func (s *stream) frame(from, to *configv1.Position, changes ...*configv1.Change) {
	s.t.Helper()
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Frame{Frame: &configv1.Frame{From: from, To: to, Changes: changes}}})
}

// applier keeps what it is given.
type applier struct {
	mu     sync.Mutex
	last   config.Update
	has    entities
	refuse string // the id of an entity that can't be built
}

func (a *applier) Apply(_ context.Context, u config.Update) ([]config.EntityError, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range u.Changes {
		if c.ID == a.refuse {
			return []config.EntityError{{Kind: c.Kind, ID: c.ID, Field: "host", Message: "no such thing"}}, config.ErrRefused
		}
	}
	if u.Whole || a.has == nil {
		a.has = entities{}
	}
	for _, c := range u.Changes {
		if c.Op == config.Delete {
			delete(a.has, c.ID)
		} else {
			a.has[c.ID] = string(c.Body)
		}
	}
	a.last = u
	return nil, nil
}

func (a *applier) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.has)
}

type client struct {
	*controlclient.Client
	stop func()
}

func (c *control) start(a *applier, change func(o *controlclient.Options)) *client {
	c.t.Helper()
	return c.startWith(a, change)
}

func (c *control) startWith(a config.Applier, change func(o *controlclient.Options)) *client {
	c.t.Helper()
	o := controlclient.Options{
		Address: c.address, TLS: c.identity.Client(""), NodeID: uuid.NewString(), BootID: uuid.NewString(), Hostname: "h", Version: "1",
		Applier: a, MinBackoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond,
	}
	if change != nil {
		change(&o)
	}
	cl, err := controlclient.New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	cl.Restore(c.t.Context())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cl.Run(ctx) }()
	out := &client{Client: cl}
	out.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Error(err)
		}
	})
	c.t.Cleanup(out.stop)
	return out
}

func openCache(t *testing.T, dir string) *diskcache.Cache {
	t.Helper()
	cache, err := diskcache.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	return cache
}

func TestFollowing(t *testing.T) {
	c, a, dir := newControl(t), &applier{}, t.TempDir()
	cl := c.start(a, func(o *controlclient.Options) { o.Cache = openCache(t, dir) })
	s := c.next(time.Second)
	if s.hello.GetPosition() != nil || s.hello.GetSource() != "none" {
		t.Errorf("hello %v", s.hello)
	}
	first := entities{"1": "a", "2": "b", "3": "c", "4": "d"}
	s.snapshot(1, first, false)
	s.ack(configv1.Ack_STATE_APPLIED)
	s.ack(configv1.Ack_STATE_PERSISTED)
	second := entities{"1": "A", "2": "b", "4": "d", "5": "e"}
	s.frame(at(1, first), at(2, second),
		&configv1.Change{Op: configv1.Change_OP_PUT, Kind: "services", Id: "1", Body: []byte("A")},
		&configv1.Change{Op: configv1.Change_OP_DELETE, Kind: "services", Id: "3"},
		&configv1.Change{Op: configv1.Change_OP_DELETE, Kind: "services", Id: "was never there"},
		&configv1.Change{Op: configv1.Change_OP_PUT, Kind: "services", Id: "5", Body: []byte("e")})
	if got := s.ack(configv1.Ack_STATE_APPLIED).GetPosition().GetRevision(); got != 2 {
		t.Errorf("applied %d", got)
	}
	s.ack(configv1.Ack_STATE_PERSISTED)
	if f := cl.Facts(); !f.Connected || f.Position.Revision != 2 || f.Source != config.SourceStream || f.Entities != 4 {
		t.Errorf("facts %+v", f)
	}
	cl.stop()
	// Another process on the same folder serves it without a control plane.
	b := &applier{}
	again := c.start(b, func(o *controlclient.Options) { o.Cache = openCache(t, dir) })
	if b.count() != 4 || b.has["1"] != "A" {
		t.Errorf("from disk: %v", b.has)
	}
	if f := again.Facts(); f.Source != config.SourceCache || f.Position.Revision != 2 {
		t.Errorf("facts after a restart %+v", f)
	}
	if s := c.next(time.Second); s.hello.GetPosition().GetRevision() != 2 || s.hello.GetSource() != "cache" {
		t.Errorf("hello after a restart %v", s.hello)
	}
}

func TestWhatIsNotApplied(t *testing.T) {
	base := entities{"1": "a", "2": "b", "3": "c", "4": "d"}
	put := func(id, body string) *configv1.Change {
		return &configv1.Change{Op: configv1.Change_OP_PUT, Kind: "services", Id: id, Body: []byte(body)}
	}
	for name, test := range map[string]struct {
		say   func(s *stream)
		state configv1.Ack_State
		why   string
	}{
		"another start":  {func(s *stream) { s.frame(at(7, base), at(8, base), put("9", "x")) }, configv1.Ack_STATE_DIVERGED, ""},
		"another root":   {func(s *stream) { s.frame(at(1, base), at(2, entities{"9": "y"}), put("9", "x")) }, configv1.Ack_STATE_DIVERGED, ""},
		"can't be built": {func(s *stream) { s.snapshot(2, entities{"bad": "x", "1": "a", "2": "b", "3": "c"}, true) }, configv1.Ack_STATE_REJECTED, "no such thing"},
		"nothing left":   {func(s *stream) { s.snapshot(2, entities{}, false) }, configv1.Ack_STATE_REJECTED, "does not say that this is meant"},
		"little left":    {func(s *stream) { s.snapshot(2, entities{"1": "a"}, false) }, configv1.Ack_STATE_REJECTED, "3 of 4"},
		"twice in a whole": {func(s *stream) {
			s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_SnapshotChunk{SnapshotChunk: &configv1.SnapshotChunk{
				To: at(2, base), Count: 1, Changes: append(puts(base), put("1", "a")),
			}}})
		}, configv1.Ack_STATE_DIVERGED, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, a := newControl(t), &applier{refuse: "bad"}
			cl := c.start(a, nil)
			s := c.next(time.Second)
			s.snapshot(1, base, false)
			s.ack(configv1.Ack_STATE_APPLIED)
			test.say(s)
			ack := s.ack(test.state)
			if ack.GetServing().GetRevision() != 1 {
				t.Errorf("serving %v", ack.GetServing())
			}
			if test.why != "" && (len(ack.GetErrors()) != 1 || !strings.Contains(ack.GetErrors()[0].GetMessage(), test.why)) {
				t.Errorf("reasons %v", ack.GetErrors())
			}
			if a.count() != 4 || cl.Facts().Position.Revision != 1 {
				t.Errorf("serves %v at %v", a.has, cl.Facts().Position)
			}
			// The stream goes on, from what is served.
			next := entities{"1": "a", "2": "b", "3": "c", "4": "d", "5": "e"}
			s.frame(at(1, base), at(3, next), put("5", "e"))
			s.ack(configv1.Ack_STATE_APPLIED)
			if cl.Facts().Refused.Revision != 0 {
				t.Errorf("still refuses %v", cl.Facts().Refused)
			}
		})
	}
	t.Run("meant", func(t *testing.T) {
		c, a := newControl(t), &applier{}
		c.start(a, nil)
		s := c.next(time.Second)
		s.snapshot(1, base, false)
		s.ack(configv1.Ack_STATE_APPLIED)
		s.snapshot(2, entities{}, true)
		s.ack(configv1.Ack_STATE_APPLIED)
		if a.count() != 0 {
			t.Errorf("serves %v", a.has)
		}
	})
}

// TestMessagesThatEndTheStream holds that nonsense changes nothing, and that the node
// comes back.
func TestMessagesThatEndTheStream(t *testing.T) {
	bomb, err := proto.Marshal(&configv1.ChangeList{Changes: []*configv1.Change{{Op: configv1.Change_OP_PUT, Kind: "services", Id: "1", Body: make([]byte, 80<<20)}}})
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := encoder.EncodeAll(bomb, nil)
	defer func() { _ = encoder.Close() }()
	chunk := func(c *configv1.SnapshotChunk) *configv1.SyncResponse {
		c.To = at(1, nil)
		return &configv1.SyncResponse{Message: &configv1.SyncResponse_SnapshotChunk{SnapshotChunk: c}}
	}
	for name, m := range map[string]*configv1.SyncResponse{
		"second chunk first":   chunk(&configv1.SnapshotChunk{Index: 1, Count: 2}),
		"no chunks":            chunk(&configv1.SnapshotChunk{Count: 0}),
		"unknown encoding":     chunk(&configv1.SnapshotChunk{Count: 1, Encoding: "rot13"}),
		"not compressed":       chunk(&configv1.SnapshotChunk{Count: 1, Encoding: "zstd", Payload: []byte("x"), RawLength: 9}),
		"another checksum":     chunk(&configv1.SnapshotChunk{Count: 1, Encoding: "zstd", Payload: encoder.EncodeAll([]byte("x"), nil), RawLength: 1, Checksum: []byte("no")}),
		"bomb":                 chunk(&configv1.SnapshotChunk{Count: 1, Encoding: "zstd", Payload: packed, RawLength: uint64(len(bomb))}),
		"bomb that lies":       chunk(&configv1.SnapshotChunk{Count: 1, Encoding: "zstd", Payload: packed, RawLength: 10}),
		"frame without a root": {Message: &configv1.SyncResponse_Frame{Frame: &configv1.Frame{To: &configv1.Position{Root: []byte{1}}}}},
		"change without an op": chunk(&configv1.SnapshotChunk{Count: 1, Changes: []*configv1.Change{{Kind: "services", Id: "1"}}}),
	} {
		t.Run(name, func(t *testing.T) {
			c, a := newControl(t), &applier{}
			c.start(a, nil)
			s := c.next(time.Second)
			s.say(m)
			again := c.next(time.Second)
			if again.hello.GetPosition() != nil || a.count() != 0 {
				t.Errorf("something was applied: %v", a.has)
			}
		})
	}
}

func TestSilenceEndsTheStream(t *testing.T) {
	c := newControl(t)
	c.start(&applier{}, nil)
	c.next(100 * time.Millisecond)
	began := time.Now()
	c.next(time.Second) // it has come back
	if took := time.Since(began); took < 200*time.Millisecond || took > 5*time.Second {
		t.Errorf("after %v", took)
	}
}

func TestGoodbyeSaysHowLong(t *testing.T) {
	c := newControl(t)
	c.start(&applier{}, nil)
	s := c.next(time.Second)
	began := time.Now()
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Goodbye{Goodbye: &configv1.Goodbye{Reason: "moving", RetryAfterMs: 300}}})
	c.next(time.Second)
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("back after %v, asked for 300ms", took)
	}
}

func TestCommands(t *testing.T) {
	c := newControl(t)
	c.start(&applier{}, func(o *controlclient.Options) {
		o.Command = func(_ context.Context, target, name string, arguments json.RawMessage) (any, error) {
			switch name {
			case "fail":
				return nil, errors.New("no luck")
			case "panic":
				panic("on purpose")
			}
			return fmt.Sprintf("%s %s %s", target, name, arguments), nil
		}
	})
	s := c.next(time.Second)
	for i, test := range []struct{ name, result, err string }{
		{"ok", `"room ok [1]"`, ""}, {"fail", "", "no luck"}, {"panic", "", "the command failed on the node"}, {"ok", `"room ok [1]"`, ""},
	} {
		s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Command{Command: &configv1.Command{Id: uint64(i), Target: "room", Name: test.name, Arguments: []byte("[1]")}}})
		for {
			m, err := s.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if r := m.GetCommandResult(); r != nil {
				if r.GetId() != uint64(i) || string(r.GetResult()) != test.result || r.GetError() != test.err {
					t.Errorf("%s: %v", test.name, r)
				}
				break
			}
		}
	}
}

func TestDamagedCacheStopsNothing(t *testing.T) {
	c, dir := newControl(t), t.TempDir()
	first := c.start(&applier{}, func(o *controlclient.Options) { o.Cache = openCache(t, dir) })
	s := c.next(time.Second)
	s.snapshot(1, entities{"1": "a", "2": "b"}, false)
	s.ack(configv1.Ack_STATE_APPLIED)
	s.ack(configv1.Ack_STATE_PERSISTED)
	first.stop()
	files, err := filepath.Glob(filepath.Join(dir, "*.base"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no base in %s: %v", dir, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := &applier{}
	cl := c.start(a, func(o *controlclient.Options) { o.Cache = openCache(t, dir) })
	if cl.Facts().CacheError == "" {
		t.Error("the damage is not told")
	}
	s = c.next(time.Second)
	if s.hello.GetPosition() != nil {
		t.Errorf("hello %v", s.hello)
	}
	s.snapshot(1, entities{"1": "a", "2": "b"}, false)
	s.ack(configv1.Ack_STATE_APPLIED)
	s.ack(configv1.Ack_STATE_PERSISTED)
	if a.count() != 2 || cl.Facts().CacheError != "" {
		t.Errorf("serves %v, cache error %q", a.has, cl.Facts().CacheError)
	}
}

func TestNewNeeds(t *testing.T) {
	for _, o := range []controlclient.Options{{}, {Address: "x"}, {Address: "x", TLS: newControl(t).identity.Client("")}} {
		if _, err := controlclient.New(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}
