package lua

import (
	"strings"

	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/schema/luapattern"
)

// stringLibrary is string: all of it our own, because what a call makes and how long a
// pattern takes must be paid for.
func stringLibrary() map[string]glua.LGFunction {
	return map[string]glua.LGFunction{
		"byte": stringByte, "char": stringChar, "find": stringFind, "format": stringFormat, "gmatch": stringGmatch, "gsub": stringGsub,
		"len": stringLen, "lower": mapped(strings.ToLower), "match": stringMatch, "rep": stringRep, "reverse": stringReverse,
		"sub": stringSub, "upper": mapped(strings.ToUpper),
	}
}

// text is an argument as a string: strings and numbers are.
func text(l *glua.LState, n int) string {
	switch v := l.Get(n).(type) {
	case glua.LString:
		return string(v)
	case glua.LNumber:
		return Number(float64(v))
	}
	return l.CheckString(n)
}

// give pushes a string that was made.
func give(l *glua.LState, s string) int {
	l.Push(glua.LString(s))
	return 1
}

func stringLen(l *glua.LState) int {
	l.Push(glua.LNumber(len(text(l, 1))))
	return 1
}

func mapped(change func(string) string) glua.LGFunction {
	return func(l *glua.LState) int {
		s := text(l, 1)
		r := RunOf(l)
		r.Alloc(l, len(s)+stringBytes)
		r.Work(l, len(s)/32)
		for i := range len(s) {
			if s[i] >= 0x80 {
				return give(l, mapASCII(s, change))
			}
		}
		return give(l, change(s))
	}
}

// mapASCII changes ASCII letters only, as C's locale does.
func mapASCII(s string, change func(string) string) string {
	b := []byte(s)
	for i, c := range b {
		if c < 0x80 {
			b[i] = change(string(rune(c)))[0]
		}
	}
	return string(b)
}

func stringReverse(l *glua.LState) int {
	s := text(l, 1)
	RunOf(l).Alloc(l, len(s)+stringBytes)
	b := make([]byte, len(s))
	for i := range len(s) {
		b[len(s)-1-i] = s[i]
	}
	return give(l, string(b))
}

func stringRep(l *glua.LState) int {
	s, n, sep := text(l, 1), l.CheckInt(2), ""
	if l.GetTop() > 2 {
		sep = text(l, 3)
	}
	if n <= 0 || len(s)+len(sep) == 0 {
		return give(l, "")
	}
	if each := len(s) + len(sep); n > (1<<40)/each {
		n = (1 << 40) / each // more than any machine may have
	}
	r := RunOf(l)
	r.Alloc(l, n*(len(s)+len(sep))+stringBytes)
	r.Work(l, n*(len(s)+len(sep))/64)
	if sep == "" {
		return give(l, strings.Repeat(s, n))
	}
	return give(l, strings.Repeat(s+sep, n-1)+s)
}

// span turns Lua's positions into offsets.
func span(from, to, length int) (int, int) {
	if from < 0 {
		from = max(from+length+1, 1)
	} else if from == 0 {
		from = 1
	}
	if to < 0 {
		to += length + 1
	}
	to = min(to, length)
	if from > to {
		return 0, 0
	}
	return from - 1, to
}

func stringSub(l *glua.LState) int {
	s := text(l, 1)
	from, to := span(l.CheckInt(2), l.OptInt(3, -1), len(s))
	RunOf(l).Alloc(l, stringBytes)
	return give(l, s[from:to])
}

func stringByte(l *glua.LState) int {
	s := text(l, 1)
	first := l.OptInt(2, 1)
	from, to := span(first, l.OptInt(3, first), len(s))
	if to-from > 1<<15 {
		l.RaiseError("string slice too long")
	}
	for i := from; i < to; i++ {
		l.Push(glua.LNumber(s[i]))
	}
	return to - from
}

func stringChar(l *glua.LState) int {
	n := l.GetTop()
	RunOf(l).Alloc(l, n+stringBytes)
	b := make([]byte, n)
	for i := range b {
		c := l.CheckInt(i + 1)
		if c < 0 || c > 255 {
			l.ArgError(i+1, "invalid value")
		}
		b[i] = byte(c)
	}
	return give(l, string(b))
}

