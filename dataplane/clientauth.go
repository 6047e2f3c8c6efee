package dataplane

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/shared/settings"
)

// clientAuth reads what clients have to show, from the settings that Kong passes to nginx.
func clientAuth(s *settings.Settings) (tls.ClientAuthType, *x509.CertPool, error) {
	const verify, authorities = "nginx_proxy_ssl_verify_client", "nginx_proxy_ssl_client_certificate"
	text, err := s.PEM(authorities)
	if err != nil {
		return 0, nil, err
	}
	var pool *x509.CertPool
	if text != nil {
		if pool = x509.NewCertPool(); !pool.AppendCertsFromPEM(text) {
			return 0, nil, fmt.Errorf("%s: no certificate in it", authorities)
		}
	}
	auth := map[string]tls.ClientAuthType{
		"off": tls.NoClientCert, "optional_no_ca": tls.RequestClientCert, "optional": tls.VerifyClientCertIfGiven, "on": tls.RequireAndVerifyClientCert,
	}[s.String(verify)]
	if auth >= tls.VerifyClientCertIfGiven && pool == nil {
		return 0, nil, fmt.Errorf("%s: %w", authorities, errors.New("is required with "+verify+"="+s.String(verify)))
	}
	return auth, pool, nil
}
