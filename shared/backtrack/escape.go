package backtrack

import (
	"strconv"
	"strings"
	"unicode"
)

// escape parses what follows a backslash outside of a class; nil for \Q and \E around
// nothing.
func (p *parser) escape() (*node, error) {
	if !p.more() {
		return nil, p.fail(`\ at end of pattern`)
	}
	offset := p.at - 1
	if s := p.shorthand(); s != nil {
		return &node{op: opSet, set: s}, nil
	}
	switch c := p.text[p.at]; c {
	case 'p', 'P':
		s, err := p.property()
		if err != nil {
			return nil, err
		}
		return &node{op: opSet, set: s}, nil
	case 'A', 'G':
		p.at++
		return &node{op: opAssert, at: subjectStart}, nil
	case 'z':
		p.at++
		return &node{op: opAssert, at: subjectEnd}, nil
	case 'Z':
		p.at++
		return &node{op: opAssert, at: lastEnd}, nil
	case 'b':
		p.at++
		return &node{op: opAssert, at: wordEdge}, nil
	case 'B':
		p.at++
		return &node{op: opAssert, at: noWordEdge}, nil
	case 'K':
		p.at++
		return &node{op: opKeep}, nil
	case 'R':
		p.at++
		return &node{op: opAtomic, subs: []*node{{op: opAlt, subs: []*node{{op: opText, text: "\r\n"}, {op: opSet, set: vertical}}}}}, nil
	case 'N':
		p.at++
		return &node{op: opSet, set: notLineFeed}, nil
	case 'Q':
		return p.quoted(), nil
	case 'E':
		p.at++
		return nil, nil //nolint:nilnil // there is nothing to match
	case 'k':
		p.at++
		return p.namedReference(offset)
	case 'g':
		p.at++
		return p.numbered(offset)
	}
	if n := p.backReference(offset); n != nil {
		return n, nil
	}
	r, err := p.character()
	if err != nil {
		return nil, err
	}
	return p.literal(r), nil
}

// quoted parses \Q...\E.
func (p *parser) quoted() *node {
	p.at++
	text, _, ended := strings.Cut(p.text[p.at:], `\E`)
	p.at += len(text)
	if ended {
		p.at += len(`\E`)
	}
	n := &node{op: opCat}
	for _, r := range text {
		n.subs = append(n.subs, p.literal(r))
	}
	switch len(n.subs) {
	case 0:
		return nil
	case 1:
		return n.subs[0]
	}
	// A quantifier behind it is for the last character alone.
	if q := strings.IndexAny(p.text[p.at:], "*+?{"); q == 0 {
		last := n.subs[len(n.subs)-1]
		quantified, err := p.quantified(last)
		if err == nil {
			n.subs[len(n.subs)-1] = quantified
		}
	}
	return n
}

func (p *parser) namedReference(offset int) (*node, error) {
	for open, end := range map[string]string{"<": ">", "'": "'", "{": "}"} {
		if p.take(open) {
			return p.named(end, offset)
		}
	}
	return nil, p.fail(`\k is not followed by a braced, angle-bracketed, or quoted name`)
}

// numbered parses what follows \g: 1, -1, {1}, {-1} or {name}.
func (p *parser) numbered(offset int) (*node, error) {
	braced := p.take("{")
	back := p.take("-")
	n, ok := p.number()
	switch {
	case !ok && braced && !back:
		return p.named("}", offset)
	case !ok || braced && !p.take("}"):
		return nil, p.fail(`a numbered reference must not be zero`)
	case back:
		n = len(p.names) - n
	}
	return p.refer(&node{op: opBack, n: n, fold: p.flags.fold, offset: offset}), nil
}

// backReference parses \1 and the like; nil when digits are an octal number.
func (p *parser) backReference(offset int) *node {
	start := p.at
	if c := p.text[p.at]; c < '1' || c > '9' {
		return nil
	}
	n, _ := p.number()
	if n < 10 || n < len(p.names) {
		return p.refer(&node{op: opBack, n: n, fold: p.flags.fold, offset: offset})
	}
	p.at = start
	return nil
}

// shorthand parses \d and the like, nil for none.
func (p *parser) shorthand() *set {
	s, ok := shorthands[p.text[p.at]]
	if !ok {
		return nil
	}
	p.at++
	return s
}

// property parses \pL, \p{Greek} and \P{^Greek}.
func (p *parser) property() (*set, error) {
	not := p.text[p.at] == 'P'
	p.at++
	name := ""
	switch {
	case p.take("{"):
		var ok bool
		if name, _, ok = strings.Cut(p.text[p.at:], "}"); !ok {
			return nil, p.fail(`malformed \P or \p sequence`)
		}
		p.at += len(name) + 1
	case p.more():
		name = string(p.rune())
	}
	if strings.HasPrefix(name, "^") {
		name, not = name[1:], !not
	}
	table := unicode.Categories[name]
	if table == nil {
		table = unicode.Scripts[name]
	}
	switch {
	case name == "Any" && not:
		return setOf(false), nil
	case name == "Any":
		return everything, nil
	case table == nil:
		return nil, p.fail(`unknown property after \P or \p`)
	}
	var s set
	for _, r := range table.R16 {
		s.addTable(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	for _, r := range table.R32 {
		s.addTable(rune(r.Lo), rune(r.Hi), rune(r.Stride)) //nolint:gosec // runes
	}
	return s.done(not, p.flags.fold), nil
}

// character parses an escaped character.
func (p *parser) character() (rune, error) {
	switch c := p.rune(); c {
	case 'a':
		return '\a', nil
	case 'e':
		return 0x1b, nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'c':
		if !p.more() || p.text[p.at] < ' ' || p.text[p.at] > '~' {
			return 0, p.fail(`\c must be followed by a printable ASCII character`)
		}
		return unicode.ToUpper(p.rune()) ^ 0x40, nil
	case 'x':
		if p.take("{") {
			return p.braced(16)
		}
		return p.digits(16, 2), nil
	case 'o':
		if !p.take("{") {
			return 0, p.fail(`missing opening brace after \o`)
		}
		return p.braced(8)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		p.at--
		return p.digits(8, 3), nil
	default:
		if c < 0x80 && isWord(c) {
			return 0, p.fail(`unrecognized character follows \`)
		}
		return c, nil
	}
}

// braced parses a number up to a closing brace.
func (p *parser) braced(base int) (rune, error) {
	text, _, ok := strings.Cut(p.text[p.at:], "}")
	n, err := strconv.ParseUint(text, base, 32)
	if !ok || err != nil {
		return 0, p.fail(`non-hex character in \x{} or non-octal character in \o{}`)
	}
	if n > unicode.MaxRune {
		return 0, p.fail(`character code point value in \x{} or \o{} is too large`)
	}
	p.at += len(text) + 1
	return rune(n), nil //nolint:gosec // checked above
}

// digits parses up to most digits; none is 0.
func (p *parser) digits(base, most int) rune {
	n := 0
	for range most {
		if !p.more() {
			break
		}
		d, err := strconv.ParseUint(p.text[p.at:p.at+1], base, 8)
		if err != nil {
			break
		}
		n = n*base + int(d) //nolint:gosec // one digit
		p.at++
	}
	return rune(n) //nolint:gosec // three digits at most
}
