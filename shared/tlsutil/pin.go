package tlsutil

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrPin means that the control plane's authority is not the one that was pinned.
var ErrPin = errors.New("the control plane is another cluster's, or its authority was made anew")

// Pin is the SHA-256 of an authority's public key (SubjectPublicKeyInfo in DER). It
// stays the same when the authority's certificate is made again with the same key.
type Pin [sha256.Size]byte

// PinOf returns the pin of a certificate's key.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

// String is how a join line shows a pin.
func (p Pin) String() string { return base64.RawURLEncoding.EncodeToString(p[:]) }

// ParsePin reads what String returns.
func ParsePin(text string) (p Pin, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(p) {
		return p, errors.New("it is not a SHA-256 in base64")
	}
	return Pin(b), nil
}

// joinedDomain ends the server names that joined nodes ask for.
const joinedDomain = ".cluster.sluice.internal"

// ServerName is what a node with the pin asks for. By it the control plane knows that
// the other side wants a certificate of the authority, and a load balancer can tell
// clusters apart.
func (p Pin) ServerName() string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(p[:])) + joinedDomain
}

// IsJoined tells whether a server name is one that joined nodes ask for, whatever pin
// they have.
func IsJoined(serverName string) bool { return strings.HasSuffix(serverName, joinedDomain) }

// Client is the side of a node that pins an authority: what the authority's key has
// signed for servers is its control plane. certificate returns what the node shows, nil
// while it has none yet.
//
// Validity periods are not looked at. What proves the control plane is the signature of
// the key; a node whose clock is wrong, or an authority that has outlived its
// certificate, must not part the planes.
func (p Pin) Client(certificate func() *tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		ServerName:         p.ServerName(),
		NextProtos:         []string{"h2"},
		InsecureSkipVerify: true, //nolint:gosec // verified below
		VerifyConnection:   p.verify,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c := certificate(); c != nil {
				return c, nil
			}
			return &tls.Certificate{}, nil // shows none
		},
	}
}

func (p Pin) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return ErrNoCertificate
	}
	leaf := s.PeerCertificates[0]
	at := slices.IndexFunc(s.PeerCertificates[1:], func(c *x509.Certificate) bool { return PinOf(c) == p })
	if at < 0 {
		shown := "no authority"
		if n := len(s.PeerCertificates); n > 1 {
			shown = PinOf(s.PeerCertificates[n-1]).String()
		}
		return fmt.Errorf("%w: pinned is the key %s, shown was %s", ErrPin, p, shown)
	}
	if err := leaf.CheckSignatureFrom(s.PeerCertificates[1+at]); err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		return fmt.Errorf("%w: the certificate is not for servers", ErrPin)
	}
	return nil
}
