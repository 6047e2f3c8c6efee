package transport

import "github.com/sluice-gateway/sluice/shared/pdk"

// Replayable tells whether the request of an exchange can be sent again after a round
// trip that got an answer: it has no body, or one that was read whole before.
func Replayable(x *pdk.Exchange) bool {
	r := &x.Request
	if r.Buffered != nil || r.Body == nil {
		return true
	}
	_, ok := r.Body.(*stored)
	return ok
}

// discardBody is how much of a response that nobody wants is read, so that its
// connection can be used again.
const discardBody = 16 << 10

// Discard takes back the response of the last round trip of an exchange, which may then
// be sent again.
func Discard(x *pdk.Exchange) {
	r := &x.Response
	if r.Body != nil && r.ContentLength >= 0 && r.ContentLength <= discardBody {
		var room [4 << 10]byte
		for {
			if _, err := r.Body.Read(room[:]); err != nil {
				break
			}
		}
	}
	x.ReleaseLast()
	r.Header.Reset()
	r.Trailer.Reset()
	r.Status, r.UpstreamStatus, r.Reason, r.ContentLength, r.Body, r.Buffered = 0, 0, "", 0, nil, nil
}
