package server

import (
	"crypto/tls"
	"errors"

	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

var errNoCertificate = errors.New("no certificate for the name")

// configs makes what handshakes of listeners without and with HTTP/2 go by. They are made
// once, because they hold the keys of session tickets.
func (s *Server) configs() map[bool]*tls.Config {
	base := &tls.Config{MinVersion: s.o.MinTLS, MaxVersion: s.o.MaxTLS, NextProtos: []string{"http/1.1"}, GetCertificate: s.certificate}
	base.CipherSuites, base.SessionTicketsDisabled = s.o.Suites, s.o.NoTickets
	base.ClientAuth, base.ClientCAs = s.o.ClientAuth, s.o.ClientCAs
	if base.MinVersion == 0 {
		base.MinVersion = tls.VersionTLS12
	}
	both := base.Clone()
	both.NextProtos = []string{"h2", "http/1.1"}
	return map[bool]*tls.Config{false: base, true: both}
}

// SetCertificates replaces the certificates for names that Certificate has none for.
func (s *Server) SetCertificates(list []tls.Certificate) { s.certificates.Store(&list) }

func (s *Server) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.o.Handshake != nil {
		if err := s.o.Handshake(hello); err != nil {
			return nil, err
		}
	}
	if s.o.Certificate != nil {
		if c := s.o.Certificate(hello); c != nil {
			return c, nil
		}
	}
	if c := tlsutil.Choose(hello, *s.certificates.Load()); c != nil {
		return c, nil
	}
	return nil, errNoCertificate
}
