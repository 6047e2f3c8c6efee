package expression

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what Compile takes.
const (
	// MaxLen is the longest source, in bytes.
	MaxLen = 64 << 10
	// maxDepth is how deep parentheses and functions may nest.
	maxDepth = 200
)

// rule is a rule of the grammar. What a user sees of them are their names in errors,
// so they have the names and the order of Kong's.
type rule uint8

const (
	ruleEOI rule = iota
	ruleIdent
	ruleRHS
	ruleTransform
	ruleLHS
	ruleInt
	ruleHex
	ruleOct
	ruleDec
	ruleString
	ruleStringChar
	ruleStringEscape
	ruleRaw
	ruleRawChar
	ruleIPv4
	ruleIPv6
	ruleIPv4CIDR
	ruleIPv6CIDR
	ruleOperator
	ruleAnd
	ruleOr
	ruleNot
	rulePredicate
	ruleParentheses
	ruleTerm
	ruleExpression
)

var ruleNames = [...]string{ //nolint:gochecknoglobals // a constant
	"EOI", "ident", "rhs", "transform_func", "lhs", "int_literal", "hex_digits", "oct_digits", "dec_digits",
	"str_literal", "str_char", "str_esc", "rawstr_literal", "rawstr_char", "ipv4_literal", "ipv6_literal",
	"ipv4_cidr_literal", "ipv6_cidr_literal", "binary_operator", "and_op", "or_op", "not_op", "predicate",
	"parenthesised_expression", "term", "expression",
}

type span struct{ start, end int }

// term is one term of the source: a predicate, or an expression in parentheses.
type term struct {
	not   bool
	inner *sequence // nil for a predicate
	left  left
	op    string
	right span
	kind  rule // of the right side's literal
}

// left is a field with functions around it, the outermost first.
type left struct {
	name  span
	calls []call
}

type call struct{ name, all span }

// sequence is terms with "&" or "|" between them.
type sequence struct {
	terms []term
	ops   []byte
}

// parser descends through the grammar and remembers, as the parser that Kong uses
// does, which rules were tried at the furthest place that it reached: what it expected
// there is the error.
type parser struct {
	source string
	pos    int
	depth  int
	tooFar bool

	furthest int
	tried    []rule
}

func parse(source string) (*sequence, *Error) {
	p := &parser{source: source}
	p.skip()
	s, ok := p.expression()
	if ok {
		p.skip()
		if p.rule(ruleEOI, func() bool { return p.pos == len(p.source) }) {
			return s, nil
		}
	}
	if p.tooFar {
		return nil, errorAt(source, p.furthest, "parentheses nest too deep")
	}
	slices.Sort(p.tried)
	names := make([]string, 0, len(p.tried))
	for _, r := range slices.Compact(p.tried) {
		names = append(names, ruleNames[r])
	}
	list := "unknown parsing error"
	switch n := len(names); n {
	case 0:
		return nil, errorAt(source, p.furthest, list)
	case 1:
		list = names[0]
	case 2:
		list = names[0] + " or " + names[1]
	default:
		list = strings.Join(names[:n-1], ", ") + ", or " + names[n-1]
	}
	return nil, errorAt(source, p.furthest, "expected "+list)
}

// rule tries a rule and notes when it fails. A rule whose parts got no further stands
// for them, unless it has only one of them.
func (p *parser) rule(r rule, try func() bool) bool {
	start, kept, before := p.pos, 0, 0
	if start == p.furthest {
		kept, before = len(p.tried), len(p.tried)
	}
	if try() {
		return true
	}
	p.pos = start
	now := 0
	if start == p.furthest {
		now = len(p.tried)
	}
	if now > before && now-before == 1 {
		return false
	}
	switch {
	case start == p.furthest:
		p.tried = append(p.tried[:min(kept, len(p.tried))], r)
	case start > p.furthest:
		p.furthest, p.tried = start, append(p.tried[:0], r)
	}
	return false
}

