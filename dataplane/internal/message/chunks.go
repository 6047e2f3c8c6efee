package message

import (
	"io"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Limits of a chunked body.
const (
	maxChunkLine = 256     // size and extensions
	maxExtension = 8 << 10 // all extensions of a body
	maxTrailer   = 8 << 10
)

// States of the decoder.
const (
	chunkSize = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkCR
	chunkLF
	chunkEnd
	chunkEndLF
	chunkTrailer
	chunkDone
)

// chunks decodes the chunked coding. The zero value is at its start.
type chunks struct {
	state      uint8
	digits     uint8
	line       int // bytes of this chunk's line
	extensions int // bytes of all extensions
	left       int64
	lines      []byte // of the trailer section
	trailer    *pdk.Header
}

// decode reads src, copies data to dst and returns how much of both it used. io.EOF
// says that the body has ended.
func (c *chunks) decode(dst, src []byte) (n, consumed int, err error) {
	i := 0
	for i < len(src) {
		ch := src[i]
		switch c.state {
		case chunkSize:
			switch {
			case is(ch, classHex):
				if c.digits == 15 {
					return n, i, ErrChunkSize
				}
				c.digits++
				c.left = c.left<<4 | int64(unhex(ch))
			case c.digits > 0 && ch == '\r':
				c.state = chunkSizeLF
			case c.digits > 0 && ch == ';':
				c.state = chunkExtension
			default:
				return n, i, ErrChunkSize
			}
			c.line++
			i++
		case chunkExtension:
			c.line++
			c.extensions++
			switch {
			case ch == '\r':
				c.state = chunkSizeLF
			case c.line > maxChunkLine, c.extensions > maxExtension, ch < 0x20 && ch != '\t', ch == 0x7f:
				return n, i, ErrChunkLine
			}
			i++
		case chunkSizeLF:
			if ch != '\n' {
				return n, i, ErrChunkSize
			}
			i++
			if c.left == 0 {
				c.state = chunkEnd
			} else {
				c.state = chunkData
			}
		case chunkData:
			if n == len(dst) {
				return n, i, nil
			}
			m := copy(dst[n:], src[i:min(int64(len(src)), int64(i)+c.left)])
			n += m
			i += m
			if c.left -= int64(m); c.left == 0 {
				c.state = chunkCR
			}
		case chunkCR:
			if ch != '\r' {
				return n, i, ErrChunkEnd
			}
			c.state = chunkLF
			i++
		case chunkLF:
			if ch != '\n' {
				return n, i, ErrChunkEnd
			}
			c.state, c.digits, c.line = chunkSize, 0, 0
			i++
		case chunkEnd: // most bodies have no trailer section
			if ch != '\r' {
				c.state = chunkTrailer
				continue
			}
			c.state = chunkEndLF
			i++
		case chunkEndLF:
			if ch != '\n' {
				return n, i, ErrLineEnd
			}
			c.state = chunkDone
			return n, i + 1, io.EOF
		case chunkTrailer:
			i++
			if c.lines = append(c.lines, ch); len(c.lines) > maxTrailer {
				return n, i, ErrTrailerSize
			}
			if ch != '\n' {
				continue
			}
			done, err := c.endOfTrailer()
			if err != nil {
				return n, i, err
			}
			if done {
				c.state = chunkDone
				return n, i, io.EOF
			}
		default:
			return n, i, io.EOF
		}
	}
	return n, i, nil
}

// endOfTrailer looks at the trailer lines so far and parses them once whole.
func (c *chunks) endOfTrailer() (done bool, err error) {
	b := c.lines
	if len(b) < 2 || b[len(b)-2] != '\r' {
		return false, ErrLineEnd
	}
	if string(b[max(0, len(b)-4):]) != "\r\n\r\n" {
		return false, nil
	}
	var f framing
	var h pdk.Header
	if err := f.fields(b, &h, true); err != nil {
		return false, err
	}
	if c.trailer != nil {
		for _, field := range h.Fields() {
			if !TrailerRefused(field.Name) {
				c.trailer.Add(field.Name, field.Value)
			}
		}
	}
	return true, nil
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
