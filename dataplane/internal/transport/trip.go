package transport

import (
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

const (
	// inlineBody is the largest body that is copied behind the head to go out with it.
	inlineBody = 16 << 10
	// pieceSize is how much of a body that streams is moved at once.
	pieceSize = 32 << 10
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

	timeouts Timeouts
	complete bool // the whole request was sent
	silent   bool // no byte of an answer came
	taken    bool // bytes of the body were consumed
	sent     bool
}

func newTrip(head int) *trip { return &trip{in: make([]byte, head)} }

// run sends the request and takes the head of its response.
func (t *trip) run(e *Endpoint, cn *conn, reused bool, x *pdk.Exchange, c *Call) *Error {
	t.e, t.cn, t.n, t.timeouts = e, cn, 0, c.Timeouts
	t.complete, t.silent, t.taken, t.sent = false, true, false, false
	now := x.UpstreamSent
	if now.IsZero() {
		now = time.Now()
	}
	inline, stream, length := requestBody(x)
	fallback := e.key.ServerName
	if fallback == "" {
		fallback = e.key.Address
	}
	out, err := appendRequestHead(t.out[:0], x, c.Upgrade, fallback, length)
	t.out = out
	if err != nil {
		return &Error{Kind: ErrRequest, Err: err}
	}
	var rest []byte
	if len(inline) <= inlineBody {
		t.out = append(t.out, inline...)
	} else {
		rest = inline
	}
	cn.armRead(now, c.Timeouts.Read)
	if rest == nil && stream == nil && cn.raw != nil {
		if fault := t.converse(now, reused); fault != nil {
			return fault
		}
	} else if fault := t.send(now, reused, rest, stream, length); fault != nil {
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

// converse writes the request and waits for the answer in one go.
func (t *trip) converse(now time.Time, reused bool) *Error {
	cn := t.cn
	written, n, err := cn.exchange(t.out, t.in, reused)
	t.sent = written > 0
	if err == nil && written < len(t.out) {
		cn.armWrite(now, t.timeouts.Write)
		if _, err := cn.Write(t.out[written:]); err != nil {
			return t.writeError(err)
		}
		t.complete = true
		return nil
	}
	if err != nil {
		if written < len(t.out) && !errors.Is(err, errGone) && !isTimeout(err) {
			return t.writeError(err)
		}
		return t.readError(err)
	}
	t.complete, t.silent, t.n = true, false, n
	return nil
}

// send writes the request step by step.
func (t *trip) send(now time.Time, reused bool, rest []byte, stream pdk.Body, length int64) *Error {
	cn := t.cn
	if reused && cn.dead() {
		return t.readError(errGone)
	}
	cn.armWrite(now, t.timeouts.Write)
	err := t.write(t.out)
	if err == nil && rest != nil {
		err = t.write(rest)
	}
	if err == nil && stream != nil {
		var fault *Error
		if err, fault = t.copyBody(stream, length); fault != nil {
			return fault
		}
	}
	if err != nil {
		if isTimeout(err) {
			return t.writeError(err)
		}
		// The upstream may have answered before it stopped reading.
		_ = cn.SetReadDeadline(time.Now().Add(time.Second))
		cn.readBy = deadline{}
		n, readErr := cn.Read(t.in)
		if n == 0 || readErr != nil {
			return t.writeError(err)
		}
		t.silent, t.n = false, n
		return nil
	}
	t.complete = true
	return nil
}

func (t *trip) write(p []byte) error {
	n, err := t.cn.Write(p)
	t.sent = t.sent || n > 0
	return err
}

// copyBody streams the request's body. err is the upstream's fault, fault the client's.
func (t *trip) copyBody(body pdk.Body, length int64) (err error, fault *Error) { //nolint:revive,staticcheck // two kinds of errors
	if t.piece == nil {
		t.piece = make([]byte, pieceSize)
	}
	s, again := body.(*stored)
	if again {
		s.read = 0
	}
	const before, after = 8, 2
	for left := length; ; {
		room := t.piece[before : len(t.piece)-after]
		if length >= 0 && left < int64(len(room)) {
			room = room[:left]
		}
		if length >= 0 && left == 0 {
			return nil, nil
		}
		n, readErr := body.Read(room)
		if n > 0 {
			t.taken = t.taken || !again
			p := room[:n]
			if length < 0 {
				p = t.chunk(n, before)
			}
			left -= int64(n)
			t.cn.armWrite(time.Now(), t.timeouts.Write)
			if err := t.write(p); err != nil {
				return err, nil
			}
		}
		switch {
		case readErr == io.EOF && length < 0:
			return t.write([]byte("0\r\n\r\n")), nil
		case readErr == io.EOF && left > 0:
			readErr = io.ErrUnexpectedEOF
		case readErr == io.EOF:
			return nil, nil
		}
		if readErr != nil {
			e := bodyError(readErr)
			e.Sent, e.BodyTaken = true, true
			return nil, e
		}
	}
}

// chunk frames n bytes of t.piece that begin at before.
func (t *trip) chunk(n, before int) []byte {
	var hex [8]byte
	size := strconv.AppendUint(hex[:0], uint64(n), 16)
	start := before - 2 - len(size)
	copy(t.piece[start:], size)
	copy(t.piece[before-2:], "\r\n")
	copy(t.piece[before+n:], "\r\n")
	return t.piece[start : before+n+2]
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
			if seen = t.n - start; t.n == len(t.in) {
				return t.bad(errHead)
			}
			t.cn.armRead(time.Now(), t.timeouts.Read)
			n, err := t.cn.Read(t.in[t.n:])
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
			done, fault := t.early(x, c, head, start)
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

// early handles an interim response, and tells whether it is the last: a 101.
func (t *trip) early(x *pdk.Exchange, c *Call, head []byte, start int) (done bool, fault *Error) {
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
	t.cn.armRead(time.Now(), t.timeouts.Read)
	return t.cn.Read(p)
}

// Release implements pdk.Releaser: the connection is kept when both messages have ended
// and nothing else came.
func (t *trip) Release() {
	if cn := t.cn; cn != nil {
		if t.complete && t.resp.KeepAlive && t.body.Done() && t.body.Buffered() == 0 {
			cn.idleSince = time.Now()
			t.e.put(cn)
		} else {
			cn.close()
		}
	}
	t.free()
}

// fail gives the connection up.
func (t *trip) fail() {
	if t.cn != nil {
		t.cn.close()
	}
	t.free()
}

func (t *trip) free() {
	e := t.e
	t.e, t.cn, t.body = nil, nil, message.Body{}
	t.interim.Reset()
	if cap(t.out) > 4*inlineBody {
		t.out = nil
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
	if err == io.EOF {
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
