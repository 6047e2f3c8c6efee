package controlclient

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
)

// protocol is the version of the protocol that is spoken.
const protocol = 1

// features are what the node can do, as in the proto of Hello.
func features() []string {
	return []string{encodingZstd, encodingZstd1, "repair", "manifest", "parts", featureShort}
}

const featureShort = "short"

const (
	maxReceive = 16 << 20
	bufferSize = 16 << 10
	// window is what the control plane may send ahead of being read. It is fixed, for
	// measuring what the network could take costs a ping a change; a snapshot of 20 MB
	// fills a link of 100 Mbit/s and 80 ms with it.
	window = 1 << 20
	// connectTimeout bounds a handshake: when a whole fleet comes back the control plane
	// needs some time for each, and one that was given up was in vain.
	connectTimeout = 20 * time.Second
	welcomeTimeout = 15 * time.Second
	commandTimeout = 30 * time.Second
	maxCommands    = 16
)

// session is one stream.
type session struct {
	c      *Client
	stream grpc.BidiStreamingClient[configv1.SyncRequest, configv1.SyncResponse]
	heard  atomic.Int64 // when something was received last, nanoseconds
	work   sync.WaitGroup
	slots  chan struct{}   // running commands
	whole  *assembly       // a snapshot that is being received
	asked  map[uint64]key  // entities that a repair has asked for, by short hash
	head   config.Position // of the welcome
	short  bool            // the control plane takes short positions
	asking *asking

	// How often traffic is sent, in nanoseconds, 0 when nobody has said; whether some was,
	// and how many beats have not confirmed it.
	interval atomic.Int64
	told     atomic.Bool
	deaf     atomic.Int32

	mu sync.Mutex // guards sending
}

// session dials and follows until something ends it. heard tells whether the control
// plane said anything, hint how long it wants the node to stay away.
func (c *Client) session(ctx context.Context) (heard bool, hint time.Duration, err error) {
	secure, err := c.tls(ctx)
	if err != nil {
		return false, 0, err
	}
	conn, err := grpc.NewClient(
		"dns:///"+c.o.Address,
		grpc.WithTransportCredentials(credentials.NewTLS(secure)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive)),
		grpc.WithReadBufferSize(bufferSize), grpc.WithWriteBufferSize(bufferSize),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
	)
	if err != nil {
		return false, 0, fmt.Errorf("dial %s: %w", c.o.Address, err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	c.hangUp = cancel
	c.mu.Unlock()
	stream, err := configv1.NewSyncServiceClient(conn).Sync(ctx)
	if err != nil {
		return false, 0, err
	}
	s := &session{c: c, stream: stream, slots: make(chan struct{}, maxCommands)}
	defer s.work.Wait()
	defer cancel(nil)
	if err := s.hello(); err != nil {
		return false, 0, s.cause(ctx, err)
	}
	interval, err := s.welcome(cancel)
	if err != nil {
		return false, 0, s.cause(ctx, err)
	}
	defer c.saver.onSaved(nil)
	c.saver.onSaved(func(p config.Position) {
		_ = s.acknowledge(configv1.Ack_STATE_PERSISTED, p, config.Position{}, nil, 0) // what fails here ends the stream
	})
	s.work.Go(func() { s.beat(ctx, interval, cancel) })
	if c.o.Traffic != nil {
		s.work.Go(func() { s.traffic(ctx) })
	}
	c.update(func(f *Facts) { f.Connected, f.ControlError = true, "" })
	s.asking = newAsking(s.send)
	c.setLive(s, s.asking)
	defer func() {
		c.setLive(nil, nil)
		s.asking.end()
		s.keep()
	}()
	for {
		m, err := stream.Recv()
		if err != nil {
			return true, 0, s.cause(ctx, err)
		}
		s.heard.Store(time.Now().UnixNano())
		if err := s.hear(ctx, m); err != nil {
			if _, ok := errors.AsType[*goodbyeError](err); ok {
				hint = time.Duration(m.GetGoodbye().GetRetryAfterMs()) * time.Millisecond
			}
			return true, min(hint, time.Minute), err
		}
	}
}

func (c *Client) tls(ctx context.Context) (*tls.Config, error) {
	if c.o.Link == nil {
		return c.o.TLS.Clone(), nil
	}
	return c.o.Link.TLS(ctx) //nolint:wrapcheck // it says what failed
}

// cause prefers why a session was cancelled, and what the other side said, to how that
// showed.
func (s *session) cause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

func (s *session) send(m *configv1.SyncRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.Send(m)
}

func (s *session) hello() error {
	o := &s.c.o
	f := s.c.Facts()
	s.c.lock()
	at := s.c.state.position
	s.c.applying.Unlock()
	h := &configv1.Hello{
		NodeId: o.NodeID, BootId: o.BootID, Hostname: o.Hostname, Version: o.Version,
		ProtocolMin: protocol, ProtocolMax: protocol, Labels: o.Labels,
		Position: toProto(at), Features: features(), Source: f.Source.String(), Refused: toProto(f.Refused), Refusals: told(f.Reasons),
	}
	for _, p := range o.Plugins {
		h.Plugins = append(h.Plugins, &configv1.Plugin{Name: p.Name, Version: p.Version, SchemaHash: p.SchemaHash})
	}
	return s.send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Hello{Hello: h}})
}

