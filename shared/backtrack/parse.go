package backtrack

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SyntaxError says what is wrong with a pattern, in PCRE's words, and where.
type SyntaxError struct {
	Message string
	// Offset in bytes.
	Offset int
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%s at offset %d", e.Message, e.Offset) }

// Bounds of a pattern.
const (
	maxNesting = 200
	maxRepeat  = 1000
	maxGroups  = 1000
)

type op uint8

const (
	opEmpty  op = iota
	opText      // text, char by char
	opSet       // one character of a set
	opCat       // subs one after the other
	opAlt       // one of subs
	opRepeat    // subs[0] from least to most times
	opGroup     // subs[0], kept as group n
	opLook      // subs[0] ahead, or behind, or not
	opAtomic    // subs[0], which does not change once it has matched
	opBack      // what group n has matched
	opWhen      // subs[0] when group n has matched, else subs[1]
	opKeep      // \K
	opAssert    // a place
)

// assertion is a place in a subject.
type assertion uint8

const (
	subjectStart assertion = iota // \A, ^
	lineStart                     // ^ with (?m)
	subjectEnd                    // \z
	lastEnd                       // \Z, $: the end, or the line feed before it
	lineEnd                       // $ with (?m)
	wordEdge                      // \b
	noWordEdge                    // \B
)

type node struct {
	op   op
	subs []*node
	text string
	set  *set
	n    int
	// fold ignores case: of text and back-references; sets are folded when they are made.
	fold bool
	// Of opRepeat: most is -1 for any number.
	least, most      int
	lazy, possessive bool
	behind, not      bool
	at               assertion
	name             string // of a back-reference that is not resolved yet
	offset           int
}

type flags struct{ fold, multi, dot, extended, ungreedy bool }

type parser struct {
	text    string
	at      int
	flags   flags
	names   []string
	byName  map[string]int
	open    int
	pending []*node // references to groups
}

func (p *parser) fail(message string) error { return &SyntaxError{message, p.at} }

func (p *parser) more() bool { return p.at < len(p.text) }

func (p *parser) take(s string) bool {
	if strings.HasPrefix(p.text[p.at:], s) {
		p.at += len(s)
		return true
	}
	return false
}

func (p *parser) rune() rune {
	r, n := utf8.DecodeRuneInString(p.text[p.at:])
	p.at += n
	return r
}

func (p *parser) parse() (*node, error) {
	if !utf8.ValidString(p.text) {
		return nil, p.fail("UTF-8 error")
	}
	tree, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	if p.more() {
		return nil, p.fail("unmatched closing parenthesis")
	}
	for _, n := range p.pending {
		if n.name != "" {
			number, ok := p.byName[n.name]
			if !ok {
				return nil, &SyntaxError{"reference to non-existent subpattern", n.offset}
			}
			n.n = number
		}
		if n.n < 1 || n.n >= len(p.names) {
			return nil, &SyntaxError{"reference to non-existent subpattern", n.offset}
		}
	}
	return tree, nil
}

// alternatives parses up to a closing parenthesis, which it leaves, or the end. Flags that
// are set inside end there.
func (p *parser) alternatives() (*node, error) {
	if p.open++; p.open > maxNesting {
		return nil, p.fail("parentheses are too deeply nested")
	}
	before := p.flags
	defer func() { p.flags, p.open = before, p.open-1 }()
	alt := &node{op: opAlt}
	for {
		cat, err := p.sequence()
		if err != nil {
			return nil, err
		}
		alt.subs = append(alt.subs, cat)
		if !p.take("|") {
			break
		}
	}
	if len(alt.subs) == 1 {
		return alt.subs[0], nil
	}
	return alt, nil
}

func (p *parser) sequence() (*node, error) {
	cat := &node{op: opCat}
	for p.more() && p.text[p.at] != '|' && p.text[p.at] != ')' {
		if p.skip() {
			continue
		}
		n, err := p.item()
		if err != nil {
			return nil, err
		}
		if n == nil {
			continue
		}
		if n, err = p.quantified(n); err != nil {
			return nil, err
		}
		// Text that follows text joins it.
		if last := len(cat.subs) - 1; n.op == opText && last >= 0 && cat.subs[last].op == opText && cat.subs[last].fold == n.fold {
			cat.subs[last].text += n.text
			continue
		}
		cat.subs = append(cat.subs, n)
	}
	if len(cat.subs) == 1 {
		return cat.subs[0], nil
	}
	return cat, nil
}

// skip skips what matches nothing: comments, and blanks with (?x).
func (p *parser) skip() bool {
	if p.take("(?#") {
		if i := strings.IndexByte(p.text[p.at:], ')'); i >= 0 {
			p.at += i + 1
			return true
		}
		p.at -= len("(?#")
		return false
	}
	if !p.flags.extended {
		return false
	}
	switch c := p.text[p.at]; {
	case c == ' ' || c >= '\t' && c <= '\r':
		p.at++
	case c == '#':
		if i := strings.IndexByte(p.text[p.at:], '\n'); i >= 0 {
			p.at += i + 1
		} else {
			p.at = len(p.text)
		}
	default:
		return false
	}
	return true
}

// item parses what a quantifier may follow; nil for what only sets something.
func (p *parser) item() (*node, error) {
	start := p.at
	switch c := p.rune(); c {
	case '(':
		return p.group()
	case '[':
		s, err := p.class()
		if err != nil {
			return nil, err
		}
		return &node{op: opSet, set: s}, nil
	case '.':
		if p.flags.dot {
			return &node{op: opSet, set: everything}, nil
		}
		return &node{op: opSet, set: notLineFeed}, nil
	case '^':
		return p.assert(subjectStart, lineStart), nil
	case '$':
		return p.assert(lastEnd, lineEnd), nil
	case '\\':
		return p.escape()
	case '*', '+', '?':
		p.at = start
		return nil, p.fail("quantifier does not follow a repeatable item")
	default:
		return p.literal(c), nil
	}
}

func (p *parser) assert(single, multi assertion) *node {
	if p.flags.multi {
		single = multi
	}
	return &node{op: opAssert, at: single}
}

func (p *parser) literal(r rune) *node {
	return &node{op: opText, text: string(r), fold: p.flags.fold && unicode.SimpleFold(r) != r}
}

// quantified parses the quantifiers behind an item.
func (p *parser) quantified(n *node) (*node, error) {
	for {
		for p.flags.extended && p.more() {
			if !p.skip() {
				break
			}
		}
		least, most, ok, err := p.quantifier()
		if err != nil || !ok {
			return n, err
		}
		r := &node{op: opRepeat, subs: []*node{n}, least: least, most: most, lazy: p.flags.ungreedy}
		switch {
		case p.take("?"):
			r.lazy = !r.lazy
		case p.take("+"):
			r.possessive = true
		}
		if n.op == opAssert || n.op == opLook || n.op == opKeep {
			// More than once is as once.
			r.most = min(max(r.most, -r.most), 1)
			r.least = min(r.least, 1)
		}
		n = r
	}
}

func (p *parser) quantifier() (least, most int, ok bool, err error) {
	start := p.at
	switch {
	case p.take("*"):
		return 0, -1, true, nil
	case p.take("+"):
		return 1, -1, true, nil
	case p.take("?"):
		return 0, 1, true, nil
	case !p.take("{"):
		return 0, 0, false, nil
	}
	least, digits := p.number()
	most = least
	if p.take(",") {
		high, some := p.number()
		if most = high; !some {
			most = -1
		}
	}
	if !digits || !p.take("}") {
		p.at = start // a brace is text where it does not quantify
		return 0, 0, false, nil
	}
	if least > maxRepeat || most > maxRepeat {
		return 0, 0, false, p.fail("number too big in {} quantifier")
	}
	if most >= 0 && least > most {
		return 0, 0, false, p.fail("numbers out of order in {} quantifier")
	}
	return least, most, true, nil
}

// number parses a decimal number, one beyond maxRepeat for what is too large.
func (p *parser) number() (n int, ok bool) {
	for p.more() && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		n, ok = min(10*n+int(p.text[p.at]-'0'), maxRepeat+1), true
		p.at++
	}
	return n, ok
}

