package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// prefix is what stands before each message: whether it is compressed, and its length.
const prefix = 5

// burst is how much of a message is written at once.
const burst = 64 << 10

// buffers are for writing, so that a connection at rest holds none.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 4<<10)
	return &b
}}

// Stream is one call of a peer.
type Stream struct {
	conn    *conn
	id      uint32
	ctx     context.Context //nolint:containedctx // as of a request
	cancel  context.CancelFunc
	handler Handler

	// of the reader
	partial []byte // of a message that has not come whole
	unheard int    // bytes of the window that were not given back
	failed  bool   // nothing more is heard

	ended    atomic.Bool // the peer has said all
	answered atomic.Bool // and so have we, or are about to
	reset    atomic.Bool // the peer has ended the call

	hearing sync.Mutex // guards gone
	gone    bool       // Gone was called

	// guarded by conn.mu
	window int64
	since  time.Time // when it began to wait for room; zero when it does not
	dead   error     // why nothing can be sent

	begun bool // headers were sent; guarded by conn.writing
}

// Context ends with the call. It knows the peer, see google.golang.org/grpc/peer.
func (st *Stream) Context() context.Context { return st.ctx }

// Send sends a message; it is one goroutine's at a time. It waits while the peer's windows
// are full, and does not wait until the peer has read the message.
func (st *Stream) Send(message []byte) error {
	total := prefix + len(message)
	for sent := 0; sent < total; {
		n, frame, err := st.take(total - sent)
		if err != nil {
			return err
		}
		if err := st.write(message, sent, n, frame); err != nil {
			return err
		}
		sent += n
	}
	return nil
}

// take waits for room, and takes at most n bytes of it. It tells the largest frame, too.
func (st *Stream) take(n int) (int, int, error) {
	c := st.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { st.since = time.Time{} }()
	for {
		switch {
		case st.dead != nil:
			return 0, 0, st.dead
		case c.over != nil:
			return 0, 0, c.over
		}
		if room := min(c.window, st.window); room > 0 {
			n = min(n, int(room), burst)
			c.window -= int64(n)
			st.window -= int64(n)
			return n, c.frame, nil
		}
		if st.since.IsZero() {
			st.since = time.Now()
		}
		c.room.Wait()
	}
}

// write sends n bytes of a message with its prefix, from offset on, in frames.
func (st *Stream) write(message []byte, offset, n, largest int) error {
	held := buffers.Get().(*[]byte) //nolint:forcetypeassert // there is nothing else in it
	b := (*held)[:0]
	defer func() {
		*held = b
		buffers.Put(held)
	}()
	c := st.conn
	c.writing.Lock()
	defer c.writing.Unlock()
	if !st.begun {
		st.begun = true
		b = appendHeaders(b, st.id, 0, responseHeaders)
	}
	var head [prefix]byte
	binary.BigEndian.PutUint32(head[1:], uint32(len(message))) //nolint:gosec // bounded by what is encoded
	for n > 0 {
		size := min(n, largest)
		b = appendFrame(b, http2.FrameData, 0, st.id, size)
		c.earned.Add(2)
		n -= size
		if offset < prefix {
			part := min(size, prefix-offset)
			b = append(b, head[offset:offset+part]...)
			offset, size = offset+part, size-part
		}
		b = append(b, message[offset-prefix:offset-prefix+size]...)
		offset += size
	}
	return c.writeLocked(b)
}

// serve runs the handler and tells the peer how that ended.
func (st *Stream) serve() {
	err := st.handler.Serve()
	st.over(errServed)
	st.answered.Store(true)
	st.finish(err)
	st.cancel()
	st.conn.remove(st)
}

var errServed = errors.New("the call has ended")

