package render

import (
	"regexp"
	"strings"
)

// luaClasses are Lua's classes of characters as parts of a set.
var luaClasses = map[byte]string{
	'a': `A-Za-z`, 'd': `0-9`, 'l': `a-z`, 's': `\s`, 'u': `A-Z`, 'w': `A-Za-z0-9`, 'x': `0-9A-Fa-f`,
	'c': `\x00-\x1f\x7f`, 'g': `\x21-\x7e`, 'p': `\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e`,
}

func escape(s string) string { return regexp.QuoteMeta(s) }

// regex returns a Lua pattern as a regular expression of JSON Schema, "" for one that has
// no equal there.
func regex(pattern string) string {
	t := translation{in: pattern}
	if strings.HasPrefix(t.in, "^") {
		t.out.WriteByte('^')
		t.at = 1
	}
	for t.at < len(t.in) {
		if !t.item() {
			return ""
		}
	}
	if _, err := regexp.Compile(t.out.String()); err != nil {
		return ""
	}
	return t.out.String()
}

// translation is one pattern on its way.
type translation struct {
	in  string
	at  int
	out strings.Builder
}

// item translates one character or class with its quantifier.
func (t *translation) item() bool {
	c := t.in[t.at]
	t.at++
	switch {
	case c == '(' || c == ')':
		t.out.WriteByte(c)
		return true
	case c == '$' && t.at == len(t.in):
		t.out.WriteByte('$')
		return true
	case c == '[':
		if !t.set() {
			return false
		}
	case c == '.':
		t.out.WriteString(`[\s\S]`)
	case c == '%':
		if !t.class(false) {
			return false
		}
	default:
		t.out.WriteString(escape(string(c)))
	}
	if t.at == len(t.in) {
		return true
	}
	switch t.in[t.at] {
	case '*', '+', '?':
		t.out.WriteByte(t.in[t.at])
		t.at++
	case '-':
		t.out.WriteString("*?")
		t.at++
	}
	return true
}

// class translates what follows a percent sign, in a set or by itself.
func (t *translation) class(inSet bool) bool {
	if t.at == len(t.in) {
		return false
	}
	c := t.in[t.at]
	t.at++
	lower := c | 0x20
	set, known := luaClasses[lower]
	switch {
	case known && inSet && c != lower:
		return false // the complement of a class within a set
	case known && inSet:
		t.out.WriteString(set)
	case known && c != lower:
		t.out.WriteString("[^" + set + "]")
	case known:
		t.out.WriteString("[" + set + "]")
	case lower >= 'a' && lower <= 'z' || c >= '0' && c <= '9':
		return false // %b, %f and back references
	default:
		t.out.WriteString(escape(string(c)))
		if inSet && c == '-' {
			// QuoteMeta leaves it, and it would make a range.
			s := t.out.String()
			t.out.Reset()
			t.out.WriteString(s[:len(s)-1] + `\-`)
		}
	}
	return true
}

// set translates a set; its opening bracket was read.
func (t *translation) set() bool {
	t.out.WriteByte('[')
	if t.at < len(t.in) && t.in[t.at] == '^' {
		t.out.WriteByte('^')
		t.at++
	}
	for first := true; t.at < len(t.in); first = false {
		c := t.in[t.at]
		t.at++
		switch {
		case c == ']' && !first:
			t.out.WriteByte(']')
			return true
		case c == '%':
			if !t.class(true) {
				return false
			}
		case c == '-' && !first && t.at < len(t.in) && t.in[t.at] != ']':
			t.out.WriteByte('-') // a range
		case c == '-':
			t.out.WriteString(`\-`)
		default:
			t.out.WriteString(escape(string(c)))
		}
	}
	return false
}
