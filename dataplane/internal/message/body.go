package message

import (
	"io"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Kinds of a body.
const (
	bodyNone = iota
	bodyLength
	bodyChunked
	bodyClose
)

// Body reads the body of one message from a connection, and no byte beyond it. The
// zero value is at its end. It is used by one goroutine at a time.
type Body struct {
	source io.Reader
	buf    []byte // read from source and not consumed: buf[r:w]
	r, w   int
	kind   uint8
	chunks chunks
	left   int64 // of a body with a length
	max    int64 // of bytes in a chunked body, 0 for no limit
	total  int64
	err    error
}

// ErrTooLarge is returned for a chunked body that is longer than allowed.
var ErrTooLarge = &Refusal{413, "body is larger than allowed"}

// Start makes the body ready. buf[r:w] is what was read from source after the head;
// buf[w:] is used to read more. length is -1 for a chunked body; untilClose is for
// responses. trailer takes the fields after the last chunk, nil drops them. max
// bounds the bytes of a chunked body; 0 means no limit.
func (b *Body) Start(source io.Reader, buf []byte, r, w int, length int64, untilClose bool, trailer *pdk.Header, limit int64) {
	*b = Body{source: source, buf: buf, r: r, w: w, left: length, max: limit}
	switch {
	case untilClose:
		b.kind = bodyClose
	case length < 0:
		b.kind = bodyChunked
		b.chunks = chunks{trailer: trailer}
	case length > 0:
		b.kind = bodyLength
	default:
		b.err = io.EOF
	}
}

// Done tells whether the body was read to its end.
func (b *Body) Done() bool { return b.err == io.EOF }

// Err returns why the body ended, nil when it goes on.
func (b *Body) Err() error { return b.err }

// Rest returns the bounds of what was read beyond the body.
func (b *Body) Rest() (r, w int) { return b.r, b.w }

// Following returns what was read beyond the body: the start of the next message.
func (b *Body) Following() []byte { return b.buf[b.r:b.w] }

// Buffered returns the number of bytes that were read from the connection already.
func (b *Body) Buffered() int { return b.w - b.r }

// Left returns the number of bytes that are to come, -1 when it is not known.
func (b *Body) Left() int64 {
	switch {
	case b.err != nil:
		return 0
	case b.kind == bodyLength:
		return b.left
	}
	return -1
}

// Complete tells whether the connection need not be read for the rest of the body.
func (b *Body) Complete() bool {
	return b.err == io.EOF || b.kind == bodyLength && b.left <= int64(b.w-b.r)
}

// Whole consumes and returns the rest of a body with a length when it was all read
// from the connection already.
func (b *Body) Whole() ([]byte, bool) {
	if b.err != nil || b.kind != bodyLength || b.left > int64(b.w-b.r) {
		return nil, false
	}
	p := b.buf[b.r : b.r+int(b.left)]
	b.r += int(b.left)
	b.total += b.left
	b.left, b.err = 0, io.EOF
	return p, true
}

// Read implements io.Reader. An end of the connection inside the body is
// io.ErrUnexpectedEOF; malformed chunks are a *Refusal.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	var n int
	var err error
	switch b.kind {
	case bodyLength:
		n, err = b.take(p, b.left)
		b.left -= int64(n)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if b.left == 0 {
			err = io.EOF
		}
	case bodyChunked:
		n, err = b.readChunked(p)
	case bodyClose:
		n, err = b.take(p, int64(len(p)))
	}
	b.total += int64(n)
	b.err = err
	if n > 0 {
		return n, nil
	}
	return n, err
}

// Taken is for a caller that has moved n bytes of a body with a length from the
// connection itself, when nothing was buffered.
func (b *Body) Taken(n int64) {
	b.left -= n
	b.total += n
	if b.left == 0 {
		b.err = io.EOF
	}
}

// take gives up to limit bytes, from the buffer first.
func (b *Body) take(p []byte, limit int64) (int, error) {
	if int64(len(p)) > limit {
		p = p[:limit]
	}
	if b.r < b.w {
		n := copy(p, b.buf[b.r:b.w])
		b.r += n
		return n, nil
	}
	return b.source.Read(p)
}

// fill reads more into the buffer behind what is not consumed.
func (b *Body) fill() error {
	if b.r == b.w {
		b.r, b.w = 0, 0
	}
	if b.w == len(b.buf) {
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	}
	n, err := b.source.Read(b.buf[b.w:])
	b.w += n
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (b *Body) readChunked(p []byte) (int, error) {
	for {
		if b.r == b.w && b.chunks.state == chunkData && len(p) >= len(b.buf) {
			n, err := b.source.Read(p[:min(int64(len(p)), b.chunks.left)])
			if b.chunks.left -= int64(n); b.chunks.left == 0 {
				b.chunks.state = chunkCR
			}
			if b.max > 0 && b.total+int64(n) > b.max {
				return 0, ErrTooLarge
			}
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
		n, consumed, err := b.chunks.decode(p, b.buf[b.r:b.w])
		b.r += consumed
		if b.max > 0 && b.total+int64(n) > b.max {
			return 0, ErrTooLarge
		}
		if n > 0 || err != nil {
			return n, err
		}
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
}
