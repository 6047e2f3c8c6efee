package message

import (
	"encoding/binary"
	"unsafe"
)

// Classes of a byte.
const (
	classToken  = 1 << iota // tchar of RFC 9110
	classMethod             // A-Z - _
	classTarget             // visible ASCII without # and above 0x7f
	classHost               // reg-name, IPv4, and the brackets and colons of IPv6 and ports
	classHex
	classDigit
)

var classes = func() (t [256]uint8) {
	set := func(class uint8, s string) {
		for i := range len(s) {
			t[s[i]] |= class
		}
	}
	const (
		upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		lower = "abcdefghijklmnopqrstuvwxyz"
		digit = "0123456789"
	)
	set(classToken, upper+lower+digit+"!#$%&'*+-.^_`|~")
	set(classMethod, upper+"-_")
	set(classHost, upper+lower+digit+"-._~!$&'()*+;=%[]:")
	set(classHex, digit+"abcdefABCDEF")
	set(classDigit, digit)
	for c := 0x21; c < 256; c++ {
		if c != '#' && c != 0x7f {
			t[c] |= classTarget
		}
	}
	return t
}()

func is(c byte, class uint8) bool { return classes[c]&class != 0 }

func all(s string, class uint8) bool {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// ValidName tells whether s may be the name of a field.
func ValidName(s string) bool { return s != "" && all(s, classToken) }

// ValidValue tells whether s may be the value of a field: no control bytes other
// than the tab.
func ValidValue(s string) bool {
	const (
		low  = 0x0101010101010101
		high = 0x8080808080808080
	)
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := binary.LittleEndian.Uint64(unsafe.Slice(unsafe.StringData(s[i:]), 8))
		below := (w - low*0x20) &^ w // high bit where a byte may be < 0x20
		del := w ^ low*0x7f          // zero where a byte is 0x7f
		del = (del - low) &^ del     // high bit where it is
		if (below|del)&high != 0 && !plain(s[i:i+8]) {
			return false
		}
	}
	return plain(s[i:])
}

// PlainValue returns s with the control bytes that no value may have written as %0D and the
// like, so that nothing a program was told by a client ends a line.
func PlainValue(s string) string {
	if ValidValue(s) {
		return s
	}
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+16)
	for i := range len(s) {
		if c := s[i]; plain(s[i : i+1]) {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}

// ValidTarget tells whether s may stand in a request line.
func ValidTarget(s string) bool { return s != "" && all(s, classTarget) }

// ValidMethod tells whether s may be a method.
func ValidMethod(s string) bool { return s != "" && all(s, classToken) }

func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// view returns b as a string that shares its memory.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
