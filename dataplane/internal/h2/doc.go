// Package h2 speaks HTTP/2 on a connection, for both ends: the http2 engine is its server,
// transport its client. It owns frames, header compression, flow control, the states of
// streams and what a peer may not do (RFC 9113). It knows nothing of requests beyond
// lists of fields.
//
// It is ours, on the header compression of golang.org/x/net, because proxying a small gRPC
// call through the standard library's server and client costs several times what nginx
// spends, and because that server refuses some malformed requests in another way than the
// protocol asks for.
//
// One goroutine reads a connection. It handles all frames that a read brought before it
// wakes anybody, so that a stream's owner finds the whole of a small message at once.
// Writers append frames under the connection's lock; the first of them writes what all have
// appended meanwhile with one call.
package h2

import (
	"errors"
	"fmt"
)

// ErrCode is a reason for the end of a stream or connection.
type ErrCode uint32

// Error codes of RFC 9113, section 7.
const (
	NoError          ErrCode = 0x0
	ProtocolError    ErrCode = 0x1
	InternalError    ErrCode = 0x2
	FlowControlError ErrCode = 0x3
	StreamClosed     ErrCode = 0x5
	FrameSizeError   ErrCode = 0x6
	RefusedStream    ErrCode = 0x7
	Cancel           ErrCode = 0x8
	CompressionError ErrCode = 0x9
	EnhanceYourCalm  ErrCode = 0xb
)

// ConnError ends a connection: the peer broke the protocol.
type ConnError struct {
	Code   ErrCode
	Reason string
}

func (e *ConnError) Error() string { return fmt.Sprintf("HTTP/2: %s (code %d)", e.Reason, e.Code) }

// ResetError is the end of a stream by the peer.
type ResetError struct{ Code ErrCode }

func (e *ResetError) Error() string { return fmt.Sprintf("peer reset the stream (code %d)", e.Code) }

var (
	// ErrClosed means that the connection has ended.
	ErrClosed = errors.New("connection is closed")
	// ErrUnsent means that the peer has not handled anything of the stream: it may be sent
	// again.
	ErrUnsent = errors.New("peer did not take the stream")
	// ErrTimeout means that nothing moved in time.
	ErrTimeout = errors.New("peer is silent")
	// ErrStalled means that the peer does not take what is sent to it.
	ErrStalled = errors.New("peer does not take what is sent")
	// ErrTooLarge means that a response's head is larger than allowed.
	ErrTooLarge = errors.New("head of the response is too large")
	// ErrEnded means that this side has ended the stream already.
	ErrEnded = errors.New("stream has ended")
)

func protocol(format string, arguments ...any) *ConnError {
	return &ConnError{ProtocolError, fmt.Sprintf(format, arguments...)}
}
