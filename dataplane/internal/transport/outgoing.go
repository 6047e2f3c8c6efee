package transport

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/h2"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// outgoing is a request body that goes out beside the response, in a goroutine of its own,
// until end.
type outgoing struct {
	s       *h2.Stream
	from    pdk.Body
	request *pdk.Request // whose trailer is complete when from has ended
	limit   int64        // bytes; 0 for none
	timeout time.Duration
	// streams is true for a body that can't be sent again.
	streams bool
	ended   chan struct{}

	mu      sync.Mutex // held while from is read
	stopped atomic.Bool

	// Known once ended is closed.
	taken   bool
	stalled bool
	err     error

	since struct {
		sync.Mutex

		sent time.Time // when all was sent; zero until then
	}
}

func newOutgoing(s *h2.Stream, inline []byte, from pdk.Body, request *pdk.Request, c *Call) *outgoing {
	b := &outgoing{s: s, from: from, request: request, limit: c.MaxBody, timeout: c.Timeouts.Write, ended: make(chan struct{})}
	switch st, ok := from.(*stored); {
	case inline != nil:
		b.from = &inlineReader{p: inline}
	case ok:
		b.from = &storedReader{s: st}
	default:
		b.streams = true
	}
	return b
}

// bodyPieces are buffers for bodies on their way.
var bodyPieces = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// run sends the body.
func (b *outgoing) run() {
	defer close(b.ended)
	buf := bodyPieces.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer bodyPieces.Put(buf)
	knows, _ := b.from.(interface{ Ready() bool })
	for total := int64(0); ; {
		if knows == nil || !knows.Ready() {
			b.s.Flush()
		}
		n, err := b.next(*buf)
		if total += int64(n); b.limit > 0 && total > b.limit {
			n, err = 0, errTooLarge
		}
		if n > 0 && b.streams {
			b.taken = true
		}
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			if !b.stopped.Load() { // else the read was ended by us
				b.err = err
				b.s.Reset(h2.Cancel)
			}
			return
		}
		if n > 0 || end {
			if err := sendPiece(b.s, (*buf)[:n], end, b.request, b.timeout); err != nil {
				if b.stalled = errors.Is(err, h2.ErrStalled); b.stalled {
					b.s.Reset(h2.Cancel)
				}
				return
			}
		}
		if end {
			b.since.Lock()
			b.since.sent = time.Now()
			b.since.Unlock()
			return
		}
	}
}

// sendPiece sends a piece of a body, and behind the last one the trailers.
func sendPiece(s *h2.Stream, p []byte, last bool, q *pdk.Request, timeout time.Duration) error {
	trailers := last && trails(q)
	if !trailers || len(p) > 0 {
		if _, err := s.Write(p, last && !trailers, timeout); err != nil || !trailers {
			return err
		}
	}
	return s.WriteHead(func(add func(name, value string, secret bool)) {
		for _, f := range q.Trailer.Fields() {
			if trailing(q, &f) {
				add(h2.Lower(f.Name), f.Value, false)
			}
		}
	}, true)
}

// next reads a piece.
func (b *outgoing) next(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped.Load() {
		return 0, errAnswered
	}
	return b.from.Read(p)
}

// busy tells whether the request is still being sent, or was until less than limit ago.
func (b *outgoing) busy(limit time.Duration) bool {
	select {
	case <-b.ended:
	default:
		return true
	}
	b.since.Lock()
	defer b.since.Unlock()
	return !b.since.sent.IsZero() && time.Since(b.since.sent) < limit
}

// end makes a read that is under way return, and waits for the goroutine. The stream has
// been closed before.
func (b *outgoing) end() {
	b.stopped.Store(true)
	if !b.mu.TryLock() {
		if c, ok := b.from.(io.Closer); ok {
			_ = c.Close()
		}
		b.mu.Lock()
	}
	b.mu.Unlock()
	<-b.ended
}

// inlineReader reads what is in memory.
type inlineReader struct {
	p []byte
}

func (r *inlineReader) Read(p []byte) (int, error) {
	if len(r.p) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.p)
	r.p = r.p[n:]
	return n, nil
}
