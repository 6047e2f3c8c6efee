package plan

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// UpstreamTLS says how the targets of a service are verified.
type UpstreamTLS struct {
	// ID tells configurations apart that differ.
	ID     string
	config *tls.Config
	// verify checks what a server of a name shows; nil checks nothing.
	verify func(state *tls.ConnectionState, name string) error
}

// Config returns a client config of its own for a server name.
func (u *UpstreamTLS) Config(serverName string) *tls.Config {
	c := u.config.Clone()
	c.ServerName = serverName
	if u.verify != nil {
		c.VerifyConnection = func(state tls.ConnectionState) error { return u.verify(&state, serverName) }
	}
	return c
}

// EndpointCache finds the endpoint of an address without asking the transport. The
// zero value is empty. It is safe for concurrent use.
type EndpointCache struct {
	known atomic.Pointer[cow.Map[*transport.Endpoint]]
}

// Get returns the endpoint of an address and server name, making it with dial.
func (c *EndpointCache) Get(key string, dial func() *transport.Endpoint) *transport.Endpoint {
	for {
		known := c.known.Load()
		var now cow.Map[*transport.Endpoint]
		if known != nil {
			if e, ok := known.Get(key); ok {
				return e
			}
			now = *known
		}
		e := dial()
		next := now.With(strings.Clone(key), e)
		if c.known.CompareAndSwap(known, &next) {
			return e
		}
	}
}

// upstreamTLS makes the TLS side of a service, nil for plain protocols.
func (b *Builder) upstreamTLS(p *Plan, s *entity.Service) (*UpstreamTLS, error) {
	if s.Protocol != "https" && s.Protocol != "grpcs" {
		return nil, nil //nolint:nilnil // nil is what plain protocols have
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(64)}
	id := sha256.New()
	verify := b.options.VerifyUpstreams
	if s.TLSVerify != nil {
		verify = *s.TLSVerify
	}
	_, _ = fmt.Fprintf(id, "%v", verify)
	roots := b.options.TrustedRoots
	if len(s.CACertificates) > 0 {
		roots = x509.NewCertPool()
		for _, ca := range s.CACertificates {
			e := get[entity.CACertificate](p, "ca_certificates", ca)
			if e == nil || !roots.AppendCertsFromPEM([]byte(e.Cert)) {
				return nil, fmt.Errorf("ca_certificates: no usable certificate %s", ca)
			}
			_, _ = fmt.Fprintf(id, " ca %s %s", ca, e.CertDigest)
		}
	}
	// The chain is checked here so that tls_verify_depth can be honoured.
	c.InsecureSkipVerify = true
	u := &UpstreamTLS{config: c}
	if verify {
		depth := -1
		if s.TLSVerifyDepth != nil {
			depth = *s.TLSVerifyDepth
		}
		_, _ = fmt.Fprintf(id, " depth %d", depth)
		u.verify = func(state *tls.ConnectionState, name string) error { return verifyChain(state, name, roots, depth) }
	}
	if s.ClientCertificate != nil {
		e := get[entity.Certificate](p, "certificates", s.ClientCertificate.ID)
		if e == nil {
			return nil, fmt.Errorf("client_certificate: no certificate %s", s.ClientCertificate.ID)
		}
		pair, err := tls.X509KeyPair([]byte(e.Cert), []byte(e.Key))
		switch {
		case err == nil:
			c.Certificates = []tls.Certificate{pair}
		case !p.secretless("certificates", e.ID):
			return nil, fmt.Errorf("client_certificate: %w", err)
		}
		_, _ = fmt.Fprintf(id, " client %x", sha256.Sum256([]byte(e.Cert)))
	}
	u.ID = hex.EncodeToString(id.Sum(nil)[:16])
	return u, nil
}

// verifyChain checks a server's certificate as crypto/tls would, with a limit on the
// number of authorities between it and a root. The name may be an address, which is not in
// the handshake's own state.
func verifyChain(state *tls.ConnectionState, name string, roots *x509.CertPool, depth int) error {
	if name == "" {
		return errors.New("there is no name to verify the upstream's certificate for")
	}
	if len(state.PeerCertificates) == 0 {
		return errors.New("the upstream sent no certificate")
	}
	o := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	chains, err := state.PeerCertificates[0].Verify(o)
	if err != nil {
		return err
	}
	if depth < 0 {
		return nil
	}
	for _, chain := range chains {
		if len(chain)-2 <= depth {
			return nil
		}
	}
	return fmt.Errorf("the upstream's certificate chain is longer than tls_verify_depth %d", depth)
}

// certificates are the server certificates by server name. They are immutable.
type certificates struct {
	names map[string][]*tls.Certificate
}

// Certificate returns the certificate for a handshake: the exact name, *.rest, rest.*,
// then "*"; nil when there is none.
func (p *Plan) Certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	if p.certificates == nil {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	candidates := []string{name}
	if i := strings.IndexByte(name, '.'); i > 0 {
		candidates = append(candidates, "*"+name[i:])
	}
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		candidates = append(candidates, name[:i]+".*")
	}
	for _, c := range append(candidates, "*") {
		list := p.certificates.names[c]
		for _, cert := range list {
			if tlsutil.Supports(hello, cert) {
				return cert
			}
		}
		if len(list) > 0 {
			return list[0]
		}
	}
	return nil
}

// buildCertificates reads the pairs that server names refer to.
func buildCertificates(p *Plan) (*certificates, []config.EntityError) {
	t := p.tables["snis"]
	if t == nil || t.byID.Len() == 0 {
		return nil, nil
	}
	out := &certificates{names: map[string][]*tls.Certificate{}}
	pairs := map[string][]*tls.Certificate{}
	var errs []config.EntityError
	t.byID.All(func(_ string, v any) bool {
		sni := v.(*entity.SNI)
		id := entity.RefID(sni.Certificate)
		list, ok := pairs[id]
		if !ok {
			e := get[entity.Certificate](p, "certificates", id)
			if e == nil {
				errs = append(errs, config.EntityError{Kind: "snis", ID: sni.ID, Name: sni.Name, Field: "certificate", Message: "there is no certificate " + id})
				return true
			}
			for _, pem := range [][2]string{{e.CertAlt, e.KeyAlt}, {e.Cert, e.Key}} {
				if pem[0] == "" {
					continue
				}
				pair, err := tls.X509KeyPair([]byte(pem[0]), []byte(pem[1]))
				if err != nil && p.secretless("certificates", id) {
					continue // said when it was opened
				}
				if err != nil {
					errs = append(errs, config.EntityError{Kind: "certificates", ID: e.ID, Field: "cert", Message: err.Error()})
					continue
				}
				list = append(list, &pair)
			}
			pairs[id] = list
		}
		out.names[strings.ToLower(sni.Name)] = list
		return true
	})
	return out, errs
}

// Find returns the endpoint of an address, or nil. It does not allocate.
func (c *EndpointCache) Find(key string) *transport.Endpoint {
	if known := c.known.Load(); known != nil {
		if e, ok := known.Get(key); ok {
			return e
		}
	}
	return nil
}
