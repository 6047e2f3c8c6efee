package rpc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	members "github.com/sluice-gateway/sluice/controlplane/internal/identity"
	clusterv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/cluster/v1"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// joiner is a node that joins by hand.
type joiner struct {
	p    *plane
	id   string
	key  *ecdsa.PrivateKey
	cert *tls.Certificate
}

func (p *plane) joiner(name string) *joiner {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	return &joiner{p: p, id: id(name), key: key}
}

func (p *plane) token(uses int) tlsutil.JoinLine {
	p.t.Helper()
	known, secret, err := p.members.CreateToken(p.t.Context(), members.TokenRequest{Uses: uses})
	if err != nil {
		p.t.Fatal(err)
	}
	return p.members.JoinLine(known, secret, p.address)
}

// tls is how the joiner dials, with the certificate that it has.
func (j *joiner) tls() *tls.Config {
	return j.p.members.Pin().Client(func() *tls.Certificate { return j.cert })
}

func (p *plane) joinService(config *tls.Config) clusterv1.JoinServiceClient {
	p.t.Helper()
	conn, err := grpc.NewClient(p.address, grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithNoProxy())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	return clusterv1.NewJoinServiceClient(conn)
}

func (j *joiner) request() []byte {
	j.p.t.Helper()
	b, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, j.key)
	if err != nil {
		j.p.t.Fatal(err)
	}
	return b
}

func (j *joiner) take(issued *clusterv1.Issued) {
	j.cert = &tls.Certificate{Certificate: [][]byte{issued.GetCertificate()}, PrivateKey: j.key}
}

func (j *joiner) join(line tlsutil.JoinLine) error {
	j.p.t.Helper()
	r, err := j.p.joinService(j.tls()).Join(j.p.t.Context(), &clusterv1.JoinRequest{TokenId: line.TokenID, Secret: line.Secret, NodeId: j.id, Request: j.request()})
	if err == nil {
		j.take(r.GetIssued())
	}
	return err
}

func (j *joiner) renew(config *tls.Config) error {
	j.p.t.Helper()
	r, err := j.p.joinService(config).Renew(j.p.t.Context(), &clusterv1.RenewRequest{Request: j.request()})
	if err == nil {
		j.take(r.GetIssued())
	}
	return err
}

// stream opens a stream under an id, and returns what it ends with, or its welcome.
func (j *joiner) stream(config *tls.Config, as string) (*node, error) {
	j.p.t.Helper()
	client, done := j.p.dial(config)
	j.p.t.Cleanup(done)
	st, err := client.Sync(j.p.t.Context())
	if err != nil {
		return nil, err
	}
	h := hello("x")
	h.NodeId = as
	_ = st.Send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Hello{Hello: h}})
	m, err := st.Recv()
	if err != nil {
		return nil, err
	}
	if m.GetWelcome() == nil {
		j.p.t.Fatalf("instead of a welcome: %v", m)
	}
	return &node{t: j.p.t, stream: st, id: as, tree: map[string]string{}}, nil
}

