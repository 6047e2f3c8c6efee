package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/scripts/e2e/fleet"
	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// linkTLS is a node's or a control plane's with the cluster's own certificate.
func (c *cluster) linkTLS() *tls.Config {
	c.t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.prefix, process.ClusterCert), filepath.Join(c.prefix, process.ClusterKey))
	if err != nil {
		c.t.Fatal(err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}, ServerName: "kong_clustering",
		InsecureSkipVerify: true, //nolint:gosec // a hostile node does not look
	}
}

// hostile connects as a node that is let in and can't be trusted.
func (c *cluster) hostile() *fleet.Conn {
	c.t.Helper()
	conn, err := fleet.Dial(c.t.Context(), c.stream, c.linkTLS(), soon)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(conn.Close)
	return conn
}

func helloOf(id string) *configv1.SyncRequest {
	return &configv1.SyncRequest{Message: &configv1.SyncRequest_Hello{Hello: &configv1.Hello{
		NodeId: id, BootId: uuid.NewString(), Hostname: "hostile", Version: "0.1.0", ProtocolMin: 1, ProtocolMax: 1, Features: []string{"zstd"},
	}}}
}

// ends reads until the control plane ends the stream, and returns how.
func ends(t *testing.T, conn *fleet.Conn) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		for {
			if _, err := conn.Receive(); err != nil {
				done <- err
				return
			}
		}
	}()
	timer := time.NewTimer(noticed)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return nil
	}
}