// pattern compiles a pattern, or takes it from the machine's cache.
func (r *Run) pattern(l *glua.LState, source string) *luapattern.Pattern {
	m := r.m
	if p, ok := m.patterns[source]; ok {
		return p
	}
	r.Work(l, 4*len(source)+32)
	p, err := luapattern.Compile(source)
	if err != nil {
		l.RaiseError("%s", err.Error())
	}
	if len(m.patterns) >= 256 {
		clear(m.patterns)
	}
	if len(source) <= 1024 {
		m.patterns[strings.Clone(source)] = p
	}
	return p
}

// search looks for a pattern and pays for the steps that it took.
func (r *Run) search(l *glua.LState, p *luapattern.Pattern, c *luapattern.Captures, s string, init int) bool {
	have := r.left + r.tick
	steps := have
	ok := p.Find(c, s, init, &steps)
	r.Work(l, (have-steps)/2+1)
	if steps <= 0 {
		r.halt(ErrInstructions)
		l.RaiseError("%s", r.stop.Error())
	}
	return ok
}

// start is the offset of an init argument.
func start(l *glua.LState, n, length int) int {
	init := l.OptInt(n, 1)
	if init < 0 {
		init = max(init+length+1, 1)
	}
	return max(init, 1) - 1
}

func stringFind(l *glua.LState) int { return findOrMatch(l, true) }

func stringMatch(l *glua.LState) int { return findOrMatch(l, false) }

func findOrMatch(l *glua.LState, find bool) int {
	s, source := text(l, 1), text(l, 2)
	r := RunOf(l)
	init := start(l, 3, len(s))
	if init > len(s) {
		l.Push(glua.LNil)
		return 1
	}
	if find && (l.ToBool(4) || !strings.ContainsAny(source, "^$*+?.([%-")) {
		r.Work(l, (len(s)-init)/16)
		i := strings.Index(s[init:], source)
		if i < 0 {
			l.Push(glua.LNil)
			return 1
		}
		l.Push(glua.LNumber(init + i + 1))
		l.Push(glua.LNumber(init + i + len(source)))
		return 2
	}
	var c luapattern.Captures
	if !r.search(l, r.pattern(l, source), &c, s, init) {
		l.Push(glua.LNil)
		return 1
	}
	if find {
		l.Push(glua.LNumber(c.Start[0] + 1))
		l.Push(glua.LNumber(c.End[0]))
		return 2 + pushCaptures(l, &c, s, false)
	}
	return pushCaptures(l, &c, s, true)
}

// pushCaptures pushes the groups; the whole match when there are none and whole is set.
func pushCaptures(l *glua.LState, c *luapattern.Captures, s string, whole bool) int {
	if c.N == 0 {
		if !whole {
			return 0
		}
		l.Push(capture(c, s, 0))
		return 1
	}
	for i := 1; i <= c.N; i++ {
		l.Push(capture(c, s, i))
	}
	return c.N
}

func capture(c *luapattern.Captures, s string, i int) glua.LValue {
	if c.Position[i] {
		return glua.LNumber(c.Start[i] + 1)
	}
	return glua.LString(s[c.Start[i]:c.End[i]])
}

func stringGmatch(l *glua.LState) int {
	s, source := text(l, 1), text(l, 2)
	RunOf(l).pattern(l, source)
	RunOf(l).Alloc(l, closureBytes+3*upvalueBytes)
	l.Push(l.NewClosure(gmatchNext, glua.LString(s), glua.LString(source), glua.LNumber(0)))
	return 1
}

// gmatchNext is the iterator; its upvalues are the text, the pattern and where to go on.
func gmatchNext(l *glua.LState) int {
	s, source := string(l.Get(glua.UpvalueIndex(1)).(glua.LString)), string(l.Get(glua.UpvalueIndex(2)).(glua.LString))
	at := int(l.Get(glua.UpvalueIndex(3)).(glua.LNumber))
	r := RunOf(l)
	var c luapattern.Captures
	if at > len(s) || !r.search(l, r.pattern(l, source), &c, s, at) {
		l.Push(glua.LNil)
		return 1
	}
	next := c.End[0]
	if next == c.Start[0] {
		next++
	}
	l.Replace(glua.UpvalueIndex(3), glua.LNumber(next))
	return pushCaptures(l, &c, s, true)
}
