package tlsutil_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// TestChooser holds that a client gets the certificate of a pair whose kind it can use, for
// every name, also such as are not in the certificates.
func TestChooser(t *testing.T) {
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	usual, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var list []tls.Certificate
	for name, key := range map[string]crypto.Signer{"ecdsa": elliptical, "rsa": usual} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"in.test"}, NotAfter: time.Now().Add(time.Hour),
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
	}
	for suite, want := range map[uint16]string{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "rsa", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ecdsa"} {
		for _, name := range []string{"in.test", "other.test", ""} {
			there, here := net.Pipe()
			_ = here.SetDeadline(time.Now().Add(10 * time.Second))
			server := tls.Server(there, &tls.Config{GetCertificate: tlsutil.Chooser(list)})
			go func() { _ = server.Handshake() }()
			//nolint:gosec // what it gets is what is looked at
			client := tls.Client(here, &tls.Config{ServerName: name, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}})
			if err := client.Handshake(); err != nil {
				t.Errorf("%s for %q: %v", want, name, err)
			} else if got := client.ConnectionState().PeerCertificates[0].Subject.CommonName; got != want {
				t.Errorf("%q got %s, want %s", name, got, want)
			}
			_, _ = here.Close(), there.Close()
		}
	}
	if c := tlsutil.Choose(&tls.ClientHelloInfo{}, nil); c != nil {
		t.Error("a certificate of none")
	}
	if _, err := tlsutil.Chooser(nil)(&tls.ClientHelloInfo{}); err == nil {
		t.Error("no error where there is no certificate")
	}
}
