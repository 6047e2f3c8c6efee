package dataplane

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-gateway/sluice/shared/settings"
)

// suites are the cipher suites of TLS 1.2 and before that crypto/tls has, by the names that
// OpenSSL gives them, in Mozilla's order of preference. Those of TLS 1.3 are not to be
// chosen in Go, which has only good ones.
var suites = []struct {
	name string
	id   uint16
}{
	{"ECDHE-ECDSA-AES128-GCM-SHA256", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	{"ECDHE-RSA-AES128-GCM-SHA256", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
	{"ECDHE-ECDSA-AES256-GCM-SHA384", tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
	{"ECDHE-RSA-AES256-GCM-SHA384", tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
	{"ECDHE-ECDSA-CHACHA20-POLY1305", tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
	{"ECDHE-RSA-CHACHA20-POLY1305", tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256},
	{"ECDHE-ECDSA-AES128-SHA256", tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256},
	{"ECDHE-RSA-AES128-SHA256", tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256},
	{"ECDHE-ECDSA-AES128-SHA", tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA},
	{"ECDHE-RSA-AES128-SHA", tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA},
	{"ECDHE-ECDSA-AES256-SHA", tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA},
	{"ECDHE-RSA-AES256-SHA", tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA},
	{"AES128-GCM-SHA256", tls.TLS_RSA_WITH_AES_128_GCM_SHA256},
	{"AES256-GCM-SHA384", tls.TLS_RSA_WITH_AES_256_GCM_SHA384},
	{"AES128-SHA256", tls.TLS_RSA_WITH_AES_128_CBC_SHA256},
	{"AES128-SHA", tls.TLS_RSA_WITH_AES_128_CBC_SHA},
	{"AES256-SHA", tls.TLS_RSA_WITH_AES_256_CBC_SHA},
	{"DES-CBC3-SHA", tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA},
}

// intermediate is how many of suites are good ones.
const intermediate = 6

// tlsTerms are what handshakes with clients may end in: versions and cipher suites.
type tlsTerms struct {
	lowest, highest uint16
	suites          []uint16 // nil for crypto/tls's own
}

// terms reads ssl_cipher_suite, which also says which versions there are, unless it is
// custom: ssl_protocols and ssl_ciphers say it then. The default leaves the versions to
// ssl_protocols.
func terms(s *settings.Settings) (t tlsTerms, err error) {
	if t.lowest, t.highest, err = tlsVersions(s.String("ssl_protocols")); err != nil {
		return t, err
	}
	take := func(names func(i int, name string) bool) {
		for i := range suites {
			if names(i, suites[i].name) {
				t.suites = append(t.suites, suites[i].id)
			}
		}
	}
	switch s.String("ssl_cipher_suite") {
	case "modern":
		t.lowest, t.highest = tls.VersionTLS13, tls.VersionTLS13
	case "old":
		t.lowest, t.highest = tls.VersionTLS10, tls.VersionTLS13
		take(func(int, string) bool { return true })
	case "fips":
		t.lowest, t.highest = tls.VersionTLS12, tls.VersionTLS13
		take(func(i int, name string) bool { return i < intermediate && !strings.Contains(name, "CHACHA20") })
	case "custom":
		t.suites, err = customSuites(s.String("ssl_ciphers"))
	default:
		take(func(i int, _ string) bool { return i < intermediate })
	}
	return t, err
}

// customSuites reads ssl_ciphers: names as OpenSSL has them, between colons.
func customSuites(text string) ([]uint16, error) {
	var list []uint16
	for name := range strings.SplitSeq(text, ":") {
		id, err := suiteOf(strings.TrimSpace(name))
		if err != nil {
			return nil, fmt.Errorf("ssl_ciphers: %w", err)
		}
		if id != 0 {
			list = append(list, id)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("ssl_ciphers: names no cipher suite that this program has")
	}
	return list, nil
}

// suiteOf returns 0 for suites that are well known but not in Go's library, such as those
// with DHE, and for those of TLS 1.3.
func suiteOf(name string) (uint16, error) {
	for i := range suites {
		if suites[i].name == name {
			return suites[i].id, nil
		}
	}
	for _, known := range []string{"TLS_", "DHE-", "ECDHE-", "PSK-", "RSA-", "AES", "CAMELLIA", "ARIA"} {
		if strings.HasPrefix(name, known) {
			return 0, nil
		}
	}
	return 0, fmt.Errorf("%q is not the name of a cipher suite", name)
}
