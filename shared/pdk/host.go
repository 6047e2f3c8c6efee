package pdk

import "slices"

// Releaser is something that an exchange holds until it is released, such as a
// buffer that its strings are views of.
type Releaser interface {
	Release()
}

// OnRelease has r.Release called when the exchange is reset, last added first.
// Only the host calls it.
func (x *Exchange) OnRelease(r Releaser) { x.releasers = append(x.releasers, r) }

// Reset releases what the exchange holds and makes it ready for the next request,
// keeping its memory. Only the host calls it.
func (x *Exchange) Reset() {
	for _, v := range slices.Backward(x.releasers) {
		v.Release()
	}
	clear(x.releasers)
	clear(x.slots)
	clear(x.Captures.Names)
	clear(x.Captures.Values)
	clear(x.logEdits)
	requestHeader, requestTrailer, logged := x.Request.Header, x.Request.Trailer, x.Request.Logged
	responseHeader, responseTrailer := x.Response.Header, x.Response.Trailer
	logged.Reset()
	requestHeader.Reset()
	requestTrailer.Reset()
	responseHeader.Reset()
	responseTrailer.Reset()
	text := x.Text
	text.reset()
	trace := x.Trace
	trace.reset()
	*x = Exchange{
		Text: text, Trace: trace, Tries: x.Tries[:0], slots: x.slots[:0], releasers: x.releasers[:0], logEdits: x.logEdits[:0],
		Captures: Captures{Names: x.Captures.Names[:0], Values: x.Captures.Values[:0]},
	}
	x.Request.Header, x.Request.Trailer, x.Request.Logged = requestHeader, requestTrailer, logged
	x.Response.Header, x.Response.Trailer = responseHeader, responseTrailer
}

// OnConsumer sets what Authenticate calls. Only the host uses it.
func (x *Exchange) OnConsumer(fn func(x *Exchange)) { x.onConsumer = fn }

// ClearExit takes an Exit back. Only the host uses it.
func (x *Exchange) ClearExit() { x.exited = false }

// ReleaseLast releases what was handed to OnRelease last. Only the host calls it.
func (x *Exchange) ReleaseLast() {
	n := len(x.releasers) - 1
	if n < 0 {
		return
	}
	x.releasers[n].Release()
	x.releasers[n] = nil
	x.releasers = x.releasers[:n]
}
