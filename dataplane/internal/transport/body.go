package transport

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// errTooLarge is the cause of ErrBodyTooLarge.
var errTooLarge = errors.New("request body is larger than allowed")

// stored is a request body that was read whole, so that it can be sent more than
// once. It is held by the exchange.
type stored struct {
	memory []byte // a view of the client's buffer, or own
	own    []byte
	file   *os.File // what did not fit, else nil
	inFile int64
	read   int64 // by Read
}

var storedBodies = sync.Pool{New: func() any { return new(stored) }}

// Read implements pdk.Body.
func (s *stored) Read(p []byte) (int, error) {
	n, err := s.readAt(p, s.read)
	s.read += int64(n)
	return n, err
}

func (s *stored) readAt(p []byte, at int64) (int, error) {
	if at < int64(len(s.memory)) {
		return copy(p, s.memory[at:]), nil
	}
	if s.file == nil || at >= s.length() {
		return 0, io.EOF
	}
	n, err := s.file.ReadAt(p[:min(int64(len(p)), s.length()-at)], at-int64(len(s.memory)))
	if n > 0 {
		err = nil
	}
	return n, err
}

// storedReader reads a stored body from its start, beside others.
type storedReader struct {
	s  *stored
	at int64
}

func (r *storedReader) Read(p []byte) (int, error) {
	n, err := r.s.readAt(p, r.at)
	r.at += int64(n)
	return n, err
}

func (s *stored) length() int64 { return int64(len(s.memory)) + s.inFile }

// Release implements pdk.Releaser.
func (s *stored) Release() {
	if s.file != nil {
		_ = s.file.Close()
	}
	own := s.own
	if cap(own) > 64<<10 {
		own = nil
	}
	*s = stored{own: own[:0]}
	storedBodies.Put(s)
}

// prepareBody reads the body into memory or a file when buffer says so, and makes a
// stored one start again.
func prepareBody(x *pdk.Exchange, c *Call, buffer bool, o *Options) *Error {
	r := &x.Request
	if r.Buffered != nil {
		if c.MaxBody > 0 && int64(len(r.Buffered)) > c.MaxBody {
			return &Error{Kind: ErrBodyTooLarge, Err: errTooLarge}
		}
		return nil
	}
	if r.Body == nil {
		return nil
	}
	if s, ok := r.Body.(*stored); ok {
		s.read = 0
		return nil
	}
	if c.MaxBody > 0 && r.ContentLength > c.MaxBody {
		return &Error{Kind: ErrBodyTooLarge, Err: errTooLarge}
	}
	if !buffer {
		return nil
	}
	s := storedBodies.Get().(*stored) //nolint:forcetypeassert // the pool holds nothing else
	x.OnRelease(s)
	if w, ok := r.Body.(wholer); ok {
		if b, ok := w.Whole(); ok {
			s.memory = b
			r.Body = s
			return nil
		}
	}
	if err := s.fill(r.Body, c.MaxBody, o); err != nil {
		return err
	}
	r.Body, r.ContentLength = s, s.length()
	return nil
}

// wholer is a body that may be in memory already.
type wholer interface {
	// Whole consumes and returns the rest of the body when the connection need not
	// be read for it. The bytes are valid until the exchange is released.
	Whole() ([]byte, bool)
}

func (s *stored) fill(body pdk.Body, limit int64, o *Options) *Error {
	b := s.own[:0]
	if cap(b) == 0 {
		b = make([]byte, 0, 8<<10)
	}
	var spill []byte
	for {
		if len(b) == cap(b) && cap(b) < o.MaxBuffered {
			b = append(b, 0)[:len(b)]
		}
		room := b[len(b):min(cap(b), max(o.MaxBuffered, len(b)))]
		if len(room) == 0 {
			if spill == nil {
				spill = make([]byte, 64<<10)
			}
			room = spill
		}
		n, err := body.Read(room)
		switch {
		case limit > 0 && int64(len(b))+s.inFile+int64(n) > limit:
			return &Error{Kind: ErrBodyTooLarge, BodyTaken: true, Err: errTooLarge}
		case spill != nil && n > 0:
			if err := s.spill(spill[:n], o.TempDir); err != nil {
				return &Error{Kind: ErrRequestBody, BodyTaken: true, Err: err}
			}
		default:
			b = b[:len(b)+n]
		}
		if errors.Is(err, io.EOF) {
			s.own, s.memory = b, b
			return nil
		}
		if err != nil {
			return bodyError(err)
		}
	}
}

// spill appends to a file that has no name.
func (s *stored) spill(p []byte, dir string) error {
	if s.file == nil {
		f, err := os.CreateTemp(dir, "sluice-body-")
		if err != nil {
			return fmt.Errorf("create file for a request body: %w", err)
		}
		s.file = f
		if err := os.Remove(f.Name()); err != nil {
			return fmt.Errorf("unlink file for a request body: %w", err)
		}
	}
	n, err := s.file.Write(p)
	s.inFile += int64(n)
	if err != nil {
		return fmt.Errorf("write file for a request body: %w", err)
	}
	return nil
}

// bodyError is the fault of a request body that could not be read.
func bodyError(err error) *Error {
	kind := ErrRequestBody
	if errors.Is(err, message.ErrTooLarge) || errors.Is(err, pdk.ErrBodyTooLarge) || errors.Is(err, errTooLarge) {
		kind = ErrBodyTooLarge
	}
	return &Error{Kind: kind, BodyTaken: true, Err: fmt.Errorf("read request body: %w", err)}
}
