package record

import (
	"crypto/tls"
	"strings"
)

// tlsVersion names a version as OpenSSL does.
func tlsVersion(v uint16) string {
	switch v {
	case tls.VersionTLS11:
		return "TLSv1.1"
	case tls.VersionTLS12:
		return "TLSv1.2"
	case tls.VersionTLS13:
		return "TLSv1.3"
	}
	return "unknown"
}

// ciphers are OpenSSL's names of the suites. TLS 1.3's are the same in both.
var ciphers = func() map[uint16]string {
	names := map[uint16]string{}
	for _, list := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range list {
			names[s.ID] = opensslName(s)
		}
	}
	return names
}()

func tlsCipher(id uint16) string {
	if name, ok := ciphers[id]; ok {
		return name
	}
	return tls.CipherSuiteName(id)
}

// opensslName turns TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 into ECDHE-RSA-AES128-GCM-SHA256.
func opensslName(s *tls.CipherSuite) string {
	if s.SupportedVersions[0] == tls.VersionTLS13 {
		return s.Name
	}
	name := strings.TrimPrefix(s.Name, "TLS_")
	name = strings.TrimPrefix(strings.TrimPrefix(name, "RSA_WITH_"), "_")
	name = strings.ReplaceAll(name, "_WITH_", "_")
	name = strings.ReplaceAll(name, "AES_128", "AES128")
	name = strings.ReplaceAll(name, "AES_256", "AES256")
	name = strings.ReplaceAll(name, "_CBC_", "_")
	name = strings.ReplaceAll(name, "3DES_EDE", "DES_CBC3")
	name = strings.TrimSuffix(strings.ReplaceAll(name, "CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305"), "_")
	name = strings.ReplaceAll(name, "RC4_128", "RC4")
	return strings.ReplaceAll(name, "_", "-")
}
