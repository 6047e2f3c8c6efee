package pdk

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"html"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

func grpcRequest(x *Exchange) bool {
	return x.Request.Proto >= 20 && strings.HasPrefix(x.Request.Header.Get("Content-Type"), "application/grpc")
}

// errorBody renders an error in the form that accept prefers: plain text only when
// it is asked for, JSON when nothing known is.
func errorBody(accept, message, requestID string) (contentType string, body []byte) {
	switch preferred(accept) {
	case "text/html":
		var b bytes.Buffer
		b.WriteString("<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n  <body>\n    <h1>Error</h1>\n    <p>")
		b.WriteString(html.EscapeString(message))
		b.WriteString(".</p>\n    <p>request_id: " + requestID + "</p>\n  </body>\n</html>\n")
		return "text/html; charset=utf-8", b.Bytes()
	case "application/xml":
		var b bytes.Buffer
		b.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>")
		_ = xml.EscapeText(&b, []byte(message))
		b.WriteString("</message>\n  <requestid>" + requestID + "</requestid>\n</error>")
		return "application/xml", b.Bytes()
	case "text/plain":
		return "text/plain; charset=utf-8", []byte(message + "\nrequest_id: " + requestID)
	}
	quoted, _ := json.Marshal(message)
	return JSONType, []byte("{\n  \"message\":" + string(quoted) + ",\n  \"request_id\":\"" + requestID + "\"\n}")
}

// preferred returns the media type with the highest quality among those that have
// a form of their own, the first one of equals.
func preferred(accept string) string {
	best, bestQ := "", 0.0
	for part := range strings.SplitSeq(accept, ",") {
		media, params, _ := strings.Cut(part, ";")
		media = strings.ToLower(strings.TrimSpace(media))
		q := 1.0
		for p := range strings.SplitSeq(params, ";") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
				if f, err := strconv.ParseFloat(v, 64); err == nil {
					q = f
				}
			}
		}
		switch media {
		case "application/json", "text/html", "application/xml", "text/plain":
		case "text/*", "text/xml":
			continue
		case "*/*":
			media = "application/json"
		default:
			continue
		}
		if q > bestQ {
			best, bestQ = media, q
		}
	}
	return best
}
