package wire_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/controlplane/internal/wire"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const echo = pb.TestService_FullDuplexCall_FullMethodName

// server is one that is served.
type server struct {
	t       *testing.T
	wire    *wire.Server
	address string
	client  *tls.Config
	gone    chan error // of echoes
	done    chan error // of Serve

	slow chan struct{} // what unary calls wait for; nil for nothing
}

func start(t *testing.T, change ...func(o *wire.Options)) *server {
	t.Helper()
	cert, key, err := tlsutil.Generate(tlsutil.Name, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, err := tlsutil.Load(tlsutil.Shared, cert, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := wire.Options{
		Credentials: credentials.NewTLS(id.Server()), MaxMessage: 4 << 20, MaxStreams: 4, MaxHeader: 16 << 10, Window: 64 << 10,
		Handshake: 5 * time.Second, Idle: time.Minute, Stall: time.Minute,
	}
	for _, f := range change {
		f(&o)
	}
	w, err := wire.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, wire: w, client: id.Client(""), gone: make(chan error, 100), done: make(chan error, 1)}
	w.Stream(echo, func(st *wire.Stream) wire.Handler { return &echoing{s: s, st: st, end: make(chan error, 1)} })
	pb.RegisterTestServiceServer(w, &calls{s: s})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	go func() { s.done <- w.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		w.Stop(ctx)
		if err := <-s.done; !errors.Is(err, wire.ErrStopped) {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// calls are the unary ones. What is asked for is in the status that the request names.
type calls struct {
	pb.UnimplementedTestServiceServer

	s *server
}

func (c *calls) UnaryCall(ctx context.Context, m *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if p, ok := peer.FromContext(ctx); !ok || p.Addr == nil || p.AuthInfo == nil {
		return nil, status.Error(codes.Internal, "the peer is not known")
	}
	if c.s.slow != nil {
		select {
		case <-c.s.slow:
		case <-ctx.Done():
			c.s.gone <- ctx.Err()
			return nil, ctx.Err()
		}
	}
	if st := m.GetResponseStatus(); st != nil {
		return nil, status.Error(codes.Code(st.GetCode()), st.GetMessage()) //nolint:gosec // of the test
	}
	body := m.GetPayload().GetBody()
	if n := m.GetResponseSize(); n > 0 {
		body = make([]byte, n)
	}
	return &pb.SimpleResponse{Payload: &pb.Payload{Body: body}}, nil
}

// echoing says what it hears, until it hears "end" and a reason.
type echoing struct {
	s     *server
	st    *wire.Stream
	end   chan error
	mu    sync.Mutex
	queue [][]byte
	wake  chan struct{}
	once  sync.Once
}

func (e *echoing) signal() chan struct{} {
	e.once.Do(func() { e.wake = make(chan struct{}, 1) })
	return e.wake
}

func (e *echoing) Hear(message []byte) error {
	m := &pb.StreamingOutputCallRequest{}
	if err := proto.Unmarshal(message, m); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if st := m.GetResponseStatus(); st != nil {
		return status.Error(codes.Code(st.GetCode()), st.GetMessage()) //nolint:gosec // of the test
	}
	b, err := proto.Marshal(&pb.StreamingOutputCallResponse{Payload: m.GetPayload()})
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.queue = append(e.queue, b)
	e.mu.Unlock()
	select {
	case e.signal() <- struct{}{}:
	default:
	}
	return nil
}

func (e *echoing) Gone(why error) {
	e.end <- why
	select {
	case e.s.gone <- why:
	default: // nobody asks
	}
}

func (e *echoing) Serve() error {
	for {
		e.mu.Lock()
		queue := e.queue
		e.queue = nil
		e.mu.Unlock()
		for _, b := range queue {
			if err := e.st.Send(b); err != nil {
				return err
			}
		}
		if len(queue) > 0 {
			continue
		}
		select {
		case <-e.signal():
		case why := <-e.end:
			e.mu.Lock()
			left := len(e.queue)
			e.mu.Unlock()
			if left > 0 && why == io.EOF { //nolint:errorlint // it is this one
				e.end <- why
				continue
			}
			if why == io.EOF { //nolint:errorlint // it is this one
				return nil
			}
			return why
		}
	}
}

func (s *server) dial(o ...grpc.DialOption) *grpc.ClientConn {
	s.t.Helper()
	conn, err := grpc.NewClient(s.address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(s.client)), grpc.WithNoProxy(), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64 << 20)),
	}, o...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestUnary(t *testing.T) {
	s := start(t)
	client := pb.NewTestServiceClient(s.dial())
	ctx := within(t)
	for _, n := range []int{0, 1, 100, 16<<10 - 6, 16 << 10, 70_000, 4<<20 - 100} {
		body := bytes.Repeat([]byte("x"), n)
		m, err := client.UnaryCall(ctx, &pb.SimpleRequest{Payload: &pb.Payload{Body: body}})
		if err != nil || !bytes.Equal(m.GetPayload().GetBody(), body) {
			t.Errorf("%d bytes: %d bytes, %v", n, len(m.GetPayload().GetBody()), err)
		}
	}
	// A larger answer than any window.
	m, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: 20 << 20})
	if err != nil || len(m.GetPayload().GetBody()) != 20<<20 {
		t.Errorf("20 MiB: %v", err)
	}
	for _, text := range []string{"", "plain", "100 % süß\n", strings.Repeat("long ", 500)} {
		_, err := client.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: int32(codes.FailedPrecondition), Message: text}})
		if status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != text {
			t.Errorf("%q came as %v", text, err)
		}
	}
	_, err = client.UnaryCall(ctx, &pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, 5<<20)}})
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "4194304") {
		t.Errorf("too much: %v", err)
	}
	if _, err := client.EmptyCall(ctx, &pb.Empty{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that is not there: %v", err)
	}
	if err := s.dial().Invoke(ctx, "/no.Such/Call", &pb.Empty{}, &pb.Empty{}); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "/no.Such/Call") {
		t.Errorf("a service that is not there: %v", err)
	}
	if _, err := client.UnaryCall(ctx, &pb.SimpleRequest{}, grpc.UseCompressor("identity")); err != nil {
		t.Errorf("identity: %v", err)
	}
}

