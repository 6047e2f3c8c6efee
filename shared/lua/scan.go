package lua

import (
	"fmt"
	"strings"
)

// maxLevels bounds how deep functions, blocks and expressions nest, as Lua does.
const maxLevels = 200

// SyntaxError says why a function does not compile, in the words of LuaJIT.
type SyntaxError struct {
	Chunk   string // such as [string "return 1"]
	Line    int
	Message string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.Chunk, e.Line, e.Message) }

// chunkName is how messages name a source.
func chunkName(source string) string {
	const size = 60
	n := 0
	for n < len(source) && n < size-12 && source[n] >= ' ' {
		n++
	}
	if n < len(source) {
		return `[string "` + source[:min(n, size-15)] + `..."]`
	}
	return `[string "` + source + `"]`
}

// kinds of tokens; operators and keywords are their own text.
const (
	kindName   = "<name>"
	kindString = "<string>"
	kindNumber = "<number>"
	kindEnd    = "<eof>"
)

var keywords = map[string]struct{}{ //nolint:gochecknoglobals // a constant
	"and": {}, "break": {}, "do": {}, "else": {}, "elseif": {}, "end": {}, "false": {}, "for": {}, "function": {}, "goto": {}, "if": {},
	"in": {}, "local": {}, "nil": {}, "not": {}, "or": {}, "repeat": {}, "return": {}, "then": {}, "true": {}, "until": {}, "while": {},
}

type token struct {
	kind, text string
	line       int
}

// scanner makes tokens of a source.
type scanner struct {
	chunk, src string
	pos, line  int
}

func (s *scanner) fail(line int, message, near string) {
	if near != "" {
		message += " near '" + near + "'"
	}
	panic(&SyntaxError{Chunk: s.chunk, Line: line, Message: message})
}

func (s *scanner) next() token {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; {
		case c == '\n':
			s.line++
			s.pos++
		case c == ' ' || c >= '\t' && c <= '\r':
			s.pos++
		case strings.HasPrefix(s.src[s.pos:], "--"):
			s.comment()
		case letter(c):
			from := s.pos
			for s.pos < len(s.src) && (letter(s.src[s.pos]) || digit(s.src[s.pos])) {
				s.pos++
			}
			text := s.src[from:s.pos]
			if _, ok := keywords[text]; ok {
				return token{text, text, s.line}
			}
			return token{kindName, text, s.line}
		case digit(c) || c == '.' && s.pos+1 < len(s.src) && digit(s.src[s.pos+1]):
			return s.number()
		case c == '"' || c == '\'':
			return s.quoted(c)
		case c == '[' && s.level(s.pos) >= 0:
			from, line := s.pos, s.line
			s.long("unfinished long string")
			return token{kindString, s.src[from:s.pos], line}
		default:
			return s.operator()
		}
	}
	return token{kindEnd, kindEnd, s.line}
}

func (s *scanner) operator() token {
	for _, op := range []string{"...", "..", "==", "~=", "<=", ">=", "::"} {
		if strings.HasPrefix(s.src[s.pos:], op) {
			s.pos += len(op)
			return token{op, op, s.line}
		}
	}
	op := s.src[s.pos : s.pos+1]
	s.pos++
	return token{op, op, s.line}
}

func (s *scanner) comment() {
	s.pos += 2
	if s.pos < len(s.src) && s.src[s.pos] == '[' && s.level(s.pos) >= 0 {
		s.long("unfinished long comment")
		return
	}
	for s.pos < len(s.src) && s.src[s.pos] != '\n' {
		s.pos++
	}
}

// level is the number of = in a long bracket at i, or -1.
func (s *scanner) level(i int) int {
	n := 0
	for i++; i < len(s.src) && s.src[i] == '='; i++ {
		n++
	}
	if i < len(s.src) && s.src[i] == '[' {
		return n
	}
	return -1
}

func (s *scanner) long(unfinished string) {
	closing := "]" + strings.Repeat("=", s.level(s.pos)) + "]"
	end := strings.Index(s.src[s.pos:], closing)
	if end < 0 {
		s.fail(s.line+strings.Count(s.src[s.pos:], "\n"), unfinished, kindEnd)
	}
	s.line += strings.Count(s.src[s.pos:s.pos+end], "\n")
	s.pos += end + len(closing)
}

func (s *scanner) number() token {
	from := s.pos
	hex := strings.HasPrefix(s.src[from:], "0x") || strings.HasPrefix(s.src[from:], "0X")
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		exponent := s.pos > from && (!hex && s.src[s.pos-1]|0x20 == 'e' || hex && s.src[s.pos-1]|0x20 == 'p')
		if !letter(c) && !digit(c) && c != '.' && (!exponent || c != '+' && c != '-') {
			break
		}
		s.pos++
	}
	text := s.src[from:s.pos]
	if _, ok := parseNumber(text); !ok {
		s.fail(s.line, "malformed number", text)
	}
	return token{kindNumber, text, s.line}
}

func (s *scanner) quoted(quote byte) token {
	from := s.pos
	for s.pos++; s.pos < len(s.src); s.pos++ {
		switch c := s.src[s.pos]; c {
		case quote:
			s.pos++
			return token{kindString, s.src[from:s.pos], s.line}
		case '\n':
			s.fail(s.line, "unfinished string", s.src[from:s.pos])
		case '\\':
			if s.pos++; s.pos < len(s.src) && s.src[s.pos] == '\n' {
				s.line++
			}
		}
	}
	s.fail(s.line, "unfinished string", kindEnd)
	return token{}
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

func digit(c byte) bool { return c >= '0' && c <= '9' }