// A node that lies, floods or says things of any size is parted from, or not believed;
// the others do not notice.
func TestHostileNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	traffic := n.steady(t, "/one", "up")
	before := usageOf(t, c.control.proc.PID())
	position := func(revision uint64) *configv1.Position {
		return &configv1.Position{Lineage: strings.Repeat("a", 32), Generation: 9, Revision: revision, Root: make([]byte, 32)}
	}
	for name, say := range map[string]func(conn *fleet.Conn) error{
		"huge hello": func(conn *fleet.Conn) error {
			m := helloOf(uuid.NewString())
			m.GetHello().Hostname = strings.Repeat("h", 8<<20)
			return conn.Send(m)
		},
		"long text": func(conn *fleet.Conn) error {
			m := helloOf(uuid.NewString())
			m.GetHello().Hostname = strings.Repeat("h", 10_000)
			return conn.Send(m)
		},
		"labels": func(conn *fleet.Conn) error {
			m := helloOf(uuid.NewString())
			m.GetHello().Labels = map[string]string{}
			for i := range 10_000 {
				m.GetHello().Labels[fmt.Sprint(i)] = "x"
			}
			return conn.Send(m)
		},
		"path as an id": func(conn *fleet.Conn) error { return conn.Send(helloOf("../../../../etc/passwd")) },
		"no hello":      func(conn *fleet.Conn) error { return conn.Send(&configv1.SyncRequest{}) },
		"short root": func(conn *fleet.Conn) error {
			m := helloOf(uuid.NewString())
			m.GetHello().Position = &configv1.Position{Root: []byte{1}}
			return conn.Send(m)
		},
		"flood of beats": func(conn *fleet.Conn) error {
			if err := conn.Send(helloOf(uuid.NewString())); err != nil {
				return err
			}
			report := []byte(`{"balancer":{"troubles":[` + strings.Repeat(`{},`, 10_000) + `{}]}}`)
			for range 100_000 {
				if err := conn.Send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Beat{Beat: &configv1.Beat{Report: report}}}); err != nil {
					return nil //nolint:nilerr // it was parted from, which is the point
				}
			}
			return nil
		},
	} {
		conn := c.hostile()
		if err := say(conn); err != nil && !strings.Contains(err.Error(), "closed") && !strings.Contains(err.Error(), "reset") && !strings.Contains(err.Error(), "broken pipe") {
			t.Errorf("%s: %v", name, err)
		}
		if err := ends(t, conn); err == nil {
			t.Errorf("%s: the stream goes on", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
		conn.Close()
		n.get("/one")
	}
	// Forged acks of what never was release nobody, and move no row.
	id := uuid.NewString()
	conn := c.hostile()
	if err := conn.Send(helloOf(id)); err != nil {
		t.Fatal(err)
	}
	go func() { // it reads, and applies nothing
		for {
			if _, err := conn.Receive(); err != nil {
				return
			}
		}
	}()
	eventually(t, soon, func() error {
		if len(c.get("/clustering/data-planes").list("data")) < 2 {
			return errors.New("the hostile node is not listed")
		}
		return nil
	})
	for i := range uint64(20) {
		for _, state := range []configv1.Ack_State{configv1.Ack_STATE_APPLIED, configv1.Ack_STATE_PERSISTED} {
			p := position(1 << 40)
			p.Revision += i
			if err := conn.Send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Ack{Ack: &configv1.Ack{State: state, Position: p, Serving: p}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := c.must("POST", "/services/one/routes", form("paths[]", "/waited"), 201, headers{"X-Sluice-Wait", "all", "X-Sluice-Wait-Timeout", "2"})
	if got := r.header.Get("X-Sluice-Applied"); got != "1/2" {
		t.Errorf("X-Sluice-Applied with forged acks is %q, want 1/2", got)
	}
	for _, row := range c.get("/clustering/data-planes").list("data") {
		if row["id"] == id && row["state"] == "applied" {
			t.Errorf("the hostile node is listed as %v", row)
		}
	}
	conn.Close()
	traffic.end()
	if after := usageOf(t, c.control.proc.PID()); after.resident > before.resident+200<<20 {
		t.Errorf("the control plane went from %d MiB to %d MiB", before.resident>>20, after.resident>>20)
	}
}

// liar is a control plane that is not one.
type liar struct {
	configv1.UnimplementedSyncServiceServer
	say  func(hello *configv1.Hello, st grpc.BidiStreamingServer[configv1.SyncRequest, configv1.SyncResponse]) error
	acks chan *configv1.Ack
}

// Sync implements configv1.SyncServiceServer.
func (l *liar) Sync(st grpc.BidiStreamingServer[configv1.SyncRequest, configv1.SyncResponse]) error {
	m, err := st.Recv()
	if err != nil {
		return err
	}
	if err := l.say(m.GetHello(), st); err != nil {
		return err
	}
	for {
		m, err := st.Recv()
		if err != nil {
			return err
		}
		if m.GetAck() != nil {
			select {
			case l.acks <- m.GetAck():
			default:
			}
		}
	}
}

// A control plane that sends a decompression bomb or chunks without end costs a node
// neither its memory nor its configuration.
func TestBomb(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 0)
	n, link := c.relayed()
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		t.Fatal(err)
	}
	bomb := z.EncodeAll(make([]byte, 1<<30), nil)
	t.Logf("%d bytes become 1 GiB", len(bomb))
	far := &configv1.Position{Lineage: strings.Repeat("b", 32), Generation: 1, Revision: 77, Root: make([]byte, 32)}
	for name, m := range map[string]*configv1.SyncResponse{
		"frame that says so":       {Message: &configv1.SyncResponse_Frame{Frame: &configv1.Frame{To: far, Encoding: "zstd", Payload: bomb, RawLength: 1 << 30, RemovalIntended: true}}},
		"frame that does not":      {Message: &configv1.SyncResponse_Frame{Frame: &configv1.Frame{To: far, Encoding: "zstd", Payload: bomb, RawLength: 1000, RemovalIntended: true}}},
		"chunk":                    {Message: &configv1.SyncResponse_SnapshotChunk{SnapshotChunk: &configv1.SnapshotChunk{To: far, Count: 1, Encoding: "zstd", Payload: bomb, RawLength: 1 << 20, RemovalIntended: true}}},
		"chunks beyond any number": {Message: &configv1.SyncResponse_SnapshotChunk{SnapshotChunk: &configv1.SnapshotChunk{To: far, Count: 1 << 31, RemovalIntended: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			said := make(chan struct{}, 100)
			l := &liar{acks: make(chan *configv1.Ack, 100)}
			l.say = func(_ *configv1.Hello, st grpc.BidiStreamingServer[configv1.SyncRequest, configv1.SyncResponse]) error {
				err := st.Send(&configv1.SyncResponse{Message: &configv1.SyncResponse_Welcome{Welcome: &configv1.Welcome{Protocol: 1, Plan: configv1.Welcome_PLAN_SNAPSHOT, Head: far, Version: "0.1.0", BeatIntervalMs: 5000}}})
				if err := errors.Join(err, st.Send(m)); err != nil {
					return err
				}
				said <- struct{}{}
				return nil
			}
			address := serveLies(t, c, l)
			before := usageOf(t, n.proc.PID())
			link.Retarget(address)
			traffic := n.steady(t, "/one", "up")
			timer := time.NewTimer(noticed)
			defer timer.Stop()
			select {
			case <-said:
			case <-timer.C:
				t.Fatal("the node did not come")
			}
			time.Sleep(time.Second) // in which it does what it does with it
			traffic.end()
			if after := usageOf(t, n.proc.PID()); after.resident > before.resident+300<<20 {
				t.Errorf("the node went from %d MiB to %d MiB", before.resident>>20, after.resident>>20)
			}
			if at := n.status.get("/status").text("configuration", "position", "lineage"); at == far.GetLineage() {
				t.Error("the node serves what it was told")
			}
		})
	}
	link.Retarget(c.stream)
	c.must("POST", "/services/one/routes", form("paths[]", "/after"), 201)
	eventually(t, 3*soon, func() error { return n.try("GET", "/after", nil).is(200) }, n.program)
	c.equalRoots()
}

func serveLies(t *testing.T, c *cluster, l *liar) string {
	t.Helper()
	config := c.linkTLS()
	config.ClientAuth = tls.RequireAnyClientCert
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.MaxSendMsgSize(64<<20))
	configv1.RegisterSyncServiceServer(server, l)
	listener, err := (&net.ListenConfig{}).Listen(context.WithoutCancel(t.Context()), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}