func TestManyCallsAtOnce(t *testing.T) {
	s := start(t)
	client := pb.NewTestServiceClient(s.dial())
	ctx := within(t)
	var work sync.WaitGroup
	for i := range 200 {
		work.Go(func() {
			body := bytes.Repeat([]byte{byte(i)}, rand.IntN(100_000))
			m, err := client.UnaryCall(ctx, &pb.SimpleRequest{Payload: &pb.Payload{Body: body}})
			if err != nil || !bytes.Equal(m.GetPayload().GetBody(), body) {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	work.Wait()
}

func TestDeadlinesAndCancelling(t *testing.T) {
	s := start(t)
	s.slow = make(chan struct{})
	client := pb.NewTestServiceClient(s.dial())
	ctx, cancel := context.WithTimeout(within(t), 100*time.Millisecond)
	defer cancel()
	if _, err := client.UnaryCall(ctx, &pb.SimpleRequest{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("deadline: %v", err)
	}
	if err := <-s.gone; err == nil {
		t.Error("the handler was not told of the deadline")
	}
	ctx, cancel = context.WithCancel(within(t))
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := client.UnaryCall(ctx, &pb.SimpleRequest{}); status.Code(err) != codes.Canceled {
		t.Errorf("cancelled: %v", err)
	}
	if err := <-s.gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the handler was told %v", err)
	}
}

// TestStreams holds that messages of all sizes come whole and in order, both ways at once.
func TestStreams(t *testing.T) {
	s := start(t)
	for _, o := range [][]grpc.DialOption{nil, {grpc.WithStaticStreamWindowSize(64 << 10), grpc.WithStaticConnWindowSize(64 << 10)}, {grpc.WithWriteBufferSize(0), grpc.WithReadBufferSize(0)}} {
		stream, err := pb.NewTestServiceClient(s.dial(o...)).FullDuplexCall(within(t))
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		const n = 300
		sizes := make([]int, n)
		for i := range sizes {
			sizes[i] = []int{r.IntN(10), r.IntN(1000), r.IntN(40_000), r.IntN(300_000)}[r.IntN(4)]
		}
		go func() {
			for i, size := range sizes {
				_ = stream.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: bytes.Repeat([]byte{byte(i)}, size)}}) // what fails here is missed below
			}
			_ = stream.CloseSend()
		}()
		for i, size := range sizes {
			m, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(m.GetPayload().GetBody(), bytes.Repeat([]byte{byte(i)}, size)) {
				t.Fatalf("message %d of %d bytes is another", i, size)
			}
		}
		if _, err := stream.Recv(); err != io.EOF { //nolint:errorlint // as grpc says
			t.Errorf("the end: %v", err)
		}
		if err := <-s.gone; err != io.EOF { //nolint:errorlint // it is this one
			t.Errorf("the handler was told %v", err)
		}
	}
}

func TestStreamsEnd(t *testing.T) {
	s := start(t)
	conn := s.dial()
	client := pb.NewTestServiceClient(conn)
	stream, err := client.FullDuplexCall(within(t))
	if err != nil {
		t.Fatal(err)
	}
	// Hear's error is the call's.
	bad := &pb.StreamingOutputCallRequest{ResponseStatus: &pb.EchoStatus{Code: int32(codes.AlreadyExists), Message: "again"}}
	if err := stream.Send(bad); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.AlreadyExists {
		t.Errorf("ended with %v", err)
	}
	if err := <-s.gone; status.Code(err) != codes.AlreadyExists {
		t.Errorf("the handler was told %v", err)
	}
	// The caller's cancelling is heard.
	ctx, cancel := context.WithCancel(within(t))
	if stream, err = client.FullDuplexCall(ctx); err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-s.gone; status.Code(err) != codes.Canceled {
		t.Errorf("the handler was told %v", err)
	}
	// A lost connection, too.
	if stream, err = client.FullDuplexCall(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if err := <-s.gone; status.Code(err) != codes.Canceled && status.Code(err) != codes.Unavailable {
		t.Errorf("the handler was told %v", err)
	}
}

// TestStop holds that calls in progress end by themselves, and by force when that takes too
// long.
func TestStop(t *testing.T) {
	s := start(t)
	s.slow = make(chan struct{})
	client := pb.NewTestServiceClient(s.dial())
	answered := make(chan error, 1)
	go func() {
		_, err := client.UnaryCall(within(t), &pb.SimpleRequest{})
		answered <- err
	}()
	idle := s.dial()
	if _, err := pb.NewTestServiceClient(idle).EmptyCall(within(t), &pb.Empty{}); status.Code(err) != codes.Unimplemented {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	stopped := make(chan struct{})
	go func() {
		s.wire.Stop(within(t))
		close(stopped)
	}()
	time.Sleep(100 * time.Millisecond)
	select {
	case <-stopped:
		t.Fatal("a call in progress was not waited for")
	default:
	}
	if _, err := net.DialTimeout("tcp", s.address, time.Second); err == nil {
		t.Error("it accepts while it stops")
	}
	close(s.slow)
	if err := <-answered; err != nil {
		t.Errorf("the call in progress: %v", err)
	}
	<-stopped

	s = start(t)
	s.slow = make(chan struct{})
	client = pb.NewTestServiceClient(s.dial())
	go func() {
		_, err := client.UnaryCall(within(t), &pb.SimpleRequest{})
		answered <- err
	}()
	time.Sleep(100 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	s.wire.Stop(ctx)
	if err := <-answered; status.Code(err) != codes.Unavailable {
		t.Errorf("the call that was ended: %v", err)
	}
}

// TestUseless holds that connections end that do nothing, and those that do not read.
func TestUseless(t *testing.T) {
	s := start(t, func(o *wire.Options) {
		o.Idle, o.Stall, o.Handshake = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	})
	for name, begin := range map[string]func(c net.Conn) error{
		"nothing": func(net.Conn) error { return nil },
		"only TLS": func(c net.Conn) error {
			return tls.Client(c, s.client).HandshakeContext(within(t))
		},
		"no call": func(c net.Conn) error {
			_, err := tlsPeer(within(t), c, s.client)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", s.address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if err := begin(c); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
				t.Error("it stays")
			}
		})
	}
	p := s.peer(t)
	p.call(1, pb.TestService_UnaryCall_FullMethodName)
	_ = p.WriteData(1, false, []byte{0, 0, 0, 0, 9, 1})
	if got, err := p.until(1); err != nil || !strings.Contains(got, "grpc-status=4;") {
		t.Errorf("half a call: %s %v", got, err)
	}
	// A call is not idle.
	stream, err := pb.NewTestServiceClient(s.dial()).FullDuplexCall(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatalf("a call at rest was ended: %v", err)
		}
		time.Sleep(300 * time.Millisecond)
	}
	// Nor is one whose caller reads nothing kept: the bytes stay in windows and sockets.
	deaf := &deafness{}
	conn := s.dial(grpc.WithReadBufferSize(0), grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return &deafConn{c, deaf}, err
	}))
	stream, err = pb.NewTestServiceClient(conn).FullDuplexCall(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.StreamingOutputCallRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	deaf.on.Store(true)
	for range 100 {
		if err := stream.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: make([]byte, 200_000)}}); err != nil {
			break
		}
	}
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case why := <-s.gone:
		t.Logf("ended: %v", why)
	case <-timer.C:
		t.Error("who does not read stays")
	}
	deaf.on.Store(false)
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

