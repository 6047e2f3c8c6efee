// Package message is the syntax of HTTP/1.1 messages: request and response heads,
// field lines, body lengths, chunks, status lines. It is read by the engine that
// clients talk to and by the transport that talks to upstreams, so that both sides
// of the gateway draw the borders of a message in the same places.
//
// It refuses whatever two parsers could read differently: bare LF and CR, folded
// lines, space before a colon, NUL and other control bytes, more than one
// Content-Length or Transfer-Encoding, both of them together, lengths that are not
// plain digits, transfer codings other than chunked, chunk sizes with anything but
// hexadecimal digits, a Host that is missing, doubled or not a host.
//
// Heads are parsed in place: the strings it makes are views of the bytes it was
// given, and valid as long as these are. It does no I/O except through the Reader
// that a Body was given.
package message
