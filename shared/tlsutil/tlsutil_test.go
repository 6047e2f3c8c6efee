package tlsutil_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// handshake connects both sides and returns their errors.
func handshake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	b, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	s := tls.Server(a, server)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		_ = a.Close()
		done <- err
	}()
	c := tls.Client(b, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1))
	}
	_ = b.Close()
	return <-done, clientErr
}

func shared(t *testing.T, life time.Duration) *tlsutil.Identity {
	t.Helper()
	cert, key, err := tlsutil.Generate(tlsutil.Name, life, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	id, err := tlsutil.Load(tlsutil.Shared, cert, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestSharedMode(t *testing.T) {
	ours, other := shared(t, time.Hour), shared(t, time.Hour)
	if s, c := handshake(t, ours.Server(), ours.Client("")); s != nil || c != nil {
		t.Errorf("one certificate: server %v, client %v", s, c)
	}
	if s, _ := handshake(t, ours.Server(), other.Client("")); s == nil {
		t.Error("another certificate: the server accepts it")
	}
	if _, c := handshake(t, other.Server(), ours.Client("")); !errors.Is(c, tlsutil.ErrOther) {
		t.Errorf("another certificate: client got %v, want ErrOther", c)
	}
	none := ours.Client("")
	none.Certificates = nil
	if s, _ := handshake(t, ours.Server(), none); s == nil {
		t.Error("no certificate: the server accepts it")
	}
	old := ours.Client("")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if s, _ := handshake(t, ours.Server(), old); s == nil {
		t.Error("TLS 1.2: the server accepts it")
	}
}

func TestSharedModeOutlivesExpiry(t *testing.T) {
	id := shared(t, -time.Minute)
	if s, c := handshake(t, id.Server(), id.Client("")); s != nil || c != nil {
		t.Errorf("expired: server %v, client %v", s, c)
	}
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	cert, key, err := tlsutil.Generate("authority", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey), cert} //nolint:forcetypeassert // made above
}

func (a *authority) issue(t *testing.T, name string, life time.Duration, alternatives ...string) *tlsutil.Identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, DNSNames: alternatives,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(life),
	}, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id, err := tlsutil.Load(tlsutil.PKI, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}), a.pem)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestPKI(t *testing.T) {
	ca := newAuthority(t)
	foreign := newAuthority(t)
	node := ca.issue(t, "node", time.Hour)
	tests := []struct {
		name           string
		server, client *tlsutil.Identity
		asked          string
		good           bool
	}{
		{"alternative name", ca.issue(t, "x", time.Hour, "cp.example"), node, "cp.example", true},
		{"common name alone", ca.issue(t, "cp.example", time.Hour), node, "cp.example", true},
		{"common name beside others", ca.issue(t, "cp.example", time.Hour, "else.example"), node, "cp.example", false},
		{"another common name", ca.issue(t, "else.example", time.Hour), node, "cp.example", false},
		{"server of another authority", foreign.issue(t, "cp.example", time.Hour), node, "cp.example", false},
		{"node of another authority", ca.issue(t, "cp.example", time.Hour), foreign.issue(t, "node", time.Hour), "cp.example", false},
		{"expired node", ca.issue(t, "cp.example", time.Hour), ca.issue(t, "node", -time.Hour), "cp.example", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, c := handshake(t, tt.server.Server(), tt.client.Client(tt.asked))
			if good := s == nil && c == nil; good != tt.good {
				t.Errorf("server %v, client %v, want good %v", s, c, tt.good)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	cert, key, err := tlsutil.Generate("x", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, err := tlsutil.Generate("x", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, load := range map[string]func() (*tlsutil.Identity, error){
		"key of another":   func() (*tlsutil.Identity, error) { return tlsutil.Load(tlsutil.Shared, cert, otherKey, nil) },
		"no authority":     func() (*tlsutil.Identity, error) { return tlsutil.Load(tlsutil.PKI, cert, key, []byte("x")) },
		"unknown mode":     func() (*tlsutil.Identity, error) { return tlsutil.Load("both", cert, key, nil) },
		"not even PEM":     func() (*tlsutil.Identity, error) { return tlsutil.Load(tlsutil.Shared, nil, nil, nil) },
		"key is what's it": func() (*tlsutil.Identity, error) { return tlsutil.Load(tlsutil.Shared, key, cert, nil) },
	} {
		if _, err := load(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestEnsure(t *testing.T) {
	dir := t.TempDir()
	cert, key, made, err := tlsutil.Ensure(dir, time.Now())
	if err != nil || !made {
		t.Fatalf("first: made %v, %v", made, err)
	}
	again, _, made, err := tlsutil.Ensure(dir, time.Now())
	if err != nil || made || string(again) != string(cert) {
		t.Fatalf("second: made %v, %v, the same %v", made, err, string(again) == string(cert))
	}
	info, err := os.Stat(filepath.Join(dir, "cluster.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info.Mode(), err)
	}
	if _, err := tlsutil.Load(tlsutil.Shared, cert, key, nil); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, "cluster.crt")); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := tlsutil.Ensure(dir, time.Now()); err == nil {
		t.Error("half a pair: no error")
	}
	if err := tlsutil.WritePair(filepath.Join(dir, "a.crt"), filepath.Join(dir, "cluster.key"), cert, key); !errors.Is(err, tlsutil.ErrExists) {
		t.Errorf("overwriting a key: %v", err)
	}
}
