package http1

import (
	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

const (
	// bufferSize holds nearly every head, and small bodies.
	bufferSize = 8 << 10
	// outSize holds a head and a small body.
	outSize = 16 << 10
	// keptSize is the largest buffer that goes back to the pool.
	keptSize = 64 << 10
)

// state is what a connection needs while a request is there.
type state struct {
	x    pdk.Exchange
	req  message.Request
	body body
	buf  []byte // buf[r:w] is read and not consumed
	r, w int
	out  []byte // nil until there is something to say
	more []byte // for the body of a request that does not fit behind its head
	down []byte // for the body of a response that streams
}

func newState() *state {
	return &state{buf: make([]byte, bufferSize)}
}

// blank returns the buffer for what goes out, empty. Connections that never come to a
// request have none.
func (s *state) blank() []byte {
	if s.out == nil {
		s.out = make([]byte, 0, outSize)
	}
	return s.out[:0]
}

// take gives a connection the state that it needs for a request.
func (e *Engine) take() *state {
	return e.states.Get().(*state) //nolint:forcetypeassert // the pool holds nothing else
}

// give takes a state back, without what is too large to be kept.
func (e *Engine) give(s *state) {
	s.r, s.w = 0, 0
	s.body.reset()
	if len(s.buf) > keptSize {
		s.buf = make([]byte, bufferSize)
	}
	if cap(s.out) > keptSize {
		s.out = nil
	}
	s.out = s.out[:0]
	e.states.Put(s)
}
