package dataplane

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/shared/settings"
)

// resolver asks the name servers given in turn, nil for the system's.
func resolver(servers []string) *net.Resolver {
	if len(servers) == 0 {
		return nil
	}
	addresses := make([]string, len(servers))
	for i, s := range servers {
		addresses[i] = s
		if _, _, err := net.SplitHostPort(s); err != nil {
			addresses[i] = net.JoinHostPort(strings.Trim(s, "[]"), "53")
		}
	}
	var next atomic.Uint32
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, addresses[int(next.Add(1)-1)%len(addresses)])
		},
	}
}

// trustedRoots verify upstreams, nil for the machine's own.
func trustedRoots(s *settings.Settings) (*x509.CertPool, error) {
	const name = "lua_ssl_trusted_certificate"
	list, err := s.PEMs(name)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if s.HasSystem(name) {
		system, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("%s: read the machine's authorities: %w", name, err)
		}
		pool = system
	}
	for _, pem := range list {
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: a file has no certificate", name)
		}
	}
	return pool, nil
}