// group parses what follows an opening parenthesis.
func (p *parser) group() (*node, error) {
	offset := p.at - 1
	if p.take("*") {
		return nil, p.fail("(*VERB) not recognized or malformed")
	}
	if !p.take("?") {
		return p.capture("")
	}
	switch {
	case p.take(":"):
		return p.inside(nil)
	case p.take(">"):
		return p.inside(&node{op: opAtomic})
	case p.take("="):
		return p.inside(&node{op: opLook})
	case p.take("!"):
		return p.inside(&node{op: opLook, not: true})
	case p.take("<="):
		return p.inside(&node{op: opLook, behind: true, offset: offset})
	case p.take("<!"):
		return p.inside(&node{op: opLook, behind: true, not: true, offset: offset})
	case p.take("P="):
		return p.named(")", offset)
	case p.take("P<"), p.take("<"):
		return p.captureNamed(">")
	case p.take("'"):
		return p.captureNamed("'")
	case p.take("("):
		return p.conditional(offset)
	case p.take("|"), p.take("R"), p.take("P>"), p.take("&"), p.take("C"):
		return nil, p.fail("recursion, callouts and branch resets are not supported")
	}
	if p.more() && (p.text[p.at] >= '0' && p.text[p.at] <= '9' || p.text[p.at] == '+') {
		return nil, p.fail("recursion, callouts and branch resets are not supported")
	}
	return p.options()
}

