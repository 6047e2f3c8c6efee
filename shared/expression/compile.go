package expression

import (
	"errors"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

type operator uint8

const (
	opEqual operator = iota
	opNotEqual
	opRegex
	opPrefix
	opSuffix
	opContains
	opGreater
	opGreaterEqual
	opLess
	opLessEqual
	opIn
	opNotIn
)

var operators = map[string]operator{ //nolint:gochecknoglobals // a constant
	"==": opEqual, "!=": opNotEqual, "~": opRegex, "^=": opPrefix, "=^": opSuffix, "contains": opContains,
	">": opGreater, ">=": opGreaterEqual, "<": opLess, "<=": opLessEqual, "in": opIn, "not in": opNotIn,
}

type nodeKind uint8

const (
	nodePredicate nodeKind = iota
	nodeAnd
	nodeOr
	nodeNot
)

// node is a part of a program.
type node struct {
	kind nodeKind
	// nodes of and, or and not.
	nodes []node
	// predicate of a predicate.
	*predicate
}

type predicate struct {
	field      field
	op         operator
	lower, any bool
	typ        valueType // of the right side

	text   string
	number int64
	addr   netip.Addr
	prefix netip.Prefix
	regex  *schema.Regex

	source span // of the field
}

// Program is a compiled expression.
type Program struct {
	source string
	root   node
	// backtracks is the first regular expression that does.
	backtracks string
}

// Compile compiles an expression about the fields of a set. An error is an *Error.
func Compile(source string, fields Set) (*Program, error) {
	if len(source) > MaxLen {
		return nil, errorAt(source[:80], 0, "expressions have "+strconv.Itoa(MaxLen)+" bytes at most")
	}
	source = netPort.ReplaceAllString(source, "net.dst.port${2}${3}")
	tree, parseErr := parse(source)
	if parseErr != nil {
		return nil, parseErr
	}
	c := compiler{source: source, program: &Program{source: source}}
	c.program.root = c.sequence(tree)
	if c.err == nil {
		c.check(&c.program.root, fields)
	}
	if c.err == nil {
		c.err = c.illFormed
	}
	if c.err != nil {
		return nil, c.err
	}
	return c.program, nil
}

// netPort is the old name of net.dst.port.
var netPort = regexp.MustCompile(`(net\.port)(\s*)([=><!])`)

// Validate tells whether an expression compiles for a route with these protocols. It
// fits entity.Options.Expression.
func Validate(source string, protocols []string) error {
	_, err := Compile(source, SetOf(protocols))
	return err
}

// Hints says what a writer of an expression should know: where exactly an error of types
// stands, whose words do not tell, that a field has a new name, and that a regular
// expression backtracks.
func Hints(source string, protocols []string) []string {
	var out []string
	if netPort.MatchString(source) {
		out = append(out, "net.port is the old name of net.dst.port")
	}
	p, err := Compile(source, SetOf(protocols))
	if e, ok := errors.AsType[*Error](err); ok {
		return append(out, e.Where())
	}
	if p != nil && p.backtracks != "" {
		out = append(out, schema.Backtracking(p.backtracks))
	}
	return out
}

// Source returns the text that the program was made of.
func (p *Program) Source() string { return p.source }

// Backtracks returns the first regular expression of the program that needs the
// backtracking engine, or "".
func (p *Program) Backtracks() string { return p.backtracks }

// compiler turns terms into nodes; the first error wins, in the order of the source.
type compiler struct {
	source    string
	program   *Program
	err       error
	illFormed error
}

func (c *compiler) fail(e *Error) {
	if c.err == nil {
		c.err = e
	}
}

// sequence makes an and of ors, for || binds tighter.
func (c *compiler) sequence(s *sequence) node {
	var and, or []node
	for i, t := range s.terms {
		if i > 0 && s.ops[i-1] == '&' {
			and, or = append(and, join(nodeOr, or)), nil
		}
		or = append(or, c.term(t))
	}
	return join(nodeAnd, append(and, join(nodeOr, or)))
}

func join(kind nodeKind, nodes []node) node {
	if len(nodes) == 1 {
		return nodes[0]
	}
	return node{kind: kind, nodes: nodes}
}

func (c *compiler) term(t term) node {
	if t.inner == nil {
		return node{predicate: c.predicate(t)}
	}
	n := c.sequence(t.inner)
	if t.not {
		n = node{kind: nodeNot, nodes: []node{n}}
	}
	return n
}

func (c *compiler) predicate(t term) *predicate {
	p := &predicate{op: operators[t.op], source: t.left.name}
	for _, call := range t.left.calls {
		switch name := c.source[call.name.start:call.name.end]; name {
		case "lower":
			p.lower = true
		case "any":
			p.any = true
		default:
			c.fail(errorIn(c.source, call.all, "unknown transformation function: "+name))
		}
	}
	c.literal(p, t)
	if p.op == opRegex && c.err == nil {
		if p.typ != typeString {
			c.fail(errorIn(c.source, t.right, "regex operator can only be used with String operands"))
			return p
		}
		regex, err := schema.CompileRegex(p.text)
		if err != nil {
			c.fail(errorIn(c.source, t.right, "regex parse error:\n    "+p.text+"\nerror: "+regexComplaint(err)))
			return p
		}
		p.regex = regex
		if c.program.backtracks == "" && regex.Linear() == nil {
			c.program.backtracks = p.text
		}
	}
	return p
}

// regexComplaint is the reason of an error of schema.CompileRegex.
func regexComplaint(err error) string {
	s := strings.TrimPrefix(err.Error(), "pcre2_compile() failed: ")
	if i := strings.LastIndex(s, ` in "`); i > 0 {
		s = s[:i]
	}
	return s
}

func (c *compiler) literal(p *predicate, t term) {
	text := c.source[t.right.start:t.right.end]
	wrong := func(message string) { c.fail(errorIn(c.source, t.right, message)) }
	switch t.kind {
	case ruleString:
		p.text = unescape(text[1 : len(text)-1])
	case ruleRaw:
		p.text = text[3 : len(text)-2]
	case ruleInt:
		n, err := number(text)
		if err != nil {
			wrong("number too large to fit in target type")
		}
		p.typ, p.number = typeInt, n
	case ruleIPv4, ruleIPv6:
		a, err := netip.ParseAddr(text)
		if err != nil {
			wrong("invalid " + family(t.kind) + " address syntax")
		}
		p.typ, p.addr = typeAddr, a
	default:
		p.typ = typeCIDR
		addr, length, _ := strings.Cut(text, "/")
		a, err := netip.ParseAddr(addr)
		if err != nil {
			wrong("couldn't parse address in network: invalid " + family(t.kind) + " address syntax")
			return
		}
		bits, _ := strconv.Atoi(length)
		if bits > a.BitLen() {
			wrong("invalid length for network: Network length " + length + " is too long for " + strings.Replace(family(t.kind), "IP", "Ip", 1) +
				" (maximum: " + strconv.Itoa(a.BitLen()) + ")")
			return
		}
		p.prefix = netip.PrefixFrom(a, bits)
		if p.prefix.Masked() != p.prefix {
			wrong("host part of address was not zero")
		}
	}
}

func family(kind rule) string {
	if kind == ruleIPv4 || kind == ruleIPv4CIDR {
		return "IPv4"
	}
	return "IPv6"
}

func number(s string) (int64, error) {
	digits, negative := strings.CutPrefix(s, "-")
	base := 10
	if rest, ok := strings.CutPrefix(digits, "0x"); ok {
		digits, base = rest, 16
	} else if len(digits) > 1 && digits[0] == '0' && strings.Trim(digits, "01234567") == "" {
		base = 8
	}
	n, err := strconv.ParseInt(digits, base, 64)
	if negative {
		n = -n
	}
	return n, err
}

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t").Replace(s)
}

