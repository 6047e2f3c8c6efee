package tlsutil

import (
	"crypto/tls"
	"errors"
)

// Supports tells whether a client can use a certificate, whatever names are in it: who
// configures a certificate for a name means it, and crypto/tls would rather serve one that
// the client can not use than one of another name.
func Supports(hello *tls.ClientHelloInfo, c *tls.Certificate) bool {
	anybody := *hello
	anybody.ServerName = ""
	return anybody.SupportsCertificate(c) == nil
}

// Choose returns the first certificate that a client can use, such as that of an RSA and
// ECDSA pair, or else the first one, nil of none.
func Choose(hello *tls.ClientHelloInfo, list []tls.Certificate) *tls.Certificate {
	for i := range list {
		if Supports(hello, &list[i]) {
			return &list[i]
		}
	}
	if len(list) == 0 {
		return nil
	}
	return &list[0]
}

// Chooser is Choose of a list as crypto/tls calls it.
func Chooser(list []tls.Certificate) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if c := Choose(hello, list); c != nil {
			return c, nil
		}
		return nil, errors.New("there is no certificate")
	}
}
