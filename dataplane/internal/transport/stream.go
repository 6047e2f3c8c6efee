package transport

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// stream is one request and its response over HTTP/2. It is held by the exchange.
type stream struct {
	h       *http2Client
	cancel  context.CancelCauseFunc
	body    *outgoing
	again   func() pdk.Body // the body from its start, nil when it streams
	length  int64
	in      io.ReadCloser
	resp    *http.Response
	trailer *pdk.Header
	head    watchdog // until the response's head is there
	read    watchdog // of its body
	done    bool
	sent    atomic.Bool
}

func newStream(h *http2Client, x *pdk.Exchange, c *Call) *stream {
	s := &stream{h: h, trailer: &x.Response.Trailer}
	silent := func() { s.cancel(errSilence) }
	s.head.init(c.Timeouts.head(), silent)
	s.read.init(c.Timeouts.Read, silent)
	inline, from, length := requestBody(x)
	if inline == nil && from == nil {
		return s
	}
	s.length = length
	s.body = &outgoing{s: s, from: from, limit: c.MaxBody}
	if inline != nil {
		s.body.from = &inlineReader{p: inline}
		s.again = func() pdk.Body { return &inlineReader{p: inline} }
	} else if st, ok := from.(*stored); ok {
		s.body.from = &storedReader{s: st}
		s.again = func() pdk.Body { return &storedReader{s: st} }
	}
	s.body.write.init(c.Timeouts.Write, func() { s.cancel(errStalled) })
	return s
}

// attach gives the request its body.
func (s *stream) attach(req *http.Request, c *Call) {
	if s.body == nil {
		return
	}
	req.Body, req.ContentLength = s.body, s.length
	if s.again == nil {
		return
	}
	// The client asks for the body again when a connection was closed before it took it.
	req.GetBody = func() (io.ReadCloser, error) {
		s.body.end()
		s.body = &outgoing{s: s, from: s.again(), limit: c.MaxBody}
		s.body.write.init(c.Timeouts.Write, func() { s.cancel(errStalled) })
		return s.body, nil
	}
}

// trace sees when the connection is there, what was sent and what comes before the
// response.
func (s *stream) trace(ctx context.Context, c *Call) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			if s.body == nil {
				s.head.start()
			} else {
				s.body.write.start()
			}
		},
		WroteHeaders: func() { s.sent.Store(true) },
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == 100 || c.Informational == nil {
				return nil
			}
			var header pdk.Header
			addAll(&header, http.Header(h))
			_ = c.Informational.Informational(code, &header)
			return nil
		},
	})
}

// answered takes the response's head.
func (s *stream) answered(resp *http.Response, x *pdk.Exchange) {
	s.head.end()
	if s.body != nil {
		s.body.write.end()
	}
	s.resp, s.in = resp, resp.Body
	r := &x.Response
	r.Status, r.UpstreamStatus, r.Reason = resp.StatusCode, resp.StatusCode, ""
	r.ContentLength, r.Body, r.Buffered = resp.ContentLength, nil, nil
	addAll(&r.Header, resp.Header)
	if resp.Body != http.NoBody && x.Upstream.Method != http.MethodHead {
		r.Body = s
		return
	}
	s.end()
}

// Read implements pdk.Body for the response.
func (s *stream) Read(p []byte) (int, error) {
	s.read.start()
	n, err := s.in.Read(p)
	s.read.stop()
	if err == io.EOF && !s.done {
		s.end()
	}
	return n, err
}

// end takes the trailers, which come with the end of the body.
func (s *stream) end() {
	s.done = true
	addAll(s.trailer, s.resp.Trailer)
}

// addAll adds the lines of a map, in the order of their names.
func addAll(to *pdk.Header, from http.Header) {
	for _, name := range slices.Sorted(maps.Keys(from)) {
		for _, v := range from[name] {
			to.Add(name, v)
		}
	}
}

// Done tells that the body has ended.
func (s *stream) Done() bool { return s.done }

// Release implements pdk.Releaser. The client's body is not read any more after it.
func (s *stream) Release() {
	s.head.end()
	s.read.end()
	s.cancel(context.Canceled)
	if s.in != nil {
		_ = s.in.Close()
	}
	if s.body != nil {
		s.body.end()
	}
	if s.h.e.forgotten.Load() {
		s.h.close() // nobody else would
	}
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

// outgoing is a request body that the client's goroutine reads, until end.
type outgoing struct {
	s     *stream
	from  pdk.Body
	limit int64 // 0 for none
	write watchdog
	taken atomic.Bool

	mu    sync.Mutex
	total int64
	ended bool
	err   error
}

// Read implements io.Reader.
func (b *outgoing) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, errAnswered
	}
	b.write.stop()
	n, err := b.from.Read(p)
	if b.total += int64(n); b.limit > 0 && b.total > b.limit {
		n, err = 0, errTooLarge
	}
	if n > 0 && b.s.again == nil {
		b.taken.Store(true)
	}
	switch {
	case err == nil:
		b.write.start()
	case errors.Is(err, io.EOF):
		b.s.head.start()
	default:
		b.err = err
	}
	return n, err
}

// Close implements io.Closer; the exchange owns the body.
func (b *outgoing) Close() error {
	b.write.stop()
	b.s.head.start()
	return nil
}

// end makes a read that is under way return, and waits for it.
func (b *outgoing) end() {
	if !b.mu.TryLock() {
		if c, ok := b.from.(io.Closer); ok {
			_ = c.Close()
		}
		b.mu.Lock()
	}
	b.ended = true
	b.mu.Unlock()
	b.write.end()
}

// watchdog calls a function when nothing happens for a time.
type watchdog struct {
	limit time.Duration
	bark  func()

	mu    sync.Mutex
	timer *time.Timer
	over  bool
}

func (w *watchdog) init(limit time.Duration, bark func()) { w.limit, w.bark = limit, bark }

func (w *watchdog) start() {
	if w.limit <= 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.over:
	case w.timer == nil:
		w.timer = time.AfterFunc(w.limit, w.bark)
	default:
		w.timer.Reset(w.limit)
	}
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// end stops it for good.
func (w *watchdog) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over = true; w.timer != nil {
		w.timer.Stop()
	}
}
