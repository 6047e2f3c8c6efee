package proxy

import (
	"bufio"
	"net"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Responder is an engine's way back to one client. The engine makes it, calls
// Proxy.Serve with it once a request head is parsed, and takes the exchange back
// when Serve returns. It is used by one goroutine.
type Responder interface {
	// Send writes x.Response: the head, then Buffered or all of Body. filter, when not
	// nil, sees each piece of the body and once more last=true. Send reports whether
	// the body could not be read to its end (upstream's fault) or not be written
	// (client's fault) as a *SendError.
	Send(x *pdk.Exchange, filter func(piece []byte, last bool) ([]byte, error)) error
	// Informational writes a 1xx response other than 101, where the client's protocol
	// allows it.
	Informational(status int, header *pdk.Header) error
	// Hijack writes the head of a 101 response and hands the client's connection over;
	// buf holds bytes that the client has sent already. The engine does not touch the
	// connection again.
	Hijack(x *pdk.Exchange) (conn net.Conn, buf *bufio.Reader, err error)
}

// SendError tells whose fault a response that was not sent whole is.
type SendError struct {
	// Upstream is true when the upstream's body ended early or with an error.
	Upstream bool
	Err      error
}

func (e *SendError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SendError) Unwrap() error { return e.Err }
