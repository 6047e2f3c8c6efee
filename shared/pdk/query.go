package pdk

import (
	"iter"
	"strings"
)

// Arg is one argument of a query string or of a form, still escaped. HasValue
// tells "a=" from "a".
type Arg struct {
	Name, Value string
	HasValue    bool
}

// NextArg takes the first argument off a query string or a form. ok is false when
// there is none left. It does not allocate.
func NextArg(raw string) (arg Arg, rest string, ok bool) {
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		arg.Name, arg.Value, arg.HasValue = strings.Cut(part, "=")
		return arg, raw, true
	}
	return Arg{}, "", false
}

// QueryValue returns the value of the first argument of that name as it was sent,
// see Unescape. ok is true for an argument without value, too. It does not allocate.
func QueryValue(raw, name string) (value string, ok bool) {
	arg, ok := QueryArg(raw, name)
	return arg.Value, ok
}

// QueryArg returns the first argument of that name. It does not allocate.
func QueryArg(raw, name string) (Arg, bool) {
	for arg, rest, more := NextArg(raw); more; arg, rest, more = NextArg(rest) {
		if EscapedEqual(arg.Name, name) {
			return arg, true
		}
	}
	return Arg{}, false
}

// QueryCount returns the number of arguments of that name. It does not allocate.
func QueryCount(raw, name string) int {
	n := 0
	for arg, rest, more := NextArg(raw); more; arg, rest, more = NextArg(rest) {
		if EscapedEqual(arg.Name, name) {
			n++
		}
	}
	return n
}

// QueryValues yields the values of all arguments of that name, as QueryArg returns them.
func QueryValues(raw, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for arg, rest, more := NextArg(raw); more; arg, rest, more = NextArg(rest) {
			if EscapedEqual(arg.Name, name) && !yield(arg.Value) {
				return
			}
		}
	}
}

// WithoutQueryArg returns the query string without the arguments of that name. What
// stays is not escaped again. It allocates in t only when there is one.
func WithoutQueryArg(t *Text, raw, name string) string {
	if QueryCount(raw, name) == 0 {
		return raw
	}
	b := t.Room(len(raw))
	for arg, rest, more := NextArg(raw); more; arg, rest, more = NextArg(rest) {
		if EscapedEqual(arg.Name, name) {
			continue
		}
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = append(b, arg.Name...)
		if arg.HasValue {
			b = append(b, '=')
			b = append(b, arg.Value...)
		}
	}
	return t.Keep(b)
}

// RemoveQueryArg removes the arguments of that name from what the upstream gets.
func (x *Exchange) RemoveQueryArg(name string) {
	x.Upstream.RawQuery = WithoutQueryArg(&x.Text, x.Upstream.RawQuery, name)
	if x.Upstream.RawQuery == "" {
		x.Upstream.HasQuery = false
	}
}

// Unescape decodes an argument: %41 and "+". What is no valid escape stays. It
// returns s itself when there is nothing to decode.
func Unescape(t *Text, s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	return t.Keep(AppendUnescaped(t.Room(len(s)), s))
}

// AppendUnescaped appends a decoded argument to b.
func AppendUnescaped(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c, n := unescapeByte(s[i:])
		b = append(b, c)
		i += n
	}
	return b
}

// AppendEscaped appends s to b as an argument's name or value.
func AppendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~!*'()", c) >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return b
}

// EscapedEqual compares an escaped argument with a plain one. It does not allocate.
func EscapedEqual(escaped, plain string) bool {
	if escaped == plain && strings.IndexByte(plain, '%') < 0 && strings.IndexByte(plain, '+') < 0 {
		return true
	}
	if len(escaped) <= len(plain) && strings.IndexByte(escaped, '+') < 0 && strings.IndexByte(escaped, '%') < 0 {
		return false
	}
	j := 0
	for i := 0; i < len(escaped); j++ {
		c, n := unescapeByte(escaped[i:])
		if j >= len(plain) || plain[j] != c {
			return false
		}
		i += n
	}
	return j == len(plain)
}

func unescapeByte(s string) (c byte, n int) {
	switch {
	case s[0] == '+':
		return ' ', 1
	case s[0] == '%' && len(s) > 2:
		high, low := unhex(s[1]), unhex(s[2])
		if high < 16 && low < 16 {
			return high<<4 | low, 3
		}
	}
	return s[0], 1
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xff
}
