package identity_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/sluice-gateway/sluice/dataplane/internal/identity"
	clusterv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/cluster/v1"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const nodeID = "0b9a3ad0-5f1c-4c2b-8a53-8d6c0f8f4c11"

// control is a control plane's half of joining, which does what a test tells it to.
type control struct {
	clusterv1.UnimplementedJoinServiceServer

	t       *testing.T
	address string
	ca      *x509.Certificate
	key     *ecdsa.PrivateKey

	mu             sync.Mutex
	life           time.Duration
	joins, renews  int
	joinErr        error
	renewErr       error
	lose           bool // answers are made and not sent
	as             string
	shown          []*x509.Certificate // by renewals
	keys           [][]byte            // that joins were asked with
	backdate       time.Duration
	foreignAnswers bool
}

func newControl(t *testing.T) *control {
	t.Helper()
	c := &control{t: t, life: time.Hour, as: nodeID}
	c.ca, c.key = authority(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.address = l.Addr().String()
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, c.ca, serverKey.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der, c.ca.Raw}, PrivateKey: serverKey}},
	})))
	clusterv1.RegisterJoinServiceServer(server, c)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return c
}

func authority(t *testing.T) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (c *control) line() *tlsutil.JoinLine {
	return &tlsutil.JoinLine{TokenID: "7e636f08fa8cb508", Secret: strings.Repeat("s", 43), Pin: tlsutil.PinOf(c.ca), Address: c.address}
}

func (c *control) issue(request []byte) (*clusterv1.Issued, error) {
	r, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, err
	}
	ca, key := c.ca, c.key
	if c.foreignAnswers {
		ca, key = authority(c.t)
	}
	from := time.Now().Add(-c.backdate)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: from, NotAfter: from.Add(c.life), URIs: []*url.URL{tlsutil.NodeURI(c.as, 1)},
	}, ca, r.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &clusterv1.Issued{Certificate: der, Authority: ca.Raw, LifeMs: uint64(c.life.Milliseconds())}, nil
}

// Join implements clusterv1.JoinServiceServer.
func (c *control) Join(_ context.Context, r *clusterv1.JoinRequest) (*clusterv1.JoinResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joins++
	if request, err := x509.ParseCertificateRequest(r.GetRequest()); err == nil {
		c.keys = append(c.keys, request.RawSubjectPublicKeyInfo)
	}
	if c.joinErr != nil {
		return nil, c.joinErr
	}
	issued, err := c.issue(r.GetRequest())
	if err != nil || c.lose {
		return nil, status.Error(codes.Unavailable, "lost")
	}
	return &clusterv1.JoinResponse{Issued: issued}, nil
}

// Renew implements clusterv1.JoinServiceServer.
func (c *control) Renew(ctx context.Context, r *clusterv1.RenewRequest) (*clusterv1.RenewResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.renews++
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			c.shown = append(c.shown, info.State.PeerCertificates...)
		}
	}
	if c.renewErr != nil {
		return nil, c.renewErr
	}
	issued, err := c.issue(r.GetRequest())
	return &clusterv1.RenewResponse{Issued: issued}, err
}

func (c *control) set(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
}

func (c *control) counts() (joins, renews int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joins, c.renews
}

func open(t *testing.T, o identity.Options) *identity.Identity {
	t.Helper()
	if o.NodeID == "" {
		o.NodeID = nodeID
	}
	i, err := identity.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// dial makes a handshake with the control plane as a session would.
func dial(t *testing.T, i *identity.Identity) error {
	t.Helper()
	config, err := i.TLS(t.Context())
	if err != nil {
		return err
	}
	conn, err := tls.Dial("tcp", i.Address(), config)
	if err != nil {
		return err
	}
	return conn.Close()
}

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		case <-ticker.C:
		}
	}
}

// run keeps an identity until the returned function.
func run(t *testing.T, i *identity.Identity) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestJoinAndComeBack(t *testing.T) {
	c, dir := newControl(t), t.TempDir()
	if identity.Exists(dir) {
		t.Fatal("has joined already")
	}
	if _, err := identity.Open(identity.Options{Dir: dir, NodeID: nodeID}); err == nil {
		t.Error("without anything: no error")
	}
	i := open(t, identity.Options{Dir: dir, Join: c.line()})
	if !i.Expires().IsZero() {
		t.Error("has a certificate before it has joined")
	}
	if err := dial(t, i); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(i.Expires()); left < 50*time.Minute || i.Trouble() != "" {
		t.Errorf("it is good for %v, trouble %q", left, i.Trouble())
	}
	info, err := os.Stat(filepath.Join(dir, identity.File))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
	for _, o := range []identity.Options{{Dir: dir}, {Dir: dir, Join: c.line()}, {Dir: dir, Address: c.address}} {
		if again := open(t, o); again.Address() != c.address || dial(t, again) != nil {
			t.Errorf("%+v: comes not back at %s", o, again.Address())
		}
	}
	if joins, renews := c.counts(); joins != 1 || renews != 0 {
		t.Errorf("%d joins, %d renewals", joins, renews)
	}
	if _, err := identity.Open(identity.Options{Dir: dir, NodeID: "11111111-5f1c-4c2b-8a53-8d6c0f8f4c11"}); err == nil || !strings.Contains(err.Error(), nodeID) {
		t.Errorf("under another id: %v", err)
	}
}

