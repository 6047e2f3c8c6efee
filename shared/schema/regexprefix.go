package schema

import (
	"regexp/syntax"
	"strings"
)

// LiteralPrefix returns text that every match of a pattern starts with, which is where
// the subject starts when the pattern begins with "^". A pattern that does not has none.
func LiteralPrefix(pattern string) string {
	if !strings.HasPrefix(pattern, "^") {
		return ""
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return plainPrefix(pattern[1:])
	}
	re = re.Simplify()
	if re.Op != syntax.OpConcat || re.Sub[0].Op != syntax.OpBeginText {
		return ""
	}
	var b strings.Builder
	for _, sub := range re.Sub[1:] {
		if !literal(&b, sub) {
			break
		}
	}
	return b.String()
}

// literal appends what a part of a pattern always starts with, and tells whether that is
// all of it.
func literal(b *strings.Builder, re *syntax.Regexp) (whole bool) {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return false
		}
		for _, r := range re.Rune {
			b.WriteRune(r)
		}
		return true
	case syntax.OpEmptyMatch:
		return true
	case syntax.OpCapture:
		return literal(b, re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if !literal(b, sub) {
				return false
			}
		}
		return true
	case syntax.OpPlus:
		literal(b, re.Sub[0])
	}
	return false
}

// plainPrefix is the plain text at the start of a pattern that only the backtracking
// engine knows. One with alternatives has none, for they may be the whole pattern's.
func plainPrefix(pattern string) string {
	if strings.Contains(pattern, "|") {
		return ""
	}
	end := strings.IndexFunc(pattern, func(r rune) bool {
		return r != '/' && r != '-' && r != '_' && r != '%' && r != '~' && !(r < 0x80 && isAlnum(byte(r)))
	})
	switch {
	case end < 0:
		return pattern
	case end > 0 && strings.IndexByte("*?{", pattern[end]) >= 0:
		end-- // the last one may be missing
	}
	return pattern[:end]
}
