package pdk

import (
	"strconv"
	"unsafe"
)

// textChunk is enough for the strings that a plain exchange makes.
const textChunk = 1024

// Text makes short strings in memory that the exchange keeps from request to
// request. Its strings are valid until the exchange is released. The zero value
// is ready. It is not safe for concurrent use.
type Text struct {
	chunk []byte
}

// Concat returns the parts joined.
func (t *Text) Concat(parts ...string) string {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	b := t.room(n)
	for _, p := range parts {
		b = append(b, p...)
	}
	return t.keep(b)
}

// Bytes returns a copy of b as a string.
func (t *Text) Bytes(b []byte) string {
	return t.keep(append(t.room(len(b)), b...))
}

// Int returns n in decimal.
func (t *Text) Int(n int64) string {
	return t.keep(strconv.AppendInt(t.room(20), n, 10))
}

// Room returns an empty slice with room for n bytes, for Keep to make a string of.
// No other call may come between the two.
func (t *Text) Room(n int) []byte { return t.room(n) }

// Keep makes a string of what was appended to the slice that Room returned.
func (t *Text) Keep(b []byte) string { return t.keep(b) }

func (t *Text) room(n int) []byte {
	if cap(t.chunk)-len(t.chunk) < n {
		// Strings made before keep the old chunk alive.
		t.chunk = make([]byte, 0, max(textChunk, n))
	}
	return t.chunk[len(t.chunk):]
}

func (t *Text) keep(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if used := len(t.chunk); cap(t.chunk)-used >= len(b) && unsafe.SliceData(t.chunk[used:cap(t.chunk)]) == unsafe.SliceData(b) {
		t.chunk = t.chunk[:used+len(b)]
	}
	return unsafe.String(unsafe.SliceData(b), len(b))
}

func (t *Text) reset() {
	if cap(t.chunk) > 64*textChunk {
		t.chunk = nil
	}
	t.chunk = t.chunk[:0]
}
