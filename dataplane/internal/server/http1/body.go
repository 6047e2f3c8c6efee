package http1

import (
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
)

// body is the body of a request. Until the exchange is released it may be read by another
// goroutine than the one that sends the answer, as an upstream that speaks HTTP/2 asks
// for; what both look at is atomic or under mu.
type body struct {
	message.Body

	c *conn
	// left is how much was not read, -1 when that is not known, lost after an error.
	left atomic.Int64
	// taken is how much of a chunked body was read.
	taken atomic.Int64
	// closed is set by Close.
	closed atomic.Bool

	mu sync.Mutex
	// wait is true while the client waits for 100 before it sends the body.
	wait bool
}

// lost is more than anybody reads for the sake of a connection.
const lost = math.MaxInt64

// begin makes the body ready, as the embedded Start does.
func (b *body) begin(c *conn, buf []byte, have int, length int64, wait bool) {
	b.Start(c, buf, 0, have, length, false, &c.x.Request.Trailer, 0)
	// A client that has begun to send does not wait.
	b.c, b.wait = c, wait && have == 0
	b.left.Store(b.Left())
	b.taken.Store(0)
}

// none is for requests without one.
func (b *body) none() {
	b.Start(nil, nil, 0, 0, 0, false, nil, 0)
	b.c, b.wait = nil, false
	b.left.Store(0)
}

// Read implements pdk.Body.
func (b *body) Read(p []byte) (int, error) {
	if err := b.goOn(); err != nil {
		return 0, err
	}
	n, err := b.Body.Read(p)
	if b.c.req.Length < 0 {
		b.taken.Add(int64(n))
	}
	if err != nil && err != io.EOF {
		b.left.Store(lost)
	} else {
		b.left.Store(b.Left())
	}
	return n, err
}

// Whole tells of a body that was read with its head; see transport.
func (b *body) Whole() ([]byte, bool) {
	p, ok := b.Body.Whole()
	if ok {
		b.left.Store(0)
	}
	return p, ok
}

// goOn asks a client for the body that waits for that.
func (b *body) goOn() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.wait {
		return nil
	}
	b.wait = false
	nc, timeout := b.c.nc, b.c.e.o.WriteTimeout
	// Not before the deadline that the other goroutine may have set.
	_ = nc.SetWriteDeadline(time.Now().Add(timeout + timeout/8))
	_, err := nc.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	return err
}

// answered is called when the answer begins, which is too late to ask for the body. It
// tells whether the rest of it is little enough to be read when nobody else does.
func (b *body) answered() bool {
	b.mu.Lock()
	waits := b.wait
	b.wait = false
	b.mu.Unlock()
	return !waits && b.left.Load() <= maxUnread
}

// Close makes a Read that waits for the client return, and gives the connection up. It
// may be called by another goroutine than Read.
func (b *body) Close() error {
	b.closed.Store(true)
	return b.c.nc.SetReadDeadline(past)
}

// reset lets go of the connection.
func (b *body) reset() {
	b.none()
	b.closed.Store(false)
}
