package pdk

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// JSONType is the content type of the gateway's own JSON answers.
const JSONType = "application/json; charset=utf-8"

// Exit ends the exchange with {"message": message} as JSON, or with a status when
// it is a gRPC call. It returns nil, so that a phase can end with return x.Exit(...).
func (x *Exchange) Exit(status int, message string) error {
	if x.IsGRPC() {
		return x.exitGRPC(status, message)
	}
	b := append(x.Text.Room(len(message)+16), `{"message":`...)
	b = append(AppendQuoted(b, message), '}')
	x.Text.Keep(b)
	return x.ExitBody(status, JSONType, b)
}

// ExitJSON ends the exchange with v as JSON.
func (x *Exchange) ExitJSON(status int, v any) error {
	body, err := EncodeJSON(v)
	if err != nil {
		return err
	}
	return x.ExitBody(status, JSONType, body)
}

// ExitBody ends the exchange with a body. An empty contentType sends no
// Content-Type. The response header may be changed before and after.
func (x *Exchange) ExitBody(status int, contentType string, body []byte) error {
	x.exited = true
	x.Source = SourceExit
	x.Response.Status = status
	if contentType != "" {
		x.Response.Header.Set("Content-Type", contentType)
	}
	x.Response.Buffered, x.Response.Body = body, nil
	x.Response.Trailer.Reset() // was an upstream's
	x.Response.ContentLength = int64(len(body))
	return nil
}

// Fail ends the exchange with an error in the form that the client accepts: JSON,
// HTML, XML or plain text with the request id, or a gRPC status. It is JSON when the
// client does not say. message "" takes the standard text of the status.
func (x *Exchange) Fail(status int, message string) error {
	return x.FailWithDefault(status, message, ErrorJSON)
}

// FailWithDefault does what Fail does, with the form for clients that send no Accept
// header. The gateway's own errors, such as 502, take the setting error_default_type,
// which is plain text unless it is set.
func (x *Exchange) FailWithDefault(status int, message string, form ErrorType) error {
	if message == "" {
		message = StatusMessage(status)
	}
	if x.IsGRPC() {
		return x.exitGRPC(status, message)
	}
	if x.Request.Header.Has("Accept") {
		form = acceptedError(x.Request.Header.Get("Accept"))
	}
	b := x.Errors.appendBody(x.Text.Room(len(message)+256), form, message, x.ID)
	x.Text.Keep(b)
	return x.ExitBody(status, form.ContentType(), b)
}

// IsGRPC tells whether the request is a gRPC call.
func (x *Exchange) IsGRPC() bool {
	return x.Request.Proto >= 20 && strings.HasPrefix(x.Request.Header.Get("Content-Type"), "application/grpc")
}

func (x *Exchange) exitGRPC(status int, message string) error {
	x.Response.Header.Set("grpc-status", strconv.Itoa(GRPCStatus(status)))
	x.Response.Header.Set("grpc-message", grpcMessage(message))
	return x.ExitBody(200, "application/grpc", nil)
}

// grpcMessage percent-encodes what a grpc-message header may not hold.
func grpcMessage(s string) string {
	const hex = "0123456789ABCDEF"
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= ' ' && s[i] <= '~' && s[i] != '%'
	}
	if plain {
		return s
	}
	b := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(b)
}

// EncodeJSON encodes v without escaping what only HTML gives a meaning to.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
