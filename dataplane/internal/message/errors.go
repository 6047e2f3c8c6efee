package message

import "strconv"

// Refusal says why a message is not accepted, and with which status a server
// answers it. Refusals are compared by identity.
type Refusal struct {
	// Status is 400, 405, 414, 431, 494, 501 or 505; 494 is shown to clients as 400.
	Status int
	// Reason for logs.
	Reason string
}

func (r *Refusal) Error() string { return r.Reason + " (" + strconv.Itoa(r.Status) + ")" }

func bad(reason string) *Refusal { return &Refusal{400, reason} }

// Reasons against a head.
var (
	ErrRequestLine    = bad("request line is not METHOD SP target SP HTTP/1.x CR LF")
	ErrMethod         = bad("method is not made of A-Z, - and _")
	ErrTarget         = bad("target is not a path or an absolute http URL")
	ErrEscape         = bad("path has a percent sign without two hexadecimal digits, or %00")
	ErrAbove          = bad("path leads above its root")
	ErrMethodRefused  = &Refusal{405, "CONNECT and TRACE are not served"}
	ErrVersion        = &Refusal{505, "HTTP version is not 1.x"}
	ErrTargetTooLong  = &Refusal{414, "request line is too long"}
	ErrHeadTooLarge   = &Refusal{494, "request head is too large"}
	ErrTooManyFields  = &Refusal{494, "too many header lines"}
	ErrLineEnd        = bad("line does not end with CR LF")
	ErrFold           = bad("header line starts with white space")
	ErrFieldName      = bad("header name is empty or has a byte that is not of a token")
	ErrFieldValue     = bad("header value has a control byte")
	ErrHostMissing    = bad("HTTP/1.1 request without Host")
	ErrHostTwice      = bad("more than one Host")
	ErrHost           = bad("Host is not a host with an optional port")
	ErrHostMismatch   = bad("Host differs from the host of the absolute target")
	ErrLength         = bad("Content-Length is not a number of plain digits")
	ErrLengthTwice    = bad("more than one Content-Length")
	ErrCoding         = &Refusal{501, "transfer coding is not chunked"}
	ErrCodingTwice    = bad("more than one Transfer-Encoding")
	ErrCodingHTTP10   = bad("Transfer-Encoding in HTTP/1.0")
	ErrLengthAndCoded = bad("both Content-Length and Transfer-Encoding")
	ErrStatusLine     = bad("status line is not HTTP/1.x SP three digits")
	ErrPreface        = bad("preface of HTTP/2")
)

// Reasons against a body.
var (
	ErrChunkSize   = bad("chunk size is not a hexadecimal number followed by CR LF")
	ErrChunkLine   = bad("chunk extensions are too long or have a control byte")
	ErrChunkEnd    = bad("chunk is not followed by CR LF")
	ErrTrailerSize = bad("trailer section is too large")
)
