package message

import (
	"bytes"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Response is the head of a response.
type Response struct {
	Status int
	Reason string
	// Proto is 10 or 11.
	Proto int
	// Length of the body: -1 when it is chunked or ends with the connection, 0 when
	// there is none. Announced is Content-Length where there is no body, -1 without one.
	Length    int64
	Announced int64
	Chunked   bool
	// UntilClose is true when the body ends with the connection.
	UntilClose bool
	// KeepAlive is true when the connection can be used again.
	KeepAlive bool
	// Upgrade is the token of a 101.
	Upgrade string
}

// EndOfResponseHead is EndOfHead for responses; the caller bounds the size.
func EndOfResponseHead(b []byte, from int) (int, error) {
	i := max(0, from-3)
	if end := bytes.Index(b[i:], crlfcrlf); end >= 0 {
		return end + i + 4, nil
	}
	const start = "HTTP/1."
	if n := min(len(b), len(start)); string(b[:n]) != start[:n] {
		return 0, ErrStatusLine
	}
	for j := i; j < len(b); j++ {
		if b[j] == '\n' && (j == 0 || b[j-1] != '\r') {
			return 0, ErrLineEnd
		}
	}
	return 0, nil
}

// Parse reads the head that is all of b and appends its fields to h. headRequest
// says that it answers a HEAD. Errors are of type *Refusal.
func (r *Response) Parse(b []byte, h *pdk.Header, headRequest bool) error {
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return ErrLineEnd
	}
	if err := r.line(view(b[:i-1])); err != nil {
		return err
	}
	var f framing
	if err := f.fields(b[i+1:], h, true); err != nil {
		return err
	}
	return r.frame(&f, headRequest)
}

func (r *Response) line(s string) error {
	if len(s) < 12 || s[:7] != "HTTP/1." || s[8] != ' ' {
		return ErrStatusLine
	}
	switch s[7] {
	case '0':
		r.Proto = 10
	case '1':
		r.Proto = 11
	default:
		return ErrStatusLine
	}
	if !all(s[9:12], classDigit) || s[9] == '0' {
		return ErrStatusLine
	}
	r.Status = int(s[9]-'0')*100 + int(s[10]-'0')*10 + int(s[11]-'0')
	r.Reason = ""
	if len(s) > 12 {
		if s[12] != ' ' || !ValidValue(s[13:]) {
			return ErrStatusLine
		}
		r.Reason = s[13:]
	}
	return nil
}

func (r *Response) frame(f *framing, headRequest bool) error {
	if f.chunked && f.lengths > 0 {
		return ErrLengthAndCoded
	}
	if f.chunked && r.Proto < 11 {
		return ErrCodingHTTP10
	}
	r.Chunked, r.UntilClose, r.Length, r.Announced = false, false, 0, -1
	r.Upgrade = ""
	if f.upgradeListed {
		r.Upgrade = f.upgrade
	}
	r.KeepAlive = !f.close && (r.Proto >= 11 || f.keepAlive)
	switch {
	case headRequest, r.Status < 200, r.Status == 204, r.Status == 304:
		r.Announced = f.length
	case f.chunked:
		r.Chunked, r.Length = true, -1
	case f.lengths > 0:
		r.Length, r.Announced = f.length, f.length
	default:
		r.UntilClose, r.Length, r.KeepAlive = true, -1, false
	}
	return nil
}