// check looks at types.
func (c *compiler) check(n *node, fields Set) {
	if n.kind != nodePredicate {
		for i := range n.nodes {
			c.check(&n.nodes[i], fields)
		}
		return
	}
	p := n.predicate
	wrong := func(message string) { c.fail(typeError(c.source, p.source, message)) }
	f, known, wellFormed := fields.lookup(c.source[p.source.start:p.source.end])
	if !known {
		wrong("Unknown LHS field")
		return
	}
	if !wellFormed && c.illFormed == nil {
		c.illFormed = typeError(c.source, p.source, "illformed http.path.segments.* field")
	}
	p.field = f
	if p.op != opRegex && p.op != opIn && p.op != opNotIn && f.typ != p.typ {
		wrong("Type mismatch between the LHS and RHS values of predicate")
		return
	}
	if p.lower && f.typ != typeString {
		wrong("lower-case transformation function only supported with String type fields")
		return
	}
	switch p.op {
	case opRegex:
		if f.typ != typeString {
			wrong("Regex operators only supports string operands")
		}
	case opPrefix, opSuffix:
		if p.typ != typeString {
			wrong("Regex/Prefix/Postfix operators only supports string operands")
		}
	case opContains:
		if p.typ != typeString {
			wrong("Contains operator only supports string operands")
		}
	case opGreater, opGreaterEqual, opLess, opLessEqual:
		if p.typ != typeInt {
			wrong("Greater/GreaterOrEqual/Lesser/LesserOrEqual operators only supports integer operands")
		}
	case opIn, opNotIn:
		if f.typ != typeAddr || p.typ != typeCIDR {
			wrong("In/NotIn operators only supports IP in CIDR")
		}
	}
}
