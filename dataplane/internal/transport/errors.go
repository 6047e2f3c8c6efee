package transport

// ErrorKind says at which step a round trip failed.
type ErrorKind uint8

// Steps at which a round trip fails.
const (
	ErrConnect ErrorKind = iota + 1
	ErrConnectTimeout
	ErrTLS
	ErrWrite
	ErrWriteTimeout
	ErrRead        // closed or reset before the response head
	ErrReadTimeout // no response head in time
	ErrBadResponse // a response head that is not HTTP
	ErrRequestBody // the client's body could not be read
	ErrBodyTooLarge
	ErrRequest // the request can't be written: a control byte in a name, value or target
)

// Error is a failed round trip. No byte of a response has reached the client.
type Error struct {
	Kind ErrorKind
	// Sent is true when a part of the request may have reached the upstream.
	Sent bool
	// BodyTaken is true when body bytes were consumed that can't be sent again.
	BodyTaken bool
	Err       error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
