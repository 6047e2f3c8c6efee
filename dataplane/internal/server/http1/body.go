package http1

import (
	"github.com/sluice-gateway/sluice/dataplane/internal/message"
)

// body is the body of a request.
type body struct {
	message.Body

	c *conn
	// wait is true while the client waits for 100 before it sends the body.
	wait bool
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
