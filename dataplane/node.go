package dataplane

import (
	"crypto/x509"
	"fmt"

	"github.com/sluice-gateway/sluice/shared/settings"
)

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