// inside parses up to the closing parenthesis and puts it into n, if there is one.
func (p *parser) inside(n *node) (*node, error) {
	sub, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	if !p.take(")") {
		return nil, p.fail("missing closing parenthesis")
	}
	if n == nil {
		return &node{op: opCat, subs: []*node{sub}}, nil
	}
	n.subs = []*node{sub}
	return n, nil
}

func (p *parser) capture(name string) (*node, error) {
	n := &node{op: opGroup, n: len(p.names)}
	if p.names = append(p.names, name); len(p.names) > maxGroups {
		return nil, p.fail("too many capturing groups")
	}
	if name != "" {
		if _, ok := p.byName[name]; ok {
			return nil, p.fail("two named subpatterns have the same name")
		}
		p.byName[name] = n.n
	}
	return p.inside(n)
}

func (p *parser) captureNamed(end string) (*node, error) {
	name, err := p.name(end)
	if err != nil {
		return nil, err
	}
	return p.capture(name)
}

// name parses the name of a group up to its end.
func (p *parser) name(end string) (string, error) {
	start := p.at
	for p.more() && isWord(rune(p.text[p.at])) {
		p.at++
	}
	name := p.text[start:p.at]
	switch {
	case name == "":
		return "", p.fail("subpattern name expected")
	case name[0] <= '9':
		return "", p.fail("subpattern name must start with a non-digit")
	case len(name) > 32:
		return "", p.fail("subpattern name is too long (maximum 32 code units)")
	case !p.take(end):
		return "", p.fail("syntax error in subpattern name (missing terminator?)")
	}
	return name, nil
}

// named parses a reference by name.
func (p *parser) named(end string, offset int) (*node, error) {
	name, err := p.name(end)
	if err != nil {
		return nil, err
	}
	return p.refer(&node{op: opBack, name: name, fold: p.flags.fold, offset: offset}), nil
}

func (p *parser) refer(n *node) *node {
	p.pending = append(p.pending, n)
	return n
}

// conditional parses (?(1)yes|no), with a number or a name.
func (p *parser) conditional(offset int) (*node, error) {
	n := &node{op: opWhen, offset: offset}
	number, ok := p.number()
	switch {
	case ok && p.take(")"):
		n.n = number
	case ok:
		return nil, p.fail("missing closing parenthesis for condition")
	default:
		end := ")"
		if p.take("<") {
			end = ">)"
		} else if p.take("'") {
			end = "')"
		}
		name, err := p.name(end)
		if err != nil {
			return nil, err
		}
		n.name = name
	}
	p.refer(n)
	sub, err := p.inside(nil)
	if err != nil {
		return nil, err
	}
	n.subs = []*node{sub.subs[0], {op: opEmpty}}
	if alt := sub.subs[0]; alt.op == opAlt {
		if len(alt.subs) > 2 {
			return nil, p.fail("conditional subpattern contains more than two branches")
		}
		n.subs = alt.subs
	}
	return n, nil
}

// options parses (?i) and (?i:...).
func (p *parser) options() (*node, error) {
	f, on := p.flags, true
	for p.more() {
		switch c := p.text[p.at]; c {
		case 'i':
			f.fold = on
		case 'm':
			f.multi = on
		case 's':
			f.dot = on
		case 'x':
			f.extended = on
		case 'U':
			f.ungreedy = on
		case '-':
			on = false
		case ')':
			p.at++
			p.flags = f     // until the group around it ends
			return nil, nil //nolint:nilnil // there is nothing to match
		case ':':
			p.at++
			before := p.flags
			p.flags = f
			n, err := p.inside(nil)
			p.flags = before
			return n, err
		default:
			return nil, p.fail("unrecognized character after (? or (?-")
		}
		p.at++
	}
	return nil, p.fail("missing closing parenthesis")
}