// The answer to the first try is lost: the same key asks again, so that a token for one
// node is enough.
func TestLostAnswer(t *testing.T) {
	c, dir := newControl(t), t.TempDir()
	c.set(func() { c.lose = true })
	i := open(t, identity.Options{Dir: dir, Join: c.line()})
	if err := dial(t, i); status.Code(errors.Unwrap(err)) != codes.Unavailable || i.Trouble() == "" {
		t.Errorf("lost: %v", err)
	}
	c.set(func() { c.lose = false })
	again := open(t, identity.Options{Dir: dir, Join: c.line()}) // it was restarted, too
	if err := dial(t, again); err != nil {
		t.Fatal(err)
	}
	if len(c.keys) != 2 || string(c.keys[0]) != string(c.keys[1]) {
		t.Errorf("%d tries with keys that differ", len(c.keys))
	}
}

func TestRenewal(t *testing.T) {
	c := newControl(t)
	c.set(func() { c.life = 2 * time.Second })
	i := open(t, identity.Options{Dir: t.TempDir(), Join: c.line()})
	stop := run(t, i)
	defer stop()
	if err := dial(t, i); err != nil {
		t.Fatal(err)
	}
	joined := time.Now()
	within(t, "a renewal", func() bool { _, n := c.counts(); return n == 1 })
	if took := time.Since(joined); took < 700*time.Millisecond || took > 10*time.Second {
		t.Errorf("a certificate for 2s is renewed after %v", took)
	}
	within(t, "another", func() bool { _, n := c.counts(); return n == 2 })
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.shown) != 2 || c.shown[0].Equal(c.shown[1]) || c.shown[0].PublicKey.(*ecdsa.PublicKey).Equal(c.shown[1].PublicKey) {
		t.Error("the second renewal does not show the certificate and the key of the first")
	}
}

// Renewal fails for longer than the certificate lives: the node keeps it, goes on trying
// without haste, and says what is wrong.
func TestRenewalFails(t *testing.T) {
	c := newControl(t)
	c.set(func() { c.life, c.renewErr = 2*time.Second, status.Error(codes.Unavailable, "not now") })
	i := open(t, identity.Options{Dir: t.TempDir(), Join: c.line()})
	stop := run(t, i)
	defer stop()
	if err := dial(t, i); err != nil {
		t.Fatal(err)
	}
	end := i.Expires()
	within(t, "the end of the certificate", func() bool { return time.Now().After(end.Add(500 * time.Millisecond)) })
	if err := dial(t, i); err != nil {
		t.Errorf("an expired certificate is not shown any more: %v", err)
	}
	if _, n := c.counts(); n == 0 || n > 40 || !strings.Contains(i.Trouble(), "not now") {
		t.Errorf("%d tries, trouble %q", n, i.Trouble())
	}
	c.set(func() { c.renewErr = nil })
	within(t, "a renewal", func() bool { return i.Expires().After(end) })
	if i.Trouble() != "" {
		t.Errorf("trouble %q", i.Trouble())
	}
}

// What the control plane says of a certificate decides what helps.
func TestRefusedCertificate(t *testing.T) {
	refused := status.Error(codes.Unauthenticated, "the node's certificate has expired")
	for _, test := range []struct {
		name          string
		ended         error
		renewErr      error
		token         bool
		joins, renews int
		good          bool
	}{
		{"no network", status.Error(codes.Unavailable, "x"), nil, true, 1, 0, true},
		{"expired", refused, nil, true, 1, 1, true},
		{"too old, with a token", refused, refused, true, 2, 1, true},
		{"too old, without a token", refused, refused, false, 1, 1, false},
		{"revoked", status.Error(codes.PermissionDenied, "x"), nil, true, 1, 0, true},
		{"renewal is not possible now", refused, status.Error(codes.Unavailable, "x"), true, 1, 1, false},
		{"revoked at the renewal", refused, status.Error(codes.PermissionDenied, "x"), true, 1, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, dir := newControl(t), t.TempDir()
			i := open(t, identity.Options{Dir: dir, Join: c.line()})
			if err := dial(t, i); err != nil {
				t.Fatal(err)
			}
			if !test.token {
				i = open(t, identity.Options{Dir: dir})
			}
			c.set(func() { c.renewErr = test.renewErr })
			if again := i.Ended(test.ended); again != errors.Is(test.ended, refused) {
				t.Errorf("the next session may go better: %v", again)
			}
			if i.Ended(test.ended) {
				t.Error("and the one after that")
			}
			if err := dial(t, i); (err == nil) != test.good {
				t.Errorf("next session: %v", err)
			}
			if joins, renews := c.counts(); joins != test.joins || renews != test.renews {
				t.Errorf("%d joins and %d renewals, want %d and %d", joins, renews, test.joins, test.renews)
			}
		})
	}
}

