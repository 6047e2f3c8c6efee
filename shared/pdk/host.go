package pdk

// Reset makes the exchange ready for the next request, keeping its memory. Only
// the host calls it.
func (x *Exchange) Reset() {
	request, response := x.Request.Header, x.Response.Header
	tries, slots, names, values := x.Tries[:0], x.slots, x.Captures.Names, x.Captures.Values
	request.Reset()
	response.Reset()
	clear(slots)
	*x = Exchange{Tries: tries, slots: slots[:0]}
	x.Request.Header, x.Response.Header = request, response
	x.Captures.Names, x.Captures.Values = names[:0], values[:0]
}

// OnConsumer sets what Authenticate calls. Only the host uses it.
func (x *Exchange) OnConsumer(fn func(x *Exchange)) { x.onConsumer = fn }

// ClearExit takes an Exit back. Only the host uses it.
func (x *Exchange) ClearExit() { x.exited = false }
