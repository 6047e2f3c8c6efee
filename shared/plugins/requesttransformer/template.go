package requesttransformer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// template is text with $(expressions) in it. An expression is one or more operands that
// are joined by "or" (the first that has a value) and ".." (one behind the other):
// headers, query_params, uri_captures, shared and consumer with .name, ['name'] or [1],
// strings in quotes and numbers. There is no other code in it.
type template struct {
	parts []part
}

// part is literal text, or alternatives of which the first with a value counts.
type part struct {
	text         string
	alternatives [][]operand
}

type operand struct {
	literal *string
	table   string
	key     string
	index   int // of uri_captures, 0 for none
}

var tables = map[string]bool{"headers": true, "query_params": true, "uri_captures": true, "shared": true, "consumer": true}

func parseTemplate(text string) (*template, error) {
	t := &template{}
	for text != "" {
		i := strings.Index(text, "$(")
		if i < 0 {
			t.parts = append(t.parts, part{text: text})
			return t, nil
		}
		if i > 0 {
			t.parts = append(t.parts, part{text: text[:i]})
		}
		s := scanner{text: text[i+2:]}
		alternatives, err := s.expression()
		if err != nil {
			return nil, fmt.Errorf("template %q: %w", text, err)
		}
		t.parts = append(t.parts, part{alternatives: alternatives})
		text = s.text
	}
	return t, nil
}

// plain tells whether there is nothing to compute.
func (t *template) plain() (string, bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case len(t.parts) == 1 && t.parts[0].alternatives == nil:
		return t.parts[0].text, true
	}
	return "", false
}

// scanner reads an expression up to its closing parenthesis.
type scanner struct{ text string }

func (s *scanner) space() { s.text = strings.TrimLeft(s.text, " \t") }

func (s *scanner) take(prefix string) bool {
	s.space()
	rest, ok := strings.CutPrefix(s.text, prefix)
	if ok {
		s.text = rest
	}
	return ok
}

func (s *scanner) expression() ([][]operand, error) {
	alternatives := [][]operand{nil}
	for {
		o, err := s.operand()
		if err != nil {
			return nil, err
		}
		last := len(alternatives) - 1
		alternatives[last] = append(alternatives[last], o)
		switch {
		case s.take(")"):
			return alternatives, nil
		case s.take(".."):
		case s.take("or ") || s.take("or\t"):
			alternatives = append(alternatives, nil)
		default:
			return nil, errors.New("expected ), or, or .. after an operand")
		}
	}
}

func (s *scanner) operand() (operand, error) {
	s.space()
	if s.text == "" {
		return operand{}, errors.New("expression does not end")
	}
	if s.text[0] == '\'' || s.text[0] == '"' {
		text, err := s.quoted()
		return operand{literal: &text}, err
	}
	if n := s.while(func(c byte) bool { return c >= '0' && c <= '9' }); n != "" {
		return operand{literal: &n}, nil
	}
	o := operand{table: s.word()}
	if !tables[o.table] {
		return o, fmt.Errorf("%q is none of headers, query_params, uri_captures, shared and consumer", o.table)
	}
	var err error
	switch {
	case strings.HasPrefix(s.text, "."):
		s.text = s.text[1:]
		o.key = s.word()
	case s.take("["):
		s.space()
		if s.text != "" && (s.text[0] == '\'' || s.text[0] == '"') {
			o.key, err = s.quoted()
		} else {
			o.index, err = strconv.Atoi(s.while(func(c byte) bool { return c >= '0' && c <= '9' }))
		}
		if err == nil && !s.take("]") {
			err = errors.New("expected ]")
		}
	default:
		err = fmt.Errorf("expected .name or [name] behind %s", o.table)
	}
	if err == nil && o.key == "" && o.index == 0 {
		err = fmt.Errorf("%s has no name behind it", o.table)
	}
	return o, err
}

func (s *scanner) while(is func(c byte) bool) string {
	i := 0
	for i < len(s.text) && is(s.text[i]) {
		i++
	}
	out := s.text[:i]
	s.text = s.text[i:]
	return out
}

func (s *scanner) word() string {
	return s.while(func(c byte) bool {
		return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	})
}

func (s *scanner) quoted() (string, error) {
	quote := s.text[:1]
	text, rest, ok := strings.Cut(s.text[1:], quote)
	if !ok {
		return "", errors.New("string does not end")
	}
	s.text = rest
	return text, nil
}

// value fills a template in. What has no value is empty.
func (t *template) value(x *pdk.Exchange, original *pdk.Header) string {
	if text, ok := t.plain(); ok {
		return text
	}
	var b strings.Builder
	for i := range t.parts {
		p := &t.parts[i]
		b.WriteString(p.text)
		for _, operands := range p.alternatives {
			if v, ok := join(operands, x, original); ok {
				b.WriteString(v)
				break
			}
		}
	}
	return b.String()
}

func join(operands []operand, x *pdk.Exchange, original *pdk.Header) (string, bool) {
	var out strings.Builder
	for i := range operands {
		v, ok := operands[i].value(x, original)
		if !ok {
			return "", false
		}
		out.WriteString(v)
	}
	return out.String(), true
}

func (o *operand) value(x *pdk.Exchange, original *pdk.Header) (string, bool) {
	if o.literal != nil {
		return *o.literal, true
	}
	switch o.table {
	case "headers":
		if pdk.EqualFold(o.key, "host") {
			return x.Request.Host, true
		}
		for _, name := range []string{o.key, strings.ReplaceAll(o.key, "_", "-")} {
			if original.Has(name) {
				return original.Get(name), true
			}
		}
	case "query_params":
		v, ok := pdk.QueryValue(x.Request.RawQuery, o.key)
		return pdk.Unescape(&x.Text, v), ok
	case "uri_captures":
		if o.index > 0 {
			if o.index < len(x.Captures.Values) {
				return x.Captures.Values[o.index], true
			}
			return "", false
		}
		v := x.Captures.ByName(o.key)
		return v, v != ""
	case "consumer":
		if c := x.Consumer; c != nil {
			v := map[string]string{"id": c.ID, "username": c.Username, "custom_id": c.CustomID}[o.key]
			return v, v != ""
		}
	}
	return "", false
}
