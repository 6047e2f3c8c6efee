package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"time"

	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

var errNoCertificate = errors.New("no certificate for the name")

// configs are what handshakes go by, by whether HTTP/2 is spoken.
type configs map[bool]*tls.Config

// configs makes those of listeners without and with HTTP/2. They are made once, because they
// hold the keys of session tickets.
func (s *Server) configs() *configs {
	base := &tls.Config{MinVersion: s.o.MinTLS, MaxVersion: s.o.MaxTLS, NextProtos: []string{"http/1.1"}, GetCertificate: s.certificate}
	base.CipherSuites, base.SessionTicketsDisabled = s.o.Suites, s.o.NoTickets
	// Whose certificate is no good is told so by an answer, as nginx does it: an alert would
	// say it to few.
	base.ClientAuth, base.ClientCAs = min(s.o.ClientAuth, tls.RequestClientCert), s.o.ClientCAs
	if base.MinVersion == 0 {
		base.MinVersion = tls.VersionTLS12
	}
	both := base.Clone()
	both.NextProtos = []string{"h2", "http/1.1"}
	for _, c := range []*tls.Config{base, both} {
		limit(c, s.o.SessionTimeout)
	}
	return &configs{false: base, true: both}
}

// limit bounds how old a session may be that is resumed. Its ticket carries when it began.
func limit(c *tls.Config, timeout time.Duration) {
	if timeout == 0 {
		timeout = 24 * time.Hour
	}
	c.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		ss.Extra = append(ss.Extra, binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))) //nolint:gosec // after 1970
		return c.EncryptTicket(cs, ss)
	}
	c.UnwrapSession = func(identity []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		ss, err := c.DecryptTicket(identity, cs)
		if ss == nil || err != nil {
			return nil, err
		}
		if n := len(ss.Extra); n == 0 || len(ss.Extra[n-1]) != 8 || time.Since(time.Unix(0, int64(binary.BigEndian.Uint64(ss.Extra[n-1])))) > timeout { //nolint:gosec // ours
			return nil, nil //nolint:nilnil // as crypto/tls has it: a whole handshake
		}
		return ss, nil
	}
}

// SetTicketKey has session tickets encrypted by a key, which others may have, too. The one
// before is still taken. It is not safe for use by several at a time.
func (s *Server) SetTicketKey(key [32]byte) {
	if len(s.ticketKeys) > 0 && s.ticketKeys[0] == key {
		return
	}
	s.ticketKeys = append([][32]byte{key}, s.ticketKeys...)
	s.ticketKeys = s.ticketKeys[:min(len(s.ticketKeys), 2)]
	for _, c := range *s.tls.Load() {
		c.SetSessionTicketKeys(s.ticketKeys)
	}
}

// SetClientCAs replaces who has to have signed clients' certificates, from the next
// handshake on. It is not safe for use by several at a time.
func (s *Server) SetClientCAs(pool *x509.CertPool) {
	next := configs{}
	for h2, c := range *s.tls.Load() {
		if c.ClientCAs.Equal(pool) {
			return // sessions go on being resumed
		}
		next[h2] = c.Clone()
		next[h2].ClientCAs = pool
		limit(next[h2], s.o.SessionTimeout)
		if len(s.ticketKeys) > 0 {
			next[h2].SetSessionTicketKeys(s.ticketKeys)
		}
	}
	s.tls.Store(&next)
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