// Another control plane than the one of the join line gets no token.
func TestWrongPin(t *testing.T) {
	c, other := newControl(t), newControl(t)
	line := c.line()
	line.Address = other.address
	i := open(t, identity.Options{Dir: t.TempDir(), Join: line})
	if err := dial(t, i); err == nil || !strings.Contains(err.Error(), tlsutil.ErrPin.Error()) {
		t.Errorf("wrong pin: %v", err)
	}
	if joins, _ := other.counts(); joins != 0 {
		t.Error("the token was told to another control plane")
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	for name, wrong := range map[string]func(c *control){
		"for another node":        func(c *control) { c.as = "11111111-5f1c-4c2b-8a53-8d6c0f8f4c11" },
		"of another authority":    func(c *control) { c.foreignAnswers = true },
		"refused":                 func(c *control) { c.joinErr = status.Error(codes.Unauthenticated, "the join token is used up") },
		"the control plane fails": func(c *control) { c.joinErr = status.Error(codes.Unavailable, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := newControl(t), t.TempDir()
			c.set(func() { wrong(c) })
			i := open(t, identity.Options{Dir: dir, Join: c.line()})
			if err := dial(t, i); err == nil || i.Trouble() == "" || identity.Exists(dir) {
				t.Errorf("got %v, trouble %q", err, i.Trouble())
			}
		})
	}
}

func TestDamagedFile(t *testing.T) {
	c, dir := newControl(t), t.TempDir()
	if err := dial(t, open(t, identity.Options{Dir: dir, Join: c.line()})); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, identity.File)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "torn": string(whole[:len(whole)/2]), "noise": strings.Repeat("x", 1000), "key alone": string(whole[:strings.Index(string(whole), "-----BEGIN CERT")]),
		"certificates alone": string(whole[strings.Index(string(whole), "-----BEGIN CERT"):]),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.Open(identity.Options{Dir: dir, NodeID: nodeID}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s, without a join line: %v", name, err)
		}
		if err := dial(t, open(t, identity.Options{Dir: dir, Join: c.line()})); err != nil {
			t.Errorf("%s, with a join line: %v", name, err)
		}
	}
}

// A prefix that can not be written to does not keep a node from following.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root may write everywhere: a folder stands in the way instead")
	}
	c, dir := newControl(t), t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, identity.File, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	i := open(t, identity.Options{Dir: dir, Join: c.line()})
	if err := dial(t, i); err != nil || i.Expires().IsZero() {
		t.Errorf("the certificate can not be kept: %v", err)
	}
}

// A clock that is years off changes nothing: what counts is what the control plane says.
func TestWrongClocks(t *testing.T) {
	for name, years := range map[string]int{"behind": -10, "ahead": 10} {
		t.Run(name, func(t *testing.T) {
			c, dir := newControl(t), t.TempDir()
			c.set(func() { c.life = 10 * time.Second })
			now := func() time.Time { return time.Now().AddDate(years, 0, 0) }
			i := open(t, identity.Options{Dir: dir, Join: c.line(), Now: now})
			for range 3 {
				if err := dial(t, i); err != nil {
					t.Fatal(err)
				}
			}
			// After a restart the certificate does not fit to the clock and is renewed soon,
			// once.
			again := open(t, identity.Options{Dir: dir, Now: now})
			c.set(func() { c.renewErr = status.Error(codes.ResourceExhausted, "a moment ago") })
			if err := dial(t, again); err != nil {
				t.Errorf("a renewal that only the clock wants and that is refused: %v", err)
			}
			c.set(func() { c.renewErr = nil })
			stop := run(t, again)
			defer stop()
			before := again.Expires()
			within(t, "a renewal", func() bool { return !again.Expires().Equal(before) })
			_, renews := c.counts()
			if err := dial(t, again); err != nil {
				t.Error(err)
			}
			if _, n := c.counts(); n > renews+1 {
				t.Errorf("%d renewals, before %d", n, renews)
			}
		})
	}
}

// A node that is given a line of another cluster joins that, and keeps what it has until
// it has.
func TestOtherCluster(t *testing.T) {
	c, next, dir := newControl(t), newControl(t), t.TempDir()
	if err := dial(t, open(t, identity.Options{Dir: dir, Join: c.line()})); err != nil {
		t.Fatal(err)
	}
	next.set(func() { next.joinErr = status.Error(codes.Unauthenticated, "no") })
	if err := dial(t, open(t, identity.Options{Dir: dir, Join: next.line()})); err == nil {
		t.Error("refused: no error")
	}
	if err := dial(t, open(t, identity.Options{Dir: dir})); err != nil {
		t.Errorf("back to the first cluster: %v", err)
	}
	next.set(func() { next.joinErr = nil })
	if err := dial(t, open(t, identity.Options{Dir: dir, Join: next.line()})); err != nil {
		t.Fatal(err)
	}
	if i := open(t, identity.Options{Dir: dir}); i.Address() != next.address {
		t.Errorf("it is a node of %s", i.Address())
	}
}
