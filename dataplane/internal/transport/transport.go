// Package transport owns upstream connections: endpoints, their pools, and the
// round trip of one exchange over HTTP/1.1 (own code, the hot path) or HTTP/2.
package transport

import (
	"crypto/tls"
	"time"
)

// EndpointKey is the identity of a place that connections can be pooled for.
type EndpointKey struct {
	// Network is tcp or unix; Address is ip:port.
	Network, Address string
	// Protocol is "http/1.1", "h2" (over TLS) or "h2c".
	Protocol string
	// TLS is true for TLS; ServerName is sent as SNI; TLSID tells configurations apart
	// that differ in verification, CAs or client certificate.
	TLS        bool
	ServerName string
	TLSID      string
}

// Timeouts of a round trip, each between two successive operations.
type Timeouts struct {
	Connect, Write, Read time.Duration
}

// TLSConfig makes the client config of an endpoint when its first connection is dialled.
type TLSConfig func() *tls.Config

// ErrorKind says at which step a round trip failed.
type ErrorKind uint8

// Steps at which a round trip fails.
const (
	ErrConnect ErrorKind = iota + 1
	ErrConnectTimeout
	ErrTLS
	ErrWrite
	ErrWriteTimeout
	ErrRead        // closed or reset before the response head
	ErrReadTimeout // no response head in time
	ErrBadResponse // a response head that is not HTTP
	ErrRequestBody // the client's body could not be read
)

// Error is a failed round trip. No byte of a response has reached the client.
type Error struct {
	Kind ErrorKind
	// Sent is true when a part of the request may have reached the upstream.
	Sent bool
	// BodyTaken is true when body bytes were consumed that can't be sent again.
	BodyTaken bool
	Err       error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
