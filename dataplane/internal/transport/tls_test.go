package transport_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key, a.cert = sign(t, template, template, nil)
	a.pool.AddCert(a.cert)
	return a
}

func sign(t *testing.T, template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	key, cert := sign(t, template, a.cert, a.key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func listenTLS(t *testing.T, config *tls.Config, handle func(c net.Conn, nth int)) *upstream {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, ln, handle)
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	u := listenTLS(t, &tls.Config{Certificates: []tls.Certificate{a.issue(t, "good.test")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool},
		func(c net.Conn, nth int) {
			answering(func(_ *http.Request, body []byte, _ int) string {
				s := c.(*tls.Conn).ConnectionState()
				if s.ServerName != "good.test" || s.PeerCertificates[0].Subject.CommonName != "client" {
					return "HTTP/1.1 500 Wrong\r\nContent-Length: 0\r\n\r\n"
				}
				if len(body) > 5 {
					return "HTTP/1.1 201 Long\r\nContent-Length: 2\r\n\r\nok"
				}
				return ok
			})(c, nth)
		})
	tr := newTransport(t, transport.Options{})
	made := 0
	e := tr.Endpoint(transport.EndpointKey{Network: "tcp", Address: u.address(), Protocol: transport.HTTP1, TLS: true, ServerName: "good.test"}, func() *tls.Config {
		made++
		return &tls.Config{RootCAs: a.pool, Certificates: []tls.Certificate{a.issue(t, "client")}}
	})
	for range 3 {
		if body, err := get(t, e); err != nil || body != "ok" {
			t.Fatalf("RoundTrip = %q, %v", body, err)
		}
	}
	for _, length := range []int64{1 << 20, -1} {
		x := newExchange(&pattern{n: 1 << 20}, length)
		if err := e.RoundTrip(x, seconds()); err != nil || x.Response.Status != 201 {
			t.Errorf("RoundTrip = %d, %v", x.Response.Status, err)
		}
		readAll(t, x)
		x.Reset()
	}
	if u.accepted.Load() != 1 || made != 1 {
		t.Errorf("connections = %d, configs = %d, want 1, 1", u.accepted.Load(), made)
	}
}

func TestTLSFaults(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	good := &tls.Config{Certificates: []tls.Certificate{a.issue(t, "good.test")}}
	for _, tt := range []struct {
		name   string
		server *tls.Config // nil for a plain server
		client *tls.Config
		want   transport.ErrorKind // 0 for none
	}{
		{"verified", good, &tls.Config{RootCAs: a.pool}, 0},
		{"not verified", good, &tls.Config{InsecureSkipVerify: true, ServerName: "other.test"}, 0},
		{"unknown authority", good, &tls.Config{RootCAs: other.pool}, transport.ErrTLS},
		{"wrong name", good, &tls.Config{RootCAs: a.pool, ServerName: "other.test"}, transport.ErrTLS},
		{"old version", good, &tls.Config{RootCAs: a.pool, MaxVersion: tls.VersionTLS11}, transport.ErrTLS},
		{"plain upstream", nil, &tls.Config{RootCAs: a.pool}, transport.ErrTLS},
	} {
		for _, protocol := range []string{transport.HTTP1, transport.H2} {
			if protocol == transport.H2 && tt.want == 0 {
				continue
			}
			t.Run(tt.name+" "+protocol, func(t *testing.T) {
				u := listen(t, always("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
				if tt.server != nil {
					u = listenTLS(t, tt.server, always(ok))
				}
				e := newTransport(t, transport.Options{}).Endpoint(
					transport.EndpointKey{Network: "tcp", Address: u.address(), Protocol: protocol, TLS: true, ServerName: "good.test"},
					func() *tls.Config { return tt.client })
				x := newExchange(nil, 0)
				defer x.Reset()
				err := e.RoundTrip(x, seconds())
				switch {
				case tt.want == 0 && err != nil:
					t.Errorf("RoundTrip = %v", err)
				case tt.want != 0 && (err == nil || err.Kind != tt.want || err.Sent):
					t.Errorf("RoundTrip = %+v, want kind %d", err, tt.want)
				}
			})
		}
	}
}

func TestClientCertificateIsMissing(t *testing.T) {
	a := newAuthority(t)
	u := listenTLS(t, &tls.Config{Certificates: []tls.Certificate{a.issue(t, "good.test")}, ClientAuth: tls.RequireAnyClientCert}, always(ok))
	e := newTransport(t, transport.Options{}).Endpoint(transport.EndpointKey{Network: "tcp", Address: u.address(), Protocol: transport.HTTP1, TLS: true, ServerName: "good.test"},
		func() *tls.Config { return &tls.Config{RootCAs: a.pool} })
	// With TLS 1.3 the refusal comes behind the client's handshake.
	if _, err := get(t, e); err == nil || err.Kind != transport.ErrTLS && err.Kind != transport.ErrRead && err.Kind != transport.ErrWrite {
		t.Errorf("RoundTrip = %+v, want an error", err)
	}
}

func TestHandshakeTimeout(t *testing.T) {
	u := listen(t, hold(t))
	for _, protocol := range []string{transport.HTTP1, transport.H2} {
		e := newTransport(t, transport.Options{}).Endpoint(transport.EndpointKey{Network: "tcp", Address: u.address(), Protocol: protocol, TLS: true, ServerName: "a.test"}, nil)
		x := newExchange(nil, 0)
		if err := e.RoundTrip(x, &transport.Call{Timeouts: transport.Timeouts{Connect: short}}); err == nil || err.Kind != transport.ErrConnectTimeout || err.Sent {
			t.Errorf("%s: RoundTrip = %+v, want ErrConnectTimeout", protocol, err)
		}
		x.Reset()
	}
}

// A closed TLS connection is found out before a request goes there.
func TestStaleTLSConnection(t *testing.T) {
	a := newAuthority(t)
	u := listenTLS(t, &tls.Config{Certificates: []tls.Certificate{a.issue(t, "good.test")}}, func(c net.Conn, _ int) {
		if _, err := c.Read(make([]byte, 4096)); err == nil {
			_, _ = c.Write([]byte(ok))
		}
	})
	e := newTransport(t, transport.Options{}).Endpoint(transport.EndpointKey{Network: "tcp", Address: u.address(), Protocol: transport.HTTP1, TLS: true, ServerName: "good.test"},
		func() *tls.Config { return &tls.Config{RootCAs: a.pool} })
	for range 3 {
		if body, err := get(t, e); err != nil || body != "ok" {
			t.Fatalf("RoundTrip = %q, %v", body, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