type deafness struct{ on atomic.Bool }

type deafConn struct {
	net.Conn

	d *deafness
}

func (c *deafConn) Read(b []byte) (int, error) {
	for c.d.on.Load() {
		time.Sleep(10 * time.Millisecond)
	}
	return c.Conn.Read(b)
}

// TestAtRest holds that a stream at rest has two goroutines.
func TestAtRest(t *testing.T) {
	s := start(t)
	const n = 20
	before := 0
	for i := range n + 1 {
		if i == 1 {
			before = runtime.NumGoroutine()
		}
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		p, err := tlsPeer(within(t), c, s.client)
		if err != nil {
			t.Fatal(err)
		}
		p.call(1, echo)
		p.message(1, nil)
		if _, err := p.until(1); err != nil {
			t.Fatal(err)
		}
	}
	// Those of the handshakes end soon.
	now := 0
	for range 100 {
		if now = runtime.NumGoroutine(); now-before == 2*n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d streams have %d goroutines", n, now-before)
}

func TestOptions(t *testing.T) {
	if _, err := wire.New(wire.Options{}); err == nil {
		t.Error("a server without credentials is made")
	}
	if _, err := wire.New(wire.Options{Credentials: credentials.NewTLS(&tls.Config{})}); err == nil { //nolint:gosec // none is used
		t.Error("a server without limits is made")
	} else if !strings.Contains(fmt.Sprint(err), "limits") {
		t.Error(err)
	}
}