// finish ends the stream on the wire.
func (st *Stream) finish(err error) {
	c := st.conn
	c.mu.Lock()
	dead := st.dead != nil || c.over != nil
	c.mu.Unlock()
	if dead {
		return
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	b := appendHeaders(nil, st.id, http2.FlagHeadersEndStream, trailers(err, st.begun))
	if !st.ended.Load() {
		b = appendReset(b, st.id, http2.ErrCodeNo) // it need not go on
	}
	_ = c.writeLocked(b) // whose connection this breaks knows by itself
}

// closed tells that the peer must not say anything more, and knows that.
func (st *Stream) closed() bool { return st.reset.Load() || st.ended.Load() && st.answered.Load() }

// feed hears what has come of messages, and tells whether one was complete. What is wrong
// with them ends the call.
func (st *Stream) feed(b []byte) bool {
	if st.failed {
		return false
	}
	heard, err := st.messages(b)
	if err != nil {
		st.partial, st.failed = nil, true
		st.over(err)
	}
	return heard
}

func (st *Stream) messages(b []byte) (heard bool, err error) {
	for len(b) > 0 {
		whole := b // most are
		if len(st.partial) > 0 {
			n := prefix - len(st.partial)
			if n <= 0 {
				size, err := st.size(st.partial)
				if err != nil {
					return heard, err
				}
				n = size - len(st.partial)
			}
			n = min(n, len(b))
			st.partial, b = append(st.partial, b[:n]...), b[n:]
			whole = st.partial
		}
		if len(whole) < prefix {
			if len(st.partial) == 0 {
				st.partial = append(st.partial, whole...)
			}
			return heard, nil
		}
		size, err := st.size(whole)
		switch {
		case err != nil:
			return heard, err
		case len(whole) < size && len(st.partial) == 0:
			st.partial = append(st.partial, whole...)
			return heard, nil
		case len(whole) < size:
			continue
		case len(st.partial) == 0:
			b = b[size:]
		}
		st.partial = nil
		if err := st.hear(whole[prefix:size]); err != nil {
			return heard, err
		}
		heard = true
	}
	return heard, nil
}

// size is that of a message with its prefix.
func (st *Stream) size(b []byte) (int, error) {
	if b[0] != 0 {
		return 0, status.Error(codes.Unimplemented, "compressed messages are not taken")
	}
	n := binary.BigEndian.Uint32(b[1:prefix])
	if most := st.conn.server.o.MaxMessage; int64(n) > int64(most) {
		return 0, status.Errorf(codes.ResourceExhausted, "a message has %d bytes, at most %d are taken", n, most)
	}
	return prefix + int(n), nil
}

func (st *Stream) hear(message []byte) error {
	st.hearing.Lock()
	defer st.hearing.Unlock()
	if st.gone {
		return nil
	}
	err := st.handler.Hear(message)
	if err != nil {
		st.gone = true
		st.handler.Gone(err)
	}
	return err
}

// over tells the handler that it hears nothing more.
func (st *Stream) over(why error) {
	st.hearing.Lock()
	defer st.hearing.Unlock()
	if !st.gone {
		st.gone = true
		st.handler.Gone(why)
	}
}

// allSaid is called when the peer has said all that it will.
func (st *Stream) allSaid() {
	st.ended.Store(true)
	st.conn.settle(st.id) // its handler may have ended just before
	if len(st.partial) > 0 {
		st.partial = nil
		st.over(status.Error(codes.Internal, "the peer has ended in the middle of a message"))
		return
	}
	st.over(io.EOF)
}

// lost ends a call whose peer can't be told anything.
func (st *Stream) lost(why error) {
	c := st.conn
	c.mu.Lock()
	if st.dead == nil {
		st.dead = why
	}
	c.room.Broadcast()
	c.mu.Unlock()
	st.cancel()
	st.over(why)
}

// refusing is the handler of a call that can't be.
type refusing struct{ why error }

func (r refusing) Serve() error    { return r.why }
func (refusing) Hear([]byte) error { return nil }
func (refusing) Gone(error)        {}

// unary is the handler of a method with one message each way.
type unary struct {
	stream  *Stream
	method  *grpc.MethodDesc
	service any
	message []byte
	heard   chan struct{}
	err     error // set before heard is closed
}

// Hear implements Handler.
func (u *unary) Hear(message []byte) error {
	if u.message != nil {
		return status.Error(codes.Internal, "a call of one message has several")
	}
	u.message = append([]byte{}, message...)
	return nil
}

// Gone implements Handler.
func (u *unary) Gone(why error) {
	switch {
	case why != io.EOF: //nolint:errorlint // it is this one
		u.err = why
	case u.message == nil:
		u.err = status.Error(codes.Internal, "a call has no message")
	}
	close(u.heard)
}

// Serve implements Handler.
func (u *unary) Serve() error {
	ctx := u.stream.Context()
	timer := time.NewTimer(u.stream.conn.server.o.Handshake)
	defer timer.Stop()
	select {
	case <-u.heard:
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-timer.C:
		return status.Error(codes.DeadlineExceeded, "the call does not come")
	}
	if u.err != nil {
		return u.err
	}
	answer, err := u.method.Handler(u.service, ctx, func(m any) error {
		if err := proto.Unmarshal(u.message, m.(proto.Message)); err != nil { //nolint:forcetypeassert // generated code asks
			return status.Errorf(codes.Internal, "the message can't be decoded: %v", err)
		}
		return nil
	}, nil)
	if err != nil {
		return err //nolint:wrapcheck // it has a status
	}
	b, err := proto.Marshal(answer.(proto.Message)) //nolint:forcetypeassert // generated code answers
	if err != nil {
		return status.Errorf(codes.Internal, "the answer can't be encoded: %v", err)
	}
	return u.stream.Send(b)
}