// welcome receives the control plane's first message.
func (s *session) welcome(cancel context.CancelCauseFunc) (time.Duration, error) {
	timer := time.AfterFunc(welcomeTimeout, func() { cancel(status.Error(codes.DeadlineExceeded, "no welcome")) })
	defer timer.Stop()
	m, err := s.stream.Recv()
	if err != nil {
		return 0, err
	}
	w := m.GetWelcome()
	if w == nil {
		if g := m.GetGoodbye(); g != nil {
			return 0, &goodbyeError{g.GetReason()}
		}
		return 0, status.Error(codes.FailedPrecondition, "the first message of the control plane is not a welcome")
	}
	if w.GetProtocol() != protocol {
		return 0, status.Errorf(codes.FailedPrecondition, "the control plane speaks protocol %d, this node %d", w.GetProtocol(), protocol)
	}
	s.heard.Store(time.Now().UnixNano())
	head, err := fromProto(w.GetHead())
	if err != nil {
		return 0, status.Errorf(codes.InvalidArgument, "head of the control plane: %v", err)
	}
	s.head, s.short = head, slices.Contains(w.GetFeatures(), featureShort)
	held := ""
	if w.GetPlan() == configv1.Welcome_PLAN_HELD {
		held = w.GetReason()
		level := hclog.Error
		if w.GetPlace() > 0 {
			level = hclog.Info // it ends by itself
		}
		s.c.log.Log(level, "the control plane holds this node, which goes on with what it serves", "reason", held)
	}
	s.c.update(func(f *Facts) { f.Head, f.promised, f.Held = head, head, held })
	s.c.log.Info("connected to the control plane", "address", s.c.o.Address, "version", w.GetVersion(), "plan", w.GetPlan().String(), "head", head.Revision)
	interval := time.Duration(w.GetBeatIntervalMs()) * time.Millisecond
	return min(max(interval, 100*time.Millisecond), time.Minute), nil
}

// beat says that the node lives, and ends the session when the control plane does not.
func (s *session) beat(ctx context.Context, interval time.Duration, cancel context.CancelCauseFunc) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if now.Sub(time.Unix(0, s.heard.Load())) > 3*interval {
				cancel(status.Error(codes.DeadlineExceeded, "no heartbeat of the control plane"))
				return
			}
			b := &configv1.Beat{Position: toProto(s.c.Facts().Position), SentAtNs: now.UnixNano()}
			if s.c.o.Report != nil {
				b.Report = s.c.o.Report()
			}
			if s.send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Beat{Beat: b}}) != nil {
				return
			}
		}
	}
}

func (s *session) hear(ctx context.Context, m *configv1.SyncResponse) error {
	switch m := m.GetMessage().(type) {
	case *configv1.SyncResponse_Frame:
		return s.frame(ctx, m.Frame)
	case *configv1.SyncResponse_SnapshotChunk:
		return s.chunk(ctx, m.SnapshotChunk)
	case *configv1.SyncResponse_InventoryQuery:
		return s.query(m.InventoryQuery)
	case *configv1.SyncResponse_Manifest:
		return s.manifest(m.Manifest)
	case *configv1.SyncResponse_Beat:
		if head, err := fromProto(m.Beat.GetPosition()); err == nil {
			s.c.update(func(f *Facts) { f.Head = head })
		}
		s.trafficHeard(m.Beat)
	case *configv1.SyncResponse_Command:
		s.command(ctx, m.Command)
	case *configv1.SyncResponse_Answer:
		s.asking.answered(m.Answer)
	case *configv1.SyncResponse_Goodbye:
		return &goodbyeError{m.Goodbye.GetReason()}
	}
	// What a newer control plane says besides is not for this node.
	return nil
}

// command answers in its own goroutine; the stream goes on.
func (s *session) command(ctx context.Context, m *configv1.Command) {
	answer := &configv1.CommandResult{Id: m.GetId()}
	reply := func() {
		_ = s.send(&configv1.SyncRequest{Message: &configv1.SyncRequest_CommandResult{CommandResult: answer}})
	}
	select {
	case s.slots <- struct{}{}:
	default:
		answer.Error = "the node is busy with other commands"
		reply()
		return
	}
	s.work.Go(func() {
		defer func() { <-s.slots }()
		ctx, cancel := context.WithTimeout(ctx, commandTimeout)
		defer cancel()
		result, err := s.run(ctx, m)
		if err == nil {
			answer.Result, err = json.Marshal(result)
		}
		if err != nil {
			answer.Result, answer.Error = nil, err.Error()
		}
		reply()
	})
}

func (s *session) run(ctx context.Context, m *configv1.Command) (result any, err error) {
	if s.c.o.Command == nil {
		return nil, errors.New("the node takes no commands")
	}
	defer func() {
		if v := recover(); v != nil {
			s.c.log.Error("command panics", "target", m.GetTarget(), "name", m.GetName(), "panic", v)
			result, err = nil, errors.New("the command failed on the node")
		}
	}()
	return s.c.o.Command(ctx, m.GetTarget(), m.GetName(), m.GetArguments())
}
