package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth bounds how deep JSON may be nested.
const MaxDepth = 512

// Errors of DecodeJSON.
var (
	ErrSyntax    = errors.New("malformed JSON")
	ErrTooDeep   = errors.New("JSON is nested too deeply")
	ErrNotObject = errors.New("JSON is not an object")
)

// DecodeObject reads JSON that is an object. An empty list is an empty object, as
// JSON from Lua has it.
func DecodeObject(data []byte) (Object, error) {
	v, err := DecodeJSON(data)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case Object:
		return v, nil
	case []any:
		if len(v) == 0 {
			return Object{}, nil
		}
	}
	return nil, ErrNotObject
}

// DecodeJSON reads one JSON value into the form of objects: numbers int64 when
// whole and float64 otherwise. Of equal keys the last one counts.
func DecodeJSON(data []byte) (any, error) {
	d := decoder{data: data}
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	if d.space(); d.pos < len(data) {
		return nil, d.syntax("something follows the value")
	}
	return v, nil
}

type decoder struct {
	data []byte
	pos  int
}

func (d *decoder) syntax(what string) error {
	return fmt.Errorf("%w at byte %d: %s", ErrSyntax, d.pos, what)
}

func (d *decoder) space() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

func (d *decoder) value(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, ErrTooDeep
	}
	d.space()
	if d.pos == len(d.data) {
		return nil, d.syntax("it ends early")
	}
	switch c := d.data[d.pos]; {
	case c == '{':
		return d.object(depth)
	case c == '[':
		return d.list(depth)
	case c == '"':
		return d.text()
	case c == '-' || isDigit(c):
		return d.number()
	}
	for _, word := range [...]struct {
		text  string
		value any
	}{{"null", nil}, {"true", true}, {"false", false}} {
		if strings.HasPrefix(string(d.data[d.pos:min(d.pos+5, len(d.data))]), word.text) {
			d.pos += len(word.text)
			return word.value, nil
		}
	}
	return nil, d.syntax("a value is expected")
}

func (d *decoder) object(depth int) (any, error) {
	out := Object{}
	d.pos++
	for first := true; ; first = false {
		d.space()
		if first && d.next('}') {
			return out, nil
		}
		if d.pos == len(d.data) || d.data[d.pos] != '"' {
			return nil, d.syntax("a key is expected")
		}
		key, err := d.text()
		if err != nil {
			return nil, err
		}
		if d.space(); !d.next(':') {
			return nil, d.syntax("a colon is expected")
		}
		if out[key], err = d.value(depth + 1); err != nil {
			return nil, err
		}
		d.space()
		if d.next('}') {
			return out, nil
		}
		if !d.next(',') {
			return nil, d.syntax("a comma or } is expected")
		}
	}
}

func (d *decoder) list(depth int) (any, error) {
	out := []any{}
	d.pos++
	if d.space(); d.next(']') {
		return out, nil
	}
	for {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		d.space()
		if d.next(']') {
			return out, nil
		}
		if !d.next(',') {
			return nil, d.syntax("a comma or ] is expected")
		}
	}
}

// next skips a character if it is there.
func (d *decoder) next(c byte) bool {
	if d.pos < len(d.data) && d.data[d.pos] == c {
		d.pos++
		return true
	}
	return false
}

func (d *decoder) number() (any, error) {
	start := d.pos
	d.next('-')
	if !d.next('0') && !d.digits() {
		return nil, d.syntax("a digit is expected")
	}
	whole := true
	if d.next('.') {
		if whole = false; !d.digits() {
			return nil, d.syntax("a digit is expected")
		}
	}
	if d.next('e') || d.next('E') {
		if whole = false; !d.next('+') {
			d.next('-')
		}
		if !d.digits() {
			return nil, d.syntax("a digit is expected")
		}
	}
	text := string(d.data[start:d.pos])
	if whole {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, d.syntax("a number is out of range")
	}
	n, _ := number(f)
	return n, nil
}

func (d *decoder) digits() bool {
	start := d.pos
	for d.pos < len(d.data) && isDigit(d.data[d.pos]) {
		d.pos++
	}
	return d.pos > start
}

// text reads a string; the position is at its opening quote.
func (d *decoder) text() (string, error) {
	d.pos++
	for i := d.pos; i < len(d.data); i++ {
		switch c := d.data[i]; {
		case c == '"':
			s := string(d.data[d.pos:i])
			d.pos = i + 1
			return s, nil
		case c == '\\' || c >= utf8.RuneSelf:
			return d.escaped()
		case c < ' ':
			d.pos = i
			return "", d.syntax("a control character is in a string")
		}
	}
	d.pos = len(d.data)
	return "", d.syntax("a string does not end")
}

// escaped reads the rest of a string that needs care.
func (d *decoder) escaped() (string, error) {
	out := make([]byte, 0, 64)
	for d.pos < len(d.data) {
		c := d.data[d.pos]
		switch {
		case c == '"':
			d.pos++
			return string(out), nil
		case c < ' ':
			return "", d.syntax("a control character is in a string")
		case c == '\\':
			r, err := d.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		case c < utf8.RuneSelf:
			out = append(out, c)
			d.pos++
		default:
			r, size := utf8.DecodeRune(d.data[d.pos:])
			out = utf8.AppendRune(out, r)
			d.pos += size
		}
	}
	return "", d.syntax("a string does not end")
}

func (d *decoder) escape() (rune, error) {
	if d.pos+1 >= len(d.data) {
		return 0, d.syntax("a string does not end")
	}
	c := d.data[d.pos+1]
	d.pos += 2
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		r, ok := d.hex4()
		if !ok {
			return 0, d.syntax("four hex digits are expected")
		}
		if utf16.IsSurrogate(r) {
			if d.pos+1 < len(d.data) && d.data[d.pos] == '\\' && d.data[d.pos+1] == 'u' {
				saved := d.pos
				d.pos += 2
				if low, ok := d.hex4(); ok {
					if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
						return both, nil
					}
				}
				d.pos = saved
			}
			return utf8.RuneError, nil
		}
		return r, nil
	}
	d.pos--
	return 0, d.syntax("an escape is unknown")
}

func (d *decoder) hex4() (rune, bool) {
	if d.pos+4 > len(d.data) {
		return 0, false
	}
	var r rune
	for _, c := range d.data[d.pos : d.pos+4] {
		if !isHex(c) {
			return 0, false
		}
		r = r<<4 | rune(unhex(c))
	}
	d.pos += 4
	return r, true
}

// Into decodes an object into a typed struct.
func Into(o Object, target any) error {
	b, err := EncodeJSON(o)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, target); err != nil {
		return fmt.Errorf("decode into %T: %w", target, err)
	}
	return nil
}
