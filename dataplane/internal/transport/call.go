package transport

import (
	"context"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Call says how one exchange is sent, and takes what is not part of a response.
// A Call may live on the caller's stack.
type Call struct {
	Timeouts Timeouts
	// BufferRequest reads the whole request body before the upstream is called, so
	// that another try can send it again (Kong's request_buffering).
	BufferRequest bool
	// MaxBody is the most bytes that a request body may have; 0 means no limit.
	MaxBody int64
	// Upgrade sends the request with "Connection: Upgrade" and the exchange's Upgrade
	// header, so that the upstream may answer 101. HTTP/1.1 endpoints only.
	Upgrade bool
	// Informational gets 1xx responses other than 100 and 101; nil drops them. A
	// proxy.Responder is one.
	Informational Informer

	// Context ends the round trip up to the response's head when it ends; nil never
	// does. The response's body does not depend on it. HTTP/1.1 endpoints only.
	Context context.Context //nolint:containedctx // it belongs to the one call

	// Upgraded is the upstream's connection when it answered 101; the caller then
	// owns it and ends it with Tunnel or Close.
	Upgraded *Upgraded
}

// Informer passes an interim response on.
type Informer interface {
	Informational(status int, header *pdk.Header) error
}
