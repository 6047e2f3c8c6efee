package pdk

import (
	"errors"
	"io"
)

// ErrBodyTooLarge is BufferBody's error for a body that is longer than the limit.
var ErrBodyTooLarge = errors.New("request body is larger than the limit")

// BufferBody reads the whole request body into Request.Buffered and returns it. It is
// still sent upstream, from memory: afterwards Request.Body is nil and ContentLength
// is the length. limit bounds it in bytes; 0 means none. When the body is longer, the
// error is ErrBodyTooLarge, nothing is buffered and the upstream gets all of it. Other
// errors are the client's: its connection broke or it was too slow.
func (x *Exchange) BufferBody(limit int64) ([]byte, error) {
	r := &x.Request
	switch {
	case r.Buffered != nil:
		if limit > 0 && int64(len(r.Buffered)) > limit {
			return nil, ErrBodyTooLarge
		}
		return r.Buffered, nil
	case r.Body == nil:
		return nil, nil
	case limit > 0 && r.ContentLength > limit:
		return nil, ErrBodyTooLarge
	}
	size := r.ContentLength + 1 // room to see the end without growing
	if size <= 0 || size > 1<<20 {
		size = 4096
	}
	b := make([]byte, 0, size)
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if limit > 0 && int64(len(b)) > limit {
			r.Body = &resumedBody{read: b, rest: r.Body, err: err}
			return nil, ErrBodyTooLarge
		}
		if errors.Is(err, io.EOF) {
			x.SetBody(b)
			return b, nil
		}
		if err != nil {
			r.Body = &resumedBody{read: b, err: err}
			return nil, err
		}
	}
}

// SetBody replaces the request body that the upstream gets. The exchange keeps b.
func (x *Exchange) SetBody(b []byte) {
	if b == nil {
		b = []byte{}
	}
	x.Request.Buffered, x.Request.Body = b, nil
	x.Request.ContentLength = int64(len(b))
}

// resumedBody gives back what was read, then the rest.
type resumedBody struct {
	read []byte
	rest Body
	err  error
}

func (r *resumedBody) Read(p []byte) (int, error) {
	if len(r.read) > 0 {
		n := copy(p, r.read)
		r.read = r.read[n:]
		return n, nil
	}
	if r.err != nil {
		return 0, r.err
	}
	return r.rest.Read(p)
}
