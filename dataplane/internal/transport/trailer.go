package transport

import (
	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// A request's trailers go on to upstreams of both protocols. Over HTTP/1.1 only a chunked
// body has any: a body that was read whole is sent in chunks when trailers followed it, and
// one that streams with a length, which only HTTP/2 clients can follow by trailers, loses
// them, as RFC 9110, 6.5.1 allows.

// trails tells whether a trailer section goes on.
func trails(q *pdk.Request) bool {
	fields := q.Trailer.Fields()
	for i := range fields {
		if trailing(q, &fields[i]) {
			return true
		}
	}
	return false
}

// trailing tells whether a field of the trailer section goes on.
func trailing(q *pdk.Request, f *pdk.Field) bool {
	return message.ValidName(f.Name) && message.ValidValue(f.Value) && !message.RequestTrailerRefused(f.Name, &q.Header)
}

// appendLastChunk ends a chunked body, with the trailers that go on.
func appendLastChunk(b []byte, q *pdk.Request) []byte {
	b = append(b, "0\r\n"...)
	fields := q.Trailer.Fields()
	for i := range fields {
		if f := &fields[i]; trailing(q, f) {
			b = append(b, f.Name...)
			b = append(b, ": "...)
			b = append(b, f.Value...)
			b = append(b, "\r\n"...)
		}
	}
	return append(b, "\r\n"...)
}
