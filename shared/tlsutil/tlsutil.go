// Package tlsutil holds what both planes must agree on about the certificates of their
// link: how one is made, and how each side decides that the other one belongs to the
// cluster. It owns Kong's two modes, shared and pki, and what a node pins and is named by
// that has joined with a token. It refuses everything below TLS 1.3 and knows nothing of
// the certificates that clients of the proxy see.
package tlsutil

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Name is the common name of certificates that the gateway makes for the link, and the
// server name that a node asks for in shared mode. It is Kong's, so that certificates
// made for it go on working.
const Name = "kong_clustering"

// Mode says how the planes trust each other.
type Mode string

// Modes, as cluster_mtls names them.
const (
	// Shared means that both sides have one certificate and key.
	Shared Mode = "shared"
	// PKI means that a common authority has signed both sides' certificates.
	PKI Mode = "pki"
)

// Errors of a handshake.
var (
	ErrNoCertificate = errors.New("the other side has no certificate")
	ErrOther         = errors.New("the other side's certificate is not the cluster's")
)

// Identity is one side's certificate, and how it knows the other side.
type Identity struct {
	Mode        Mode
	Certificate tls.Certificate
	// Authorities sign the other side's certificate with PKI.
	Authorities *x509.CertPool
}

// Load reads an identity from PEM. authority is used with PKI only.
func Load(mode Mode, certificate, key, authority []byte) (*Identity, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("read certificate of the link: %w", err)
	}
	id := &Identity{Mode: mode, Certificate: pair}
	switch mode {
	case Shared:
	case PKI:
		id.Authorities = x509.NewCertPool()
		if !id.Authorities.AppendCertsFromPEM(authority) {
			return nil, errors.New("read authority of the link: no certificate in it")
		}
	default:
		return nil, fmt.Errorf("mode of the link is %q, want shared or pki", mode)
	}
	return id, nil
}

// Server is the control plane's side.
func (id *Identity) Server() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{id.Certificate},
		ClientAuth:             tls.RequireAnyClientCert,
		NextProtos:             []string{"h2"},
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			return id.verify(s, x509.ExtKeyUsageClientAuth, "")
		},
	}
}

// Client is a node's side. serverName is what the control plane's certificate must be
// for with PKI; shared mode does not look at names.
func (id *Identity) Client(serverName string) *tls.Config {
	asked := serverName
	if id.Mode == Shared || asked == "" {
		asked = Name
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{id.Certificate},
		ServerName:   asked,
		NextProtos:   []string{"h2"},
		// Certificates with a common name and no alternative names must be accepted, and
		// in shared mode equality is all that counts: VerifyConnection decides.
		InsecureSkipVerify: true, //nolint:gosec // verified below
		VerifyConnection: func(s tls.ConnectionState) error {
			return id.verify(s, x509.ExtKeyUsageServerAuth, serverName)
		},
	}
}

func (id *Identity) verify(s tls.ConnectionState, usage x509.ExtKeyUsage, name string) error {
	if len(s.PeerCertificates) == 0 {
		return ErrNoCertificate
	}
	leaf := s.PeerCertificates[0]
	if id.Mode == Shared {
		// The certificate is a shared secret's public half. That it has expired does not
		// make it another one, and must not part the planes.
		if !bytes.Equal(leaf.Raw, id.Certificate.Certificate[0]) {
			return ErrOther
		}
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: id.Authorities, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOther, err)
	}
	if name == "" {
		return nil
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.URIs)+len(leaf.EmailAddresses) == 0 {
		if leaf.Subject.CommonName != name {
			return fmt.Errorf("%w: it is for %s, not %s", ErrOther, leaf.Subject.CommonName, name)
		}
		return nil
	}
	if err := leaf.VerifyHostname(name); err != nil {
		return fmt.Errorf("%w: %w", ErrOther, err)
	}
	return nil
}
