package declarative

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Most documents, exports among them, use little of YAML: blocks, plain words, numbers and
// quoted texts on one line. That part is read here, because the library takes fifty times as
// long for it and many times the memory. Whatever looks otherwise, mistakes included, is left
// to the library: what is read here it reads the same.

// plainLine is a line without its indent. A "- " in front of something is a line of its own.
type plainLine struct {
	indent int
	text   string
}

type plainReader struct {
	lines []plainLine
	at    int
	depth int
}

// plainYAML reads a text; ok is false when it must be left to the library.
func plainYAML(text []byte) (v any, ok bool) {
	r := &plainReader{}
	rest := string(text)
	for first := true; rest != ""; first = false {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		trimmed := strings.TrimLeft(line, " ")
		for i := range len(line) {
			if line[i] < ' ' || line[i] >= 0x7f {
				return nil, false
			}
		}
		if first && line == "---" || trimmed == "" || trimmed[0] == '#' {
			continue
		}
		r.lines = append(r.lines, plainLine{len(line) - len(trimmed), strings.TrimRight(trimmed, " ")})
	}
	if len(r.lines) == 0 {
		return nil, false
	}
	v, ok = r.block(0)
	return v, ok && r.at == len(r.lines)
}

func isDash(text string) bool { return text == "-" || strings.HasPrefix(text, "- ") }

// block reads what begins with the next line, which has at least some indent.
func (r *plainReader) block(least int) (any, bool) {
	if r.depth++; r.depth > maxDepth/2 || r.at == len(r.lines) || r.lines[r.at].indent < least {
		return nil, false
	}
	defer func() { r.depth-- }()
	line := r.lines[r.at]
	if isDash(line.text) {
		return r.sequence(line.indent)
	}
	if _, _, ok := plainKey(line.text); ok {
		return r.mapping(line.indent)
	}
	return nil, false
}

func (r *plainReader) sequence(indent int) (any, bool) {
	out := []any{}
	for r.at < len(r.lines) && r.lines[r.at].indent == indent && isDash(r.lines[r.at].text) {
		rest := strings.TrimLeft(r.lines[r.at].text[1:], " ")
		_, _, mapping := plainKey(rest)
		var v any
		var ok bool
		switch {
		case rest == "":
			r.at++
			v, ok = r.below(indent+1, false)
		case isDash(rest) || mapping:
			r.lines[r.at] = plainLine{indent + len(r.lines[r.at].text) - len(rest), rest}
			v, ok = r.block(indent + 1)
		default:
			r.at++
			v, ok = plainScalar(rest)
		}
		if !ok {
			return nil, false
		}
		out = append(out, v)
	}
	return out, r.ends(indent)
}

func (r *plainReader) mapping(indent int) (any, bool) {
	out := schema.Object{}
	for r.at < len(r.lines) && r.lines[r.at].indent == indent && !isDash(r.lines[r.at].text) {
		key, rest, ok := plainKey(r.lines[r.at].text)
		if !ok {
			return nil, false
		}
		if _, twice := out[key]; twice {
			return nil, false
		}
		r.at++
		if rest == "" {
			out[key], ok = r.below(indent+1, true)
		} else {
			out[key], ok = plainScalar(rest)
		}
		if !ok {
			return nil, false
		}
	}
	return out, r.ends(indent)
}

// ends tells whether a block may end at the next line, which must not be one of it.
func (r *plainReader) ends(indent int) bool {
	return r.at == len(r.lines) || r.lines[r.at].indent < indent || r.lines[r.at].indent == indent && isDash(r.lines[r.at-1].text) != isDash(r.lines[r.at].text)
}

// below reads what a key or dash has in the lines below; null when that is nothing. A list
// below a key may have the key's indent.
func (r *plainReader) below(least int, key bool) (any, bool) {
	if r.at == len(r.lines) {
		return nil, true
	}
	line := r.lines[r.at]
	switch {
	case line.indent >= least:
		return r.block(least)
	case key && line.indent == least-1 && isDash(line.text):
		return r.sequence(line.indent)
	}
	return nil, true
}

