package pdk

import (
	"strconv"
	"strings"
)

// ErrorType is a form that the gateway's own errors have.
type ErrorType uint8

// Forms of an error.
const (
	ErrorJSON ErrorType = iota
	ErrorText
	ErrorHTML
	ErrorXML
	// errorGRPC is what a client gets that accepts application/grpc over HTTP/1.1.
	errorGRPC
)

// ParseErrorType reads the setting error_default_type.
func ParseErrorType(mediaType string) (ErrorType, bool) {
	switch mediaType {
	case "application/json":
		return ErrorJSON, true
	case "text/plain":
		return ErrorText, true
	case "text/html":
		return ErrorHTML, true
	case "application/xml":
		return ErrorXML, true
	case "application/grpc":
		return errorGRPC, true
	}
	return 0, false
}

// ContentType returns the value of Content-Type.
func (e ErrorType) ContentType() string {
	switch e {
	case ErrorText:
		return "text/plain; charset=utf-8"
	case ErrorHTML:
		return "text/html; charset=utf-8"
	case ErrorXML:
		return "application/xml; charset=utf-8"
	case errorGRPC:
		return " "
	}
	return JSONType
}

// appendBody appends the error to b.
func (e ErrorType) appendBody(b []byte, message, requestID string) []byte {
	switch e {
	case ErrorText:
		b = append(b, message...)
		b = append(b, "\nrequest_id: "...)
		b = append(b, requestID...)
		return append(b, '\n')
	case ErrorHTML:
		b = append(b, "<!doctype html>\n<html>\n  <head>\n    <meta charset=\"utf-8\">\n    <title>Error</title>\n  </head>\n  <body>\n    <h1>Error</h1>\n    <p>"...)
		b = appendMarkup(b, message)
		b = append(b, ".</p>\n    <p>request_id: "...)
		b = append(b, requestID...)
		return append(b, "</p>\n  </body>\n</html>\n"...)
	case ErrorXML:
		b = append(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<error>\n  <message>"...)
		b = appendMarkup(b, message)
		b = append(b, "</message>\n  <requestid>"...)
		b = append(b, requestID...)
		return append(b, "</requestid>\n</error>\n"...)
	case errorGRPC:
		return b
	}
	b = append(b, "{\n  \"message\":"...)
	b = AppendQuoted(b, message)
	b = append(b, ",\n  \"request_id\":\""...)
	b = append(b, requestID...)
	return append(b, "\"\n}"...)
}

// appendMarkup appends s as text of HTML and XML.
func appendMarkup(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '&':
			b = append(b, "&amp;"...)
		case '<':
			b = append(b, "&lt;"...)
		case '>':
			b = append(b, "&gt;"...)
		default:
			b = append(b, c)
		}
	}
	return b
}

// AppendQuoted appends s as a JSON string. Bytes that are no UTF-8 stay as they are.
func AppendQuoted(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// acceptedError returns the form with the highest quality among those that accept
// names, the first one of equals; JSON when it names none.
func acceptedError(accept string) ErrorType {
	best, bestQuality := ErrorJSON, 0.0
	for accept != "" {
		var part string
		part, accept, _ = strings.Cut(accept, ",")
		media, parameters, _ := strings.Cut(part, ";")
		kind, known := acceptedKind(strings.TrimSpace(media))
		if !known {
			continue
		}
		if q := quality(parameters); q > bestQuality {
			best, bestQuality = kind, q
		}
	}
	return best
}

func acceptedKind(media string) (ErrorType, bool) {
	switch {
	case EqualFold(media, "application/json"), EqualFold(media, "application/*"), media == "*/*":
		return ErrorJSON, true
	case EqualFold(media, "text/html"):
		return ErrorHTML, true
	case EqualFold(media, "text/plain"), EqualFold(media, "text/*"):
		return ErrorText, true
	case EqualFold(media, "application/xml"):
		return ErrorXML, true
	case EqualFold(media, "application/grpc"):
		return errorGRPC, true
	}
	return 0, false
}

// quality reads the q of a media range, 1 when there is none.
func quality(parameters string) float64 {
	for parameters != "" {
		var p string
		p, parameters, _ = strings.Cut(parameters, ";")
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if EqualFold(strings.TrimSpace(name), "q") {
			if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
				return q
			}
			return 0
		}
	}
	return 1
}
