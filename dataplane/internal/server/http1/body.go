package http1

import (
	"sync/atomic"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
)

// body is the body of a request.
type body struct {
	message.Body

	c *conn
	// wait is true while the client waits for 100 before it sends the body.
	wait bool
	// closed is set by Close.
	closed atomic.Bool
}

// Read implements pdk.Body.
func (b *body) Read(p []byte) (int, error) {
	if b.wait {
		b.wait = false
		if err := b.c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
			return 0, err
		}
	}
	return b.Body.Read(p)
}

// Close makes a Read that waits for the client return, and gives the connection up. It
// may be called by another goroutine than Read.
func (b *body) Close() error {
	b.closed.Store(true)
	return b.c.nc.SetReadDeadline(past)
}

// reset lets go of the connection.
func (b *body) reset() {
	b.Body, b.c, b.wait = message.Body{}, nil, false
	b.closed.Store(false)
}
