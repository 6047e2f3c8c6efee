package proxy

import (
	"errors"
	"io"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// buffer reads the whole response body before the header filters run. A body that is too
// long is streamed as ever, one that ends too early is answered as an upstream's fault.
func (w *walk) buffer(x *pdk.Exchange) {
	r := &x.Response
	if x.Source != pdk.SourceUpstream || x.IsGRPC() {
		x.Upstream.BufferResponse = false
		return
	}
	if r.Body == nil {
		return
	}
	body := make([]byte, 0, max(min(r.ContentLength+1, pdk.MaxBufferedResponse), 4<<10))
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			r.Buffered, r.Body, r.ContentLength = body, nil, int64(len(body))
			return
		case err != nil:
			w.p.log.Warn("upstream failed", "request_id", strings.Clone(x.ID), "address", w.peer.Address, "step", "body", "error", err)
			r.Header.Reset()
			r.Body, r.UpstreamStatus = nil, 0
			_ = x.FailWithDefault(502, "", w.p.o.ErrorType)
			x.Source = pdk.SourceError
			return
		case len(body) > pdk.MaxBufferedResponse:
			w.p.log.Warn("response is too long to be buffered", "request_id", strings.Clone(x.ID), "limit", pdk.MaxBufferedResponse)
			x.Upstream.BufferResponse = false
			r.Body = &begun{read: body, rest: r.Body}
			return
		}
	}
}

// begun is a body of which a part was read.
type begun struct {
	read []byte
	rest pdk.Body
}

// Read follows pdk.Body.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.read) > 0 {
		n := copy(p, b.read)
		b.read = b.read[n:]
		return n, nil
	}
	return b.rest.Read(p)
}
