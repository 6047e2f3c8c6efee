// Package luapattern matches Lua patterns, the small pattern language in which
// Kong's schemas say what a string may look like. A pattern is compiled once and
// is then safe for concurrent use. It owns matching: Match says whether, Find says where,
// with the groups. There is no replacing.
package luapattern

import (
	"errors"
	"fmt"
)

// maxSteps bounds the work of one match, so that no value can stall a caller.
const maxSteps = 1 << 20

// Pattern is a compiled pattern.
type Pattern struct {
	source   string
	anchored bool
	items    []item
}

type kind uint8

const (
	single     kind = iota // one character of a class, with a repetition
	openGroup              // (
	closeGroup             // )
	position               // ()
	backRef                // %1
	balanced               // %bxy
	frontier               // %f[set]
	end                    // $ at the end
)

type item struct {
	kind  kind
	set   *[4]uint64 // for single and frontier
	quant byte       // 0, '*', '+', '-', '?'
	a, b  byte       // balanced: the two characters; backRef, groups: the number in a
}

// MustCompile is Compile for patterns in code; it panics on a bad one.
func MustCompile(source string) *Pattern {
	p, err := Compile(source)
	if err != nil {
		panic(err)
	}
	return p
}

// Compile parses a pattern.
func Compile(source string) (*Pattern, error) {
	p := &Pattern{source: source}
	c := compiler{src: source, out: p}
	if err := c.compile(); err != nil {
		return nil, fmt.Errorf("malformed pattern %q: %w", source, err)
	}
	return p, nil
}

// String returns the source.
func (p *Pattern) String() string { return p.source }

// Match tells whether the pattern occurs in s, as string.find does.
func (p *Pattern) Match(s string) bool {
	m := matcher{p: p, s: s, steps: maxSteps}
	if p.anchored {
		return m.match(0, 0) >= 0
	}
	for i := 0; i <= len(s); i++ {
		if m.match(i, 0) >= 0 {
			return true
		}
		if m.steps <= 0 {
			return false
		}
	}
	return false
}

var (
	errEndsWithPercent = errors.New("ends with '%'")
	errMissingBracket  = errors.New("missing ']'")
	errMissingParen    = errors.New("unfinished capture")
	errExtraParen      = errors.New("invalid pattern capture")
	errBalanced        = errors.New("missing arguments to '%b'")
	errFrontier        = errors.New("missing '[' after '%f'")
	errCaptures        = errors.New("too many captures")
)

type compiler struct {
	src  string
	pos  int
	out  *Pattern
	open []byte
	done [maxCaptures + 1]bool
	n    byte
}

const maxCaptures = 32

func (c *compiler) compile() error {
	if len(c.src) > 0 && c.src[0] == '^' {
		c.out.anchored, c.pos = true, 1
	}
	for c.pos < len(c.src) {
		if err := c.item(); err != nil {
			return err
		}
	}
	if len(c.open) > 0 {
		return errMissingParen
	}
	return nil
}

func (c *compiler) emit(it item) { c.out.items = append(c.out.items, it) }

func (c *compiler) item() error {
	switch ch := c.src[c.pos]; {
	case ch == '(':
		if c.n == maxCaptures {
			return errCaptures
		}
		c.n++
		c.pos++
		if c.pos < len(c.src) && c.src[c.pos] == ')' {
			c.pos++
			c.done[c.n] = true
			c.emit(item{kind: position, a: c.n})
			return nil
		}
		c.open = append(c.open, c.n)
		c.emit(item{kind: openGroup, a: c.n})
		return nil
	case ch == ')':
		if len(c.open) == 0 {
			return errExtraParen
		}
		n := c.open[len(c.open)-1]
		c.open = c.open[:len(c.open)-1]
		c.done[n] = true
		c.pos++
		c.emit(item{kind: closeGroup, a: n})
		return nil
	case ch == '$' && c.pos+1 == len(c.src):
		c.pos++
		c.emit(item{kind: end})
		return nil
	case ch == '%' && c.pos+1 < len(c.src):
		if done, err := c.special(); done || err != nil {
			return err
		}
	}
	set, err := c.class()
	if err != nil {
		return err
	}
	it := item{kind: single, set: set}
	if c.pos < len(c.src) {
		switch q := c.src[c.pos]; q {
		case '*', '+', '-', '?':
			it.quant = q
			c.pos++
		}
	}
	c.emit(it)
	return nil
}

