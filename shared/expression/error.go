package expression

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error says what is wrong with an expression, and where.
type Error struct {
	// Line and Column count from 1, Column in characters.
	Line, Column int
	// Message is what is wrong, such as "expected rhs".
	Message string

	text string
}

// Error returns what Kong says: a drawing with the place for errors of syntax, and
// the bare message for those of types.
func (e *Error) Error() string { return e.text }

// Where returns the message with its line and column, on one line.
func (e *Error) Where() string {
	message, _, _ := strings.Cut(e.Message, "\n")
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, message)
}

// errorAt is an error at one place.
func errorAt(source string, pos int, message string) *Error {
	e := &Error{Message: message}
	e.Line, e.Column = place(source, pos)
	line := lineAt(source, pos)
	visible := pos < len(source) && (source[pos] == '\n' || source[pos] == '\r')
	e.draw(line, visible, indent(line, e.Column-1)+"^---")
	return e
}

// errorIn is an error about a part of the source.
func errorIn(source string, s span, message string) *Error {
	e := &Error{Message: message}
	e.Line, e.Column = place(source, s.start)
	endLine, endColumn := place(source, s.end)
	line := lineAt(source, s.start)
	start, end := e.Column, endColumn
	if endLine == e.Line {
		e.draw(line, false, indent(line, start-1)+underline(start, end))
		return e
	}
	if start > end {
		start, end = end-1, start+1
	}
	last := lineAt(source, max(s.end-1, 0))
	width := len(fmt.Sprint(endLine))
	pad := strings.Repeat(" ", width)
	gap := ""
	if endLine-e.Line > 1 {
		gap = pad + " | ...\n"
	}
	e.text = fmt.Sprintf("%s--> %d:%d\n%s |\n%*d | %s\n%s%*d | %s\n%s | %s\n%s |\n%s = %s",
		pad, e.Line, e.Column, pad, width, e.Line, plain(line), gap, width, endLine, plain(last),
		pad, indent(line, max(start-1, 0))+underline(start, end), pad, pad, message)
	return e
}

// typeError is an error that Kong words without its place.
func typeError(source string, s span, message string) *Error {
	e := &Error{Message: message, text: message}
	e.Line, e.Column = place(source, s.start)
	return e
}

func (e *Error) draw(line string, visible bool, mark string) {
	if visible {
		line = strings.NewReplacer("\r", "␍", "\n", "␊").Replace(line)
	} else {
		line = plain(line)
	}
	pad := strings.Repeat(" ", len(fmt.Sprint(e.Line)))
	e.text = fmt.Sprintf("%s--> %d:%d\n%s |\n%d | %s\n%s | %s\n%s |\n%s = %s",
		pad, e.Line, e.Column, pad, e.Line, line, pad, mark, pad, pad, e.Message)
}

func underline(start, end int) string {
	if end-start > 1 {
		return "^" + strings.Repeat("-", end-start-2) + "^"
	}
	return "^"
}

// indent is the space under the first n characters of a line.
func indent(line string, n int) string {
	var b strings.Builder
	for _, r := range line {
		if n == 0 {
			break
		}
		n--
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func plain(line string) string { return strings.NewReplacer("\r", "", "\n", "").Replace(line) }

func place(source string, pos int) (line, column int) {
	before := source[:pos]
	line = 1 + strings.Count(before, "\n")
	return line, 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

func lineAt(source string, pos int) string {
	start := strings.LastIndexByte(source[:pos], '\n') + 1
	if i := strings.IndexByte(source[pos:], '\n'); i >= 0 {
		return source[start : pos+i+1]
	}
	return source[start:]
}
