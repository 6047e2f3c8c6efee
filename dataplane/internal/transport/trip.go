package transport

import (
	"errors"
	"io"
	"os"

	"github.com/sluice-gateway/sluice/dataplane/internal/clock"
	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

const (
	// headRoom is what a trip's buffer has at first, and keeps.
	headRoom = 8 << 10
	// maxInterim bounds the interim responses before one final one.
	maxInterim = 16
	// minRoom is what a response body needs of a buffer.
	minRoom = 1 << 10
)

var (
	errHead       = errors.New("response head is larger than allowed")
	errUnasked    = errors.New("upstream switches protocols without being asked")
	errInterims   = errors.New("too many interim responses")
	errUnexpected = errors.New("upstream closed the connection before it answered")
)

// trip is one request and its response on a connection. It is held by the exchange,
// whose strings are views of its buffer.
type trip struct {
	e  *Endpoint
	cn *conn

	in      []byte
	n       int // of in that was read
	out     []byte
	more    []byte // for a body, when the head has used the buffer up
	piece   []byte // for a request body that streams
	resp    message.Response
	body    message.Body
	interim pdk.Header

	// The request's body.
	inline  []byte
	stream  pdk.Body
	request *pdk.Request // for what follows the body
	length  int64        // -1 when it is not known
	limit   int64        // 0 for none

	timeouts Timeouts
	fields   int  // header lines that the response had before
	complete bool // the whole request was sent
	silent   bool // no byte of an answer came
	taken    bool // bytes of the body were consumed
	sent     bool
	early    early
}

func newTrip(head int) *trip {
	t := &trip{in: make([]byte, min(head, headRoom))}
	t.early.init(t)
	return t
}

// prepare builds the head of the request.
func (t *trip) prepare(e *Endpoint, x *pdk.Exchange, c *Call) *Error {
	t.e, t.timeouts, t.limit, t.fields = e, c.Timeouts, c.MaxBody, x.Response.Header.Len()
	t.inline, t.stream, t.length = requestBody(x)
	t.request = &x.Request
	if t.inline != nil && trails(t.request) {
		t.inline, t.stream, t.length = nil, &stored{memory: t.inline}, -1
	} else if _, ok := t.stream.(*stored); ok && trails(t.request) {
		t.length = -1
	}
	fallback := e.key.ServerName
	if fallback == "" {
		fallback = e.key.Address
	}
	out, err := appendRequestHead(t.out[:0], x, c.Upgrade, fallback, t.length)
	t.out = out
	if err != nil {
		return &Error{Kind: ErrRequest, Err: err}
	}
	if len(t.inline) <= inlineBody {
		t.out = append(t.out, t.inline...)
		t.inline = nil
	}
	return nil
}

// run sends the request and takes the head of its response.
func (t *trip) run(cn *conn, reused bool, x *pdk.Exchange, c *Call) *Error {
	t.cn, t.n = cn, 0
	t.complete, t.silent, t.taken, t.sent = false, true, false, false
	now := x.UpstreamSent
	if now.IsZero() || !reused {
		now = clock.Now() // dialling took its time
	}
	var fault *Error
	if t.inline == nil && t.stream == nil && cn.raw != nil {
		fault = t.converse(now, reused)
	} else {
		fault = t.send(now, reused)
	}
	if fault != nil {
		return fault
	}
	return t.receive(x, c)
}

// requestBody returns what is in memory of the request's body, else what streams it, and
// the length, -1 when it is not known.
func requestBody(x *pdk.Exchange) (inline []byte, stream pdk.Body, length int64) {
	r := &x.Request
	if r.Buffered != nil {
		return r.Buffered, nil, int64(len(r.Buffered))
	}
	if r.Body == nil {
		return nil, nil, 0
	}
	if s, ok := r.Body.(*stored); ok {
		if s.file == nil {
			return s.memory, nil, s.length()
		}
		return nil, s, s.length()
	}
	return nil, r.Body, r.ContentLength
}

// receive takes heads until the final one.
func (t *trip) receive(x *pdk.Exchange, c *Call) *Error {
	seen, start := 0, 0
	for interims := 0; ; {
		end, err := message.EndOfResponseHead(t.in[start:t.n], seen)
		if err != nil {
			return t.bad(err)
		}
		if end == 0 {
			seen = t.n - start
			if t.n == len(t.in) {
				if !t.grow(start) {
					return t.bad(errHead)
				}
				start = 0
			}
			t.cn.armRead(clock.Now(), t.timeouts.head())
			n, err := t.cn.read(t.in[t.n:])
			if t.n += n; n > 0 {
				t.silent = false
			} else if err != nil {
				return t.readError(err)
			}
			continue
		}
		head := t.in[start : start+end]
		start, seen = start+end, 0
		if len(head) > 12 && head[9] == '1' {
			if interims++; interims > maxInterim {
				return t.bad(errInterims)
			}
			done, fault := t.notFinal(x, c, head, start)
			if done || fault != nil {
				return fault
			}
			continue
		}
		if err := t.resp.Parse(head, &x.Response.Header, x.Upstream.Method == "HEAD"); err != nil {
			return t.bad(err)
		}
		t.final(x, start)
		return nil
	}
}

// grow makes room for more of a head that begins at start, and moves it to the front.
func (t *trip) grow(start int) bool {
	if start == 0 {
		if len(t.in) >= t.e.transport.options.MaxHead {
			return false
		}
		larger := make([]byte, min(4*len(t.in), t.e.transport.options.MaxHead))
		copy(larger, t.in)
		t.in = larger
		return true
	}
	t.n = copy(t.in, t.in[start:t.n])
	return true
}

// notFinal handles an interim response, and tells whether it is the last: a 101.
func (t *trip) notFinal(x *pdk.Exchange, c *Call, head []byte, start int) (done bool, fault *Error) {
	t.interim.Reset()
	status := int(head[10]-'0')*10 + int(head[11]-'0') + 100
	into := &t.interim
	if status == 101 {
		into = &x.Response.Header
	}
	if err := t.resp.Parse(head, into, false); err != nil {
		return false, t.bad(err)
	}
	switch {
	case status == 101 && !c.Upgrade:
		return false, t.bad(errUnasked)
	case status == 101:
		r := &x.Response
		r.Status, r.UpstreamStatus, r.Reason, r.ContentLength, r.Body, r.Buffered = 101, 101, t.resp.Reason, 0, nil, nil
		c.Upgraded = &Upgraded{Conn: t.cn.Conn, left: append([]byte(nil), t.in[start:t.n]...)}
		t.cn = nil // the caller's now
		return true, nil
	case status != 100 && c.Informational != nil:
		// The client's side having gone shows when the response is sent.
		_ = c.Informational.Informational(status, &t.interim)
	}
	return false, nil
}

// final makes the response of the last head; start is where its body begins.
func (t *trip) final(x *pdk.Exchange, start int) {
	r := &x.Response
	r.Status, r.UpstreamStatus, r.Reason = t.resp.Status, t.resp.Status, t.resp.Reason
	r.ContentLength, r.Body, r.Buffered = t.resp.Length, nil, nil
	rest, have := t.in[start:], t.n-start
	if len(rest) < minRoom && int64(have) != t.resp.Length {
		if t.more == nil {
			t.more = make([]byte, 4*minRoom)
		}
		have = copy(t.more, rest[:have])
		rest = t.more
	}
	t.body.Start(t, rest, 0, have, t.resp.Length, t.resp.UntilClose, &r.Trailer, 0)
	if t.resp.Length != 0 {
		r.Body = &t.body
	} else if t.resp.Announced > 0 {
		r.ContentLength = t.resp.Announced
	}
}

// Read reads more of the response's body.
func (t *trip) Read(p []byte) (int, error) {
	t.cn.armRead(clock.Now(), t.timeouts.Read)
	return t.cn.read(p)
}

// Release implements pdk.Releaser: the connection is kept when both messages have ended
// and nothing else came.
func (t *trip) Release() {
	if cn := t.cn; cn != nil {
		if t.complete && t.resp.KeepAlive && t.body.Done() && t.body.Buffered() == 0 {
			cn.idleSince = clock.Now()
			t.e.put(cn)
		} else {
			cn.close()
		}
	}
	t.free()
}

// abandon closes the connection and takes back what the response has got.
func (t *trip) abandon(x *pdk.Exchange) {
	if t.cn != nil {
		t.cn.close()
		t.cn = nil
	}
	if x.Response.Header.Len() > t.fields {
		i := 0
		x.Response.Header.DelFunc(func(*pdk.Field) bool {
			i++
			return i > t.fields
		})
	}
}

// stale tells whether an error on a connection that was used before may only mean that
// the upstream had closed it.
func (t *trip) stale(err *Error) bool {
	return t.silent && !err.BodyTaken && (err.Kind == ErrRead || err.Kind == ErrWrite)
}

// free gives the trip back to its pool.
func (t *trip) free() {
	e := t.e
	t.e, t.cn, t.inline, t.stream, t.request, t.body, t.resp = nil, nil, nil, nil, nil, message.Body{}, message.Response{}
	t.interim.Reset()
	if cap(t.out) > 4*inlineBody {
		t.out = nil
	}
	if len(t.in) > headRoom {
		t.in = make([]byte, headRoom)
	}
	e.transport.trips.Put(t)
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func (t *trip) bad(err error) *Error {
	return &Error{Kind: ErrBadResponse, Sent: true, BodyTaken: t.taken, Err: err}
}

func (t *trip) readError(err error) *Error {
	kind := ErrRead
	if isTimeout(err) {
		kind = ErrReadTimeout
	}
	if errors.Is(err, io.EOF) {
		err = errUnexpected
	}
	return &Error{Kind: kind, Sent: t.sent, BodyTaken: t.taken, Err: err}
}

func (t *trip) writeError(err error) *Error {
	kind := ErrWrite
	if isTimeout(err) {
		kind = ErrWriteTimeout
	}
	return &Error{Kind: kind, Sent: t.sent, BodyTaken: t.taken, Err: err}
}
