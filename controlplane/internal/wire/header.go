package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// httpError is what is no gRPC, as HTTP says it.
type httpError int

// Error implements error.
func (e httpError) Error() string { return fmt.Sprintf("HTTP status %d", int(e)) }

var errMalformed = errors.New("the request is malformed") // RFC 9113, section 8.1.1

// request makes a stream's context and finds who serves it, or says why nobody does.
func (s *Server) request(st *Stream, f *http2.MetaHeadersFrame) (Open, error) {
	st.ctx, st.cancel = context.WithCancel(st.conn.ctx)
	var content, timeout string
	if f.PseudoValue("method") == "" || f.PseudoValue("scheme") == "" || f.PseudoValue("path") == "" {
		return nil, errMalformed
	}
	for _, h := range f.RegularFields() {
		switch h.Name {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
			return nil, errMalformed
		case "te":
			if h.Value != "trailers" {
				return nil, errMalformed
			}
		case "content-type":
			content = h.Value
		case "grpc-timeout":
			timeout = h.Value
		}
	}
	switch {
	case f.Truncated:
		return nil, httpError(431)
	case f.PseudoValue("method") != "POST":
		return nil, httpError(405)
	case !isGRPC(content):
		return nil, httpError(415)
	}
	if timeout != "" {
		d, err := parseTimeout(timeout)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		outer := st.cancel
		ctx, cancel := context.WithTimeout(st.ctx, d)
		st.ctx, st.cancel = ctx, func() {
			cancel()
			outer()
		}
	}
	path := f.PseudoValue("path")
	if open := s.calls[path]; open != nil {
		return open, nil
	}
	return nil, status.Errorf(codes.Unimplemented, "nobody serves %.200q", path)
}

func isGRPC(content string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(content), "application/grpc")
	return ok && (rest == "" || rest == "+proto" || rest[0] == ';')
}

var timeoutUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

// parseTimeout reads grpc-timeout: at most eight digits and a unit.
func parseTimeout(text string) (time.Duration, error) {
	last := len(text) - 1
	unit := timeoutUnits[text[last]]
	n, err := strconv.ParseUint(text[:last], 10, 32)
	if unit == 0 || err != nil || last > 8 {
		return 0, fmt.Errorf("grpc-timeout: %.20q is no timeout", text)
	}
	if n > uint64((1<<63-1)/unit) {
		return 1<<63 - 1, nil
	}
	return time.Duration(n) * unit, nil //nolint:gosec // it fits
}

// block encodes headers without the table of the connection, so that it needs no state.
func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1], Sensitive: true}) // a buffer takes it
	}
	return b.Bytes()
}

var responseHeaders = block(":status", "200", "content-type", "application/grpc")

// trailers say how a call ended, after headers or instead of them.
func trailers(err error, begun bool) []byte {
	if code, ok := err.(httpError); ok { //nolint:errorlint // it is never wrapped
		return block(":status", strconv.Itoa(int(code)))
	}
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}
	fields := []string{"grpc-status", strconv.Itoa(int(st.Code()))}
	if st.Message() != "" {
		fields = append(fields, "grpc-message", escape(st.Message()))
	}
	if !begun {
		fields = append([]string{":status", "200", "content-type", "application/grpc"}, fields...)
	}
	return block(fields...)
}

// longest bounds a status' message in bytes, so that it fits into a frame.
const longest = 4 << 10

// escape writes what is not printable ASCII as %XX.
func escape(text string) string {
	var b strings.Builder
	for i := range min(len(text), longest) {
		if c := text[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// appendFrame appends a frame's header.
func appendFrame(b []byte, kind http2.FrameType, flags http2.Flags, stream uint32, length int) []byte {
	b = append(b, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags))
	return binary.BigEndian.AppendUint32(b, stream)
}

func appendHeaders(b []byte, stream uint32, flags http2.Flags, block []byte) []byte {
	return append(appendFrame(b, http2.FrameHeaders, flags|http2.FlagHeadersEndHeaders, stream, len(block)), block...)
}

func appendReset(b []byte, stream uint32, code http2.ErrCode) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, http2.FrameRSTStream, 0, stream, 4), uint32(code))
}

func appendWindow(b []byte, stream uint32, more int) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, http2.FrameWindowUpdate, 0, stream, 4), uint32(more)) //nolint:gosec // a window
}

func appendAway(b []byte, last uint32) []byte {
	b = appendFrame(b, http2.FrameGoAway, 0, 0, 8)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, last), uint32(http2.ErrCodeNo))
}
