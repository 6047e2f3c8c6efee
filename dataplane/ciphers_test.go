package dataplane

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/settings"
)

func TestTerms(t *testing.T) {
	const good, old = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA
	const chacha = tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
	for _, tt := range []struct {
		args            []string
		lowest, highest uint16
		has, not        uint16
		fault           string
	}{
		{nil, tls.VersionTLS12, tls.VersionTLS13, good, old, ""},
		{[]string{"--ssl_protocols=TLSv1.3"}, tls.VersionTLS13, tls.VersionTLS13, good, old, ""},
		{[]string{"--ssl_cipher_suite=modern"}, tls.VersionTLS13, tls.VersionTLS13, 0, good, ""},
		{[]string{"--ssl_cipher_suite=old"}, tls.VersionTLS10, tls.VersionTLS13, old, 0, ""},
		{[]string{"--ssl_cipher_suite=fips"}, tls.VersionTLS12, tls.VersionTLS13, good, chacha, ""},
		{
			[]string{"--ssl_cipher_suite=custom", "--ssl_ciphers=DHE-RSA-AES128-GCM-SHA256:AES128-SHA:TLS_AES_128_GCM_SHA256", "--ssl_protocols=TLSv1.2"},
			tls.VersionTLS12, tls.VersionTLS12, old, good, "",
		},
		{[]string{"--ssl_cipher_suite=custom"}, tls.VersionTLS12, tls.VersionTLS13, good, old, ""},
		{[]string{"--ssl_cipher_suite=custom", "--ssl_ciphers=nonsense"}, 0, 0, 0, 0, `ssl_ciphers: "nonsense" is not`},
		{[]string{"--ssl_cipher_suite=custom", "--ssl_ciphers=TLS_AES_128_GCM_SHA256"}, 0, 0, 0, 0, "ssl_ciphers: names no cipher suite"},
	} {
		s, err := settings.Load(settings.Options{Plane: settings.DataPlane, Args: tt.args})
		if err != nil {
			t.Fatal(err)
		}
		got, err := terms(s)
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%v: %v, want %s", tt.args, err, tt.fault)
			}
			continue
		}
		has := func(id uint16) (found bool) {
			for _, s := range got.suites {
				found = found || s == id
			}
			return found
		}
		if err != nil || got.lowest != tt.lowest || got.highest != tt.highest || tt.has != 0 && !has(tt.has) || tt.not != 0 && has(tt.not) {
			t.Errorf("%v: %+v, %v", tt.args, got, err)
		}
	}
}
