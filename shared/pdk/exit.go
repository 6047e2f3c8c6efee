package pdk

import (
	"encoding/json"
	"strconv"
)

// JSONType is the content type of the gateway's own JSON answers.
const JSONType = "application/json; charset=utf-8"

// Exit ends the exchange with {"message": message} as JSON. It returns nil, so
// that a phase can end with return x.Exit(...).
func (x *Exchange) Exit(status int, message string) error {
	body, err := json.Marshal(struct {
		Message string `json:"message"`
	}{message})
	if err != nil {
		return err
	}
	return x.ExitBody(status, JSONType, body)
}

// ExitJSON ends the exchange with v as JSON.
func (x *Exchange) ExitJSON(status int, v any) error {
	body, err := json.Marshal(v)
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
	x.Response.ContentLength = int64(len(body))
	return nil
}

// Fail ends the exchange with an error in the form that the client accepts: JSON,
// HTML, XML or plain text with the request id, or a gRPC status. message "" takes
// the standard text of the status.
func (x *Exchange) Fail(status int, message string) error {
	if message == "" {
		message = StatusMessage(status)
	}
	if grpcRequest(x) {
		x.Response.Header.Set("grpc-status", strconv.Itoa(GRPCStatus(status)))
		x.Response.Header.Set("grpc-message", message)
		return x.ExitBody(200, "application/grpc", nil)
	}
	contentType, body := errorBody(x.Request.Header.Get("Accept"), message, x.ID)
	return x.ExitBody(status, contentType, body)
}