func (p *plane) code(what string, err error, want codes.Code) {
	p.t.Helper()
	if got := status.Code(err); got != want {
		p.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func TestJoining(t *testing.T) {
	p := start(t)
	p.put("a")
	j, other := p.joiner("one"), p.joiner("other")
	_, err := j.stream(j.tls(), j.id)
	p.code("a stream without a certificate", err, codes.Unauthenticated)
	p.code("renewal without a certificate", j.renew(j.tls()), codes.Unauthenticated)
	p.code("join", j.join(p.token(1)), codes.OK)
	p.code("join", other.join(p.token(1)), codes.OK)
	n, err := j.stream(j.tls(), j.id)
	p.code("its own id", err, codes.OK)
	_, err = other.stream(other.tls(), j.id)
	p.code("another's id", err, codes.PermissionDenied)
	_, err = j.stream(p.identity.Client(""), other.id)
	p.code("the id of one that has joined, with the shared certificate", err, codes.PermissionDenied)
	p.code("renewal with the shared certificate", j.renew(p.identity.Client("")), codes.Unauthenticated)
	_, err = other.stream(p.identity.Client(""), id("plain"))
	p.code("a node with the shared certificate", err, codes.OK)

	thief := p.joiner("one")
	p.code("a token for the id of a node that is connected", thief.join(p.token(1)), codes.AlreadyExists)
	rows := p.hub.Nodes()
	for _, row := range rows {
		if joined := row["id"] == j.id; row["joined"] != joined {
			t.Errorf("the row %v", row)
		}
	}
	before := expiry(t, p, j.id)
	p.skew.Store(int64(30 * time.Minute))
	p.code("renewal", j.renew(j.tls()), codes.OK)
	p.code("renewal at once", j.renew(j.tls()), codes.ResourceExhausted)
	if after := expiry(t, p, j.id); after-before < 1700 {
		t.Errorf("the row shows the end %d, before it was %d", after, before)
	}
	n.apply() // on the stream of before
}

func expiry(t *testing.T, p *plane, id string) int64 {
	t.Helper()
	for _, row := range p.hub.Nodes() {
		if row["id"] == id {
			at, _ := row["cert_details"].(map[string]any)["expiry_timestamp"].(int64)
			return at
		}
	}
	t.Fatalf("%s is not listed", id)
	return 0
}

func TestExpiredCertificateRenews(t *testing.T) {
	p := start(t)
	j := p.joiner("one")
	p.code("join", j.join(p.token(1)), codes.OK)
	p.skew.Store(int64(90 * time.Minute))
	_, err := j.stream(j.tls(), j.id)
	p.code("expired", err, codes.Unauthenticated)
	if err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: %v", err)
	}
	p.code("renewal in the grace", j.renew(j.tls()), codes.OK)
	_, err = j.stream(j.tls(), j.id)
	p.code("renewed", err, codes.OK)
	late := p.joiner("late")
	p.code("join", late.join(p.token(1)), codes.OK)
	p.skew.Store(int64(4 * time.Hour))
	p.code("renewal after the grace", late.renew(late.tls()), codes.Unauthenticated)
}

// A node that is revoked hears so at once, and nothing that it says counts.
func TestRevokedNodeIsPartedWith(t *testing.T) {
	p := start(t)
	j := p.joiner("one")
	p.code("join", j.join(p.token(1)), codes.OK)
	n, err := j.stream(j.tls(), j.id)
	p.code("stream", err, codes.OK)
	if err := p.members.Revoke(t.Context(), j.id); err != nil {
		t.Fatal(err)
	}
	p.hub.Evict(j.id, "revoked", time.Second)
	for {
		m, err := n.stream.Recv()
		if err != nil {
			t.Fatalf("ends without a goodbye: %v", err)
		}
		if g := m.GetGoodbye(); g != nil {
			if g.GetReason() != "revoked" || g.GetRetryAfterMs() != 1000 {
				t.Errorf("goodbye: %v", g)
			}
			break
		}
	}
	_, err = j.stream(j.tls(), j.id)
	p.code("once more", err, codes.PermissionDenied)
	p.code("renewal", j.renew(j.tls()), codes.PermissionDenied)
	p.code("join", j.join(p.token(1)), codes.PermissionDenied)
}

func TestJoinRequestsThatAreRefused(t *testing.T) {
	p := start(t)
	line, j := p.token(0), p.joiner("one")
	service := p.joinService(j.tls())
	for name, test := range map[string]struct {
		r    *clusterv1.JoinRequest
		code codes.Code
	}{
		"nothing":       {&clusterv1.JoinRequest{}, codes.Unauthenticated},
		"endless token": {&clusterv1.JoinRequest{TokenId: strings.Repeat("a", 1<<20), Secret: strings.Repeat("b", 1<<20)}, codes.Unauthenticated},
		"no request":    {&clusterv1.JoinRequest{TokenId: line.TokenID, Secret: line.Secret, NodeId: j.id}, codes.InvalidArgument},
		"huge request":  {&clusterv1.JoinRequest{TokenId: line.TokenID, Secret: line.Secret, NodeId: j.id, Request: make([]byte, 1<<20)}, codes.InvalidArgument},
		"no id":         {&clusterv1.JoinRequest{TokenId: line.TokenID, Secret: line.Secret, NodeId: "../x", Request: j.request()}, codes.InvalidArgument},
	} {
		_, err := service.Join(t.Context(), test.r)
		p.code(name, err, test.code)
	}
	if used := p.members.Token(line.TokenID).Used; used != 0 {
		t.Errorf("the token was used %d times", used)
	}
}

// Who tries tokens is held up, and soon not listened to, while nodes that are connected
// notice nothing.
func TestJoinFlood(t *testing.T) {
	p := start(t)
	good := p.joiner("good")
	p.code("join", good.join(p.token(1)), codes.OK)
	n, err := good.stream(good.tls(), good.id)
	p.code("stream", err, codes.OK)

	wrong := p.token(1)
	wrong.Secret = strings.Repeat("A", len(wrong.Secret))
	j := p.joiner("bad")
	service := p.joinService(j.tls())
	request := &clusterv1.JoinRequest{TokenId: wrong.TokenID, Secret: wrong.Secret, NodeId: j.id, Request: j.request()}
	for range 5 {
		_, err := service.Join(t.Context(), request)
		p.code("a wrong secret", err, codes.Unauthenticated)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var busy, tried atomic.Int32
	var wait sync.WaitGroup
	for range 8 { // connections, for each has few calls at a time
		service := p.joinService(j.tls())
		wait.Go(func() {
			for ctx.Err() == nil {
				_, err := service.Join(ctx, request)
				switch status.Code(err) { //nolint:exhaustive // the others are counted below
				case codes.ResourceExhausted:
					busy.Add(1)
				case codes.Unauthenticated:
					tried.Add(1)
				case codes.DeadlineExceeded, codes.Canceled:
				default:
					t.Error(err)
				}
			}
		})
	}
	p.put("a")
	n.apply()
	wait.Wait()
	if busy.Load() == 0 || tried.Load() > 8 {
		t.Errorf("%d secrets were looked at in two seconds, %d calls were refused", tried.Load(), busy.Load())
	}
}