func (p *parser) skip() {
	for p.pos < len(p.source) && strings.IndexByte(" \t\r\n", p.source[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *parser) text(s string) bool {
	if strings.HasPrefix(p.source[p.pos:], s) {
		p.pos += len(s)
		return true
	}
	return false
}

// many takes bytes of a class, between least and most of them.
func (p *parser) many(least, most int, class func(c byte) bool) bool {
	n := 0
	for n < most && p.pos+n < len(p.source) && class(p.source[p.pos+n]) {
		n++
	}
	if n < least {
		return false
	}
	p.pos += n
	return true
}

func (p *parser) expression() (s *sequence, ok bool) {
	if p.depth++; p.depth > maxDepth {
		p.tooFar = true
		return nil, false
	}
	defer func() { p.depth-- }()
	s = &sequence{}
	ok = p.rule(ruleExpression, func() bool {
		t, ok := p.term()
		if !ok {
			return false
		}
		s.terms = append(s.terms, t)
		for {
			before := p.pos
			p.skip()
			op := byte('&')
			if !p.rule(ruleAnd, func() bool { return p.text("&&") }) {
				op = '|'
				if !p.rule(ruleOr, func() bool { return p.text("||") }) {
					p.pos = before
					return true
				}
			}
			p.skip()
			t, ok := p.term()
			if !ok {
				p.pos = before
				return true
			}
			s.terms, s.ops = append(s.terms, t), append(s.ops, op)
		}
	})
	return s, ok && !p.tooFar
}

func (p *parser) term() (t term, ok bool) {
	ok = p.rule(ruleTerm, func() bool {
		if p.rule(rulePredicate, func() bool { return p.predicate(&t) }) {
			return true
		}
		return p.rule(ruleParentheses, func() bool {
			t = term{}
			if p.rule(ruleNot, func() bool { return p.text("!") }) {
				t.not = true
				p.skip()
			}
			if !p.text("(") {
				return false
			}
			p.skip()
			inner, ok := p.expression()
			if !ok {
				return false
			}
			t.inner = inner
			p.skip()
			return p.text(")")
		})
	})
	return t, ok
}

func (p *parser) predicate(t *term) bool {
	l, ok := p.lhs()
	if !ok {
		return false
	}
	t.left = l
	p.skip()
	if !p.rule(ruleOperator, func() bool { t.op = p.operator(); return t.op != "" }) {
		return false
	}
	p.skip()
	return p.rule(ruleRHS, func() bool { return p.rhs(t) })
}

func (p *parser) operator() string {
	for _, op := range [...]string{"==", "!=", "~", "^=", "=^", ">=", ">", "<=", "<", "in"} {
		if p.text(op) {
			return op
		}
	}
	start := p.pos
	if p.text("not") {
		p.skip()
		if p.text("in") {
			return "not in"
		}
		p.pos = start
	}
	if p.text("contains") {
		return "contains"
	}
	return ""
}

func (p *parser) lhs() (l left, ok bool) {
	if p.depth++; p.depth > maxDepth {
		p.tooFar = true
		return l, false
	}
	defer func() { p.depth-- }()
	ok = p.rule(ruleLHS, func() bool {
		if p.rule(ruleTransform, func() bool {
			start := p.pos
			name, ok := p.ident()
			if !ok {
				return false
			}
			p.skip()
			if !p.text("(") {
				return false
			}
			p.skip()
			inner, ok := p.lhs()
			if !ok {
				return false
			}
			p.skip()
			if !p.text(")") {
				return false
			}
			l = left{inner.name, append(inner.calls, call{name, span{start, p.pos}})}
			return true
		}) {
			return true
		}
		name, ok := p.ident()
		l = left{name: name}
		return ok
	})
	return l, ok && !p.tooFar
}

func (p *parser) ident() (s span, ok bool) {
	s.start = p.pos
	ok = p.rule(ruleIdent, func() bool {
		return p.many(1, 1, letter) && p.many(0, len(p.source), func(c byte) bool { return letter(c) || digit(c) || c == '_' || c == '.' })
	})
	s.end = p.pos
	return s, ok
}

func (p *parser) rhs(t *term) bool {
	t.right.start = p.pos
	for _, literal := range [...]struct {
		kind  rule
		parse func() bool
	}{
		{ruleString, p.str},
		{ruleRaw, p.raw},
		{ruleIPv4CIDR, func() bool { return p.ipv4() && p.text("/") && p.many(1, 2, digit) }},
		{ruleIPv6CIDR, func() bool { return p.ipv6() && p.text("/") && p.many(1, 3, digit) }},
		{ruleIPv4, p.ipv4},
		{ruleIPv6, p.ipv6},
		{ruleInt, p.number},
	} {
		if p.rule(literal.kind, literal.parse) {
			t.kind, t.right.end = literal.kind, p.pos
			return true
		}
	}
	return false
}

func (p *parser) str() bool {
	if !p.text(`"`) {
		return false
	}
	for {
		if p.rule(ruleStringEscape, func() bool {
			return p.text(`\`) && p.many(1, 1, func(c byte) bool { return strings.IndexByte(`"\nrt`, c) >= 0 })
		}) {
			continue
		}
		if p.rule(ruleStringChar, func() bool {
			return p.pos < len(p.source) && p.source[p.pos] != '"' && p.source[p.pos] != '\\' && p.char()
		}) {
			continue
		}
		return p.text(`"`)
	}
}

func (p *parser) raw() bool {
	if !p.text(`r#"`) {
		return false
	}
	for p.rule(ruleRawChar, func() bool {
		return p.pos < len(p.source) && !strings.HasPrefix(p.source[p.pos:], `"#`) && p.char()
	}) {
		continue
	}
	return p.text(`"#`)
}

func (p *parser) char() bool {
	_, n := utf8.DecodeRuneInString(p.source[p.pos:])
	p.pos += n
	return true
}

func (p *parser) ipv4() bool {
	if !p.many(1, 3, digit) {
		return false
	}
	for range 3 {
		if !p.text(".") || !p.many(1, 3, digit) {
			return false
		}
	}
	return true
}

func (p *parser) ipv6() bool {
	if !p.text(":") && !p.many(1, 4, hexDigit) || !p.text(":") {
		return false
	}
	return p.many(0, len(p.source), func(c byte) bool { return hexDigit(c) || c == ':' })
}

func (p *parser) number() bool {
	p.text("-")
	start := p.pos
	if p.rule(ruleOct, func() bool { return p.text("0") && p.many(1, len(p.source), octDigit) }) {
		return true
	}
	if p.text("0x") {
		if p.rule(ruleHex, func() bool { return p.many(1, len(p.source), hexDigit) }) {
			return true
		}
		p.pos = start
	}
	return p.rule(ruleDec, func() bool { return p.many(1, len(p.source), digit) })
}

func letter(c byte) bool   { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func digit(c byte) bool    { return c >= '0' && c <= '9' }
func octDigit(c byte) bool { return c >= '0' && c <= '7' }
func hexDigit(c byte) bool { return digit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