// special handles %b, %f and back references.
func (c *compiler) special() (bool, error) {
	switch ch := c.src[c.pos+1]; {
	case ch == 'b':
		if c.pos+3 >= len(c.src) {
			return false, errBalanced
		}
		c.emit(item{kind: balanced, a: c.src[c.pos+2], b: c.src[c.pos+3]})
		c.pos += 4
		return true, nil
	case ch == 'f':
		c.pos += 2
		if c.pos >= len(c.src) || c.src[c.pos] != '[' {
			return false, errFrontier
		}
		set, err := c.class()
		if err != nil {
			return false, err
		}
		c.emit(item{kind: frontier, set: set})
		return true, nil
	case ch >= '0' && ch <= '9':
		n := ch - '0'
		if n == 0 || n > c.n || !c.done[n] {
			return false, errExtraParen
		}
		c.emit(item{kind: backRef, a: n})
		c.pos += 2
		return true, nil
	}
	return false, nil
}

// class reads one single-character class: x, %x, . or [set].
func (c *compiler) class() (*[4]uint64, error) {
	set := new([4]uint64)
	ch := c.src[c.pos]
	c.pos++
	switch ch {
	case '.':
		for i := range set {
			set[i] = ^uint64(0)
		}
	case '%':
		if c.pos >= len(c.src) {
			return nil, errEndsWithPercent
		}
		addClass(set, c.src[c.pos])
		c.pos++
	case '[':
		return set, c.bracket(set)
	default:
		add(set, ch)
	}
	return set, nil
}

func (c *compiler) bracket(set *[4]uint64) error {
	negate := c.pos < len(c.src) && c.src[c.pos] == '^'
	if negate {
		c.pos++
	}
	for first := true; ; first = false {
		if c.pos >= len(c.src) {
			return errMissingBracket
		}
		ch := c.src[c.pos]
		c.pos++
		switch {
		case ch == ']' && !first:
			if negate {
				for i := range set {
					set[i] = ^set[i]
				}
			}
			return nil
		case ch == '%':
			if c.pos >= len(c.src) {
				return errEndsWithPercent
			}
			addClass(set, c.src[c.pos])
			c.pos++
		case c.pos+1 < len(c.src) && c.src[c.pos] == '-' && c.src[c.pos+1] != ']':
			for x := int(ch); x <= int(c.src[c.pos+1]); x++ {
				add(set, byte(x))
			}
			c.pos += 2
		default:
			add(set, ch)
		}
	}
}

func add(set *[4]uint64, c byte) { set[c>>6] |= 1 << (c & 63) }

func has(set *[4]uint64, c byte) bool { return set[c>>6]&(1<<(c&63)) != 0 }

// addClass adds %a and the like, a capital for the complement, or the character itself.
func addClass(set *[4]uint64, class byte) {
	in := classOf(class | 0x20)
	if in == nil || class < 'A' || class > 'z' || class > 'Z' && class < 'a' {
		add(set, class)
		return
	}
	for i := range 256 {
		if in(byte(i)) == (class >= 'a') {
			add(set, byte(i))
		}
	}
}

func classOf(class byte) func(byte) bool {
	lower := func(c byte) bool { return c >= 'a' && c <= 'z' }
	upper := func(c byte) bool { return c >= 'A' && c <= 'Z' }
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	graph := func(c byte) bool { return c > ' ' && c < 0x7f }
	switch class {
	case 'a':
		return func(c byte) bool { return lower(c) || upper(c) }
	case 'c':
		return func(c byte) bool { return c < ' ' || c == 0x7f }
	case 'd':
		return digit
	case 'g':
		return graph
	case 'l':
		return lower
	case 'p':
		return func(c byte) bool { return graph(c) && !lower(c) && !upper(c) && !digit(c) }
	case 's':
		return func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
	case 'u':
		return upper
	case 'w':
		return func(c byte) bool { return lower(c) || upper(c) || digit(c) }
	case 'x':
		return func(c byte) bool { return digit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }
	case 'z':
		return func(c byte) bool { return c == 0 }
	}
	return nil
}