var (
	plainValue  = regexp.MustCompile(`^[A-Za-z_/](?:[A-Za-z0-9_./=+~^$%@()*-]|:[A-Za-z0-9_./*-])*(?: [A-Za-z0-9_./=+~^$%@()-]+)*$`)
	plainFloat  = regexp.MustCompile(`^-?(?:0|[1-9][0-9]{0,9})\.[0-9]{1,9}$`)
	plainNumber = regexp.MustCompile(`^(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]+)?|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$`)
)

// isWord tells whether a text is a word that needs no quotes: most are.
func isWord(text string) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_':
		case i > 0 && (c >= '0' && c <= '9' || c == '.' || c == '/' || c == '-'):
		default:
			return false
		}
	}
	return text != ""
}

// isInt tells whether a text is an integer of up to 18 digits in its only form.
func isInt(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || len(digits) > 18 || digits[0] == '0' && text != "0" {
		return false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return true
}

// plainKey takes a key off a line.
func plainKey(text string) (key, rest string, ok bool) {
	if text == "" {
		return "", "", false
	}
	if text[0] == '"' {
		end := quotedEnd(text)
		if end < 0 || end >= len(text) || text[end] != ':' {
			return "", "", false
		}
		if key, ok = unquoted(text[:end]); !ok {
			return "", "", false
		}
		rest = text[end+1:]
	} else {
		key, rest, ok = strings.Cut(text, ":")
		if !ok || !isWord(key) {
			return "", "", false
		}
	}
	if rest != "" && rest[0] != ' ' {
		return "", "", false
	}
	return key, strings.TrimLeft(rest, " "), true
}

// plainScalar reads a value on one line.
func plainScalar(text string) (any, bool) {
	switch text {
	case "true":
		return true, true
	case "false":
		return false, true
	case "null":
		return nil, true
	case "{}":
		return schema.Object{}, true
	case "[]":
		return []any{}, true
	}
	switch c := text[0]; {
	case c == '"':
		if quotedEnd(text) != len(text) {
			return nil, false
		}
		return orNone(unquoted(text))
	case c == '\'':
		inner := text[1:]
		if !strings.HasSuffix(inner, "'") || strings.Contains(strings.ReplaceAll(inner[:len(inner)-1], "''", ""), "'") {
			return nil, false
		}
		return strings.ReplaceAll(inner[:len(inner)-1], "''", "'"), true
	case c >= '0' && c <= '9' || c == '-':
		switch {
		case isInt(text):
			n, err := strconv.ParseInt(text, 10, 64)
			return n, err == nil
		case plainFloat.MatchString(text):
			n, err := strconv.ParseFloat(text, 64)
			return n, err == nil
		case plainNumber.MatchString(text):
			return text, true
		}
		return nil, false
	case (isWord(text) || plainValue.MatchString(text)) && !words[strings.ToLower(text)]:
		return text, true
	}
	return nil, false
}

func orNone(text string, ok bool) (any, bool) { return text, ok }

// quotedEnd returns where a quoted text ends, -1 when it does not.
func quotedEnd(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// unquoted reads a quoted text, with those escapes that JSON and YAML have in common.
func unquoted(text string) (string, bool) {
	text = text[1 : len(text)-1]
	if strings.IndexByte(text, '\\') < 0 {
		return text, true
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		if i++; i == len(text) {
			return "", false
		}
		switch text[i] {
		case '"', '\\':
			b.WriteByte(text[i])
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'u':
			if i+4 >= len(text) {
				return "", false
			}
			n, err := strconv.ParseUint(text[i+1:i+5], 16, 16)
			if err != nil || n >= 0xd800 && n < 0xe000 {
				return "", false
			}
			b.WriteRune(rune(n))
			i += 4
		default:
			return "", false
		}
	}
	return b.String(), true
}
