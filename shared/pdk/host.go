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
	x.Request.Header.Reset()
	x.Request.Trailer.Reset()
	x.Request.Logged.Reset()
	x.Response.Header.Reset()
	x.Response.Trailer.Reset()
	x.Text.reset()
	x.Trace.reset()
	// What is kept waits outside, so that the rest is cleared where it is: a value that is
	// made of the old one is made on the stack first, and an exchange is large.
	header, trailer, logged := x.Request.Header, x.Request.Trailer, x.Request.Logged
	answerHeader, answerTrailer := x.Response.Header, x.Response.Trailer
	text, trace, captures, kept := x.Text, x.Trace, x.Captures, x.Kept
	tries, slots, releasers, logEdits := x.Tries, x.slots, x.releasers, x.logEdits
	*x = Exchange{}
	x.Request.Header, x.Request.Trailer, x.Request.Logged = header, trailer, logged
	x.Response.Header, x.Response.Trailer = answerHeader, answerTrailer
	x.Text, x.Trace, x.Kept = text, trace, kept
	x.Captures.Names, x.Captures.Values = captures.Names[:0], captures.Values[:0]
	x.Tries, x.slots, x.releasers, x.logEdits = tries[:0], slots[:0], releasers[:0], logEdits[:0]
}

// ResetAfterPanic releases what the exchange of a handler that panicked holds, as far as
// that goes. The exchange must not be used again. Only the host calls it.
func (x *Exchange) ResetAfterPanic() {
	defer func() { _ = recover() }() // one was told of already
	x.Reset()
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
