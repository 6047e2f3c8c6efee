package plan_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// pair is a certificate for a name, as an entity.
func pair(t *testing.T, id, name string) config.Change {
	t.Helper()
	cert, key, err := tlsutil.Generate(name, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return put("certificates", id, object{"cert": string(cert), "key": string(key)})
}

// TestCertificates holds the order in which names are tried, and that a new certificate
// serves the names that refer to it.
func TestCertificates(t *testing.T) {
	r := newRoom(t)
	serves := func(name string) string {
		t.Helper()
		c := r.Current().Certificate(&tls.ClientHelloInfo{
			ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13}, CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256},
			SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, SupportedCurves: []tls.CurveID{tls.X25519, tls.CurveP256},
		})
		if c == nil {
			return ""
		}
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Subject.CommonName
	}
	if got := serves("a.example"); got != "" {
		t.Errorf("the empty plan serves %s", got)
	}
	r.apply(true,
		pair(t, "c1", "exact"), pair(t, "c2", "below"), pair(t, "c3", "start"), pair(t, "c4", "all"),
		put("snis", "s1", object{"name": "a.Example", "certificate": ref("c1")}),
		put("snis", "s2", object{"name": "*.example", "certificate": ref("c2")}),
		put("snis", "s3", object{"name": "a.*", "certificate": ref("c3")}),
	)
	for name, want := range map[string]string{
		"a.example": "exact", "A.EXAMPLE.": "exact", "b.example": "below", "a.b.example": "", "a.com": "start", "a.co.uk": "", "other": "", "": "",
	} {
		if got := serves(name); got != want {
			t.Errorf("%q gets %q, want %q", name, got, want)
		}
	}
	r.apply(false, put("snis", "s4", object{"name": "*", "certificate": ref("c4")}), pair(t, "c1", "renewed"), remove("snis", "s3"))
	for name, want := range map[string]string{"a.example": "renewed", "b.example": "below", "a.com": "all", "": "all"} {
		if got := serves(name); got != want {
			t.Errorf("after the change %q gets %q, want %q", name, got, want)
		}
	}
}

// TestUpstreamTLS holds that services which differ in what they verify do not share
// connections, and that a new certificate makes new ones.
func TestUpstreamTLS(t *testing.T) {
	r := newRoom(t)
	service := func(id string, body object) config.Change {
		body["host"], body["protocol"] = "h", "https"
		return put("services", id, body)
	}
	r.apply(true,
		pair(t, "c", "client"), put("services", "plain", object{"host": "h", "protocol": "http"}),
		service("a", object{}), service("same", object{}), service("verifies", object{"tls_verify": true}),
		service("depth", object{"tls_verify": true, "tls_verify_depth": 1}), service("client", object{"client_certificate": ref("c")}),
		put("routes", "r0", object{"paths": []string{"/plain"}, "service": ref("plain")}), put("routes", "r1", object{"paths": []string{"/a"}, "service": ref("a")}),
		put("routes", "r2", object{"paths": []string{"/same"}, "service": ref("same")}), put("routes", "r3", object{"paths": []string{"/verifies"}, "service": ref("verifies")}),
		put("routes", "r4", object{"paths": []string{"/depth"}, "service": ref("depth")}), put("routes", "r5", object{"paths": []string{"/client"}, "service": ref("client")}),
	)
	if r.route("/plain").Service.TLS != nil {
		t.Error("a plain service has TLS")
	}
	id := func(path string) string { return r.route(path).Service.TLS.ID }
	seen := map[string]string{}
	for _, path := range []string{"/a", "/verifies", "/depth", "/client"} {
		if other, ok := seen[id(path)]; ok {
			t.Errorf("%s and %s share connections", path, other)
		}
		seen[id(path)] = path
	}
	if id("/a") != id("/same") {
		t.Error("equal services do not share connections")
	}
	before, was := id("/client"), id("/a")
	r.apply(false, pair(t, "c", "client renewed"))
	if id("/client") == before || id("/a") != was {
		t.Error("a new client certificate does not make new connections, or makes them for others")
	}
	if c := r.route("/a").Service.TLS.Config("server.example"); c.ServerName != "server.example" || c.MinVersion != tls.VersionTLS12 {
		t.Errorf("config is %+v", c)
	}
}

// TestUpstreamsAreVerifiedByName holds that a certificate has to be for the name that was
// asked for, also where that is an address, which a handshake does not tell.
func TestUpstreamsAreVerifiedByName(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, authority("server.test", "127.0.0.1"), authority("server.test", "127.0.0.1"), key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	r := newRoom(t)
	r.apply(true,
		put("ca_certificates", "ca", object{"cert": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}),
		put("services", "s", object{"host": "h", "protocol": "https", "tls_verify": true, "tls_verify_depth": 0, "ca_certificates": []string{"ca"}}),
		put("routes", "r", object{"paths": []string{"/"}, "service": ref("s")}),
	)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	defer served.Wait()
	defer func() { _ = l.Close() }()
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1)) // until the client has seen enough
			_ = c.Close()
		}
	})
	for name, good := range map[string]bool{"server.test": true, "127.0.0.1": true, "other.test": false, "127.0.0.2": false, "": false} {
		c, err := tls.Dial("tcp", l.Addr().String(), r.route("/").Service.TLS.Config(name))
		if (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}

// authority is a template of a certificate that signs itself.
func authority(name, address string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.ParseIP(address)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
}
