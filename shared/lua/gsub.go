package lua

import (
	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/schema/luapattern"
)

func stringGsub(l *glua.LState) int {
	s, r := text(l, 1), RunOf(l)
	p := r.pattern(l, text(l, 2))
	replacement := l.Get(3)
	switch replacement.(type) {
	case glua.LString, glua.LNumber, *glua.LTable, *glua.LFunction:
	default:
		l.ArgError(3, "string/function/table expected")
	}
	most := l.OptInt(4, len(s)+1)
	b := newBuffer(l)
	var c luapattern.Captures
	at, n := 0, 0
	for n < most && at <= len(s) {
		if !r.search(l, p, &c, s, at) {
			break
		}
		n++
		b.write(s[at:c.Start[0]])
		replace(l, b, &c, s, replacement)
		if c.End[0] > c.Start[0] {
			at = c.End[0]
		} else {
			// An empty match: the character behind it stays.
			if c.End[0] < len(s) {
				b.writeByte(s[c.End[0]])
			}
			at = c.End[0] + 1
		}
		if p.Anchored() {
			break
		}
	}
	if at < len(s) {
		b.write(s[at:])
	}
	l.Push(glua.LString(b.done()))
	l.Push(glua.LNumber(n))
	return 2
}

// replace writes what stands for one match.
func replace(l *glua.LState, b *buffer, c *luapattern.Captures, s string, by glua.LValue) {
	var v glua.LValue
	switch by := by.(type) {
	case glua.LNumber:
		v = by
	case glua.LString:
		template(l, b, c, s, string(by))
		return
	case *glua.LTable:
		v = l.GetTable(by, capture(c, s, min(1, c.N)))
	case *glua.LFunction:
		l.Push(by)
		l.Call(pushCaptures(l, c, s, true), 1)
		v = l.Get(-1)
		l.Pop(1)
	}
	var out string
	switch v := v.(type) {
	case glua.LString:
		out = string(v)
	case glua.LNumber:
		out = Number(float64(v))
	default:
		if glua.LVAsBool(v) {
			l.RaiseError("invalid replacement value (a %s)", v.Type().String())
		}
		out = s[c.Start[0]:c.End[0]]
	}
	b.write(out)
}

// template writes a replacement with %1 and the like.
func template(l *glua.LState, b *buffer, c *luapattern.Captures, s, by string) {
	for i := 0; i < len(by); i++ {
		if by[i] != '%' || i+1 == len(by) {
			b.writeByte(by[i])
			continue
		}
		i++
		group := int(by[i]) - '0'
		switch {
		case group < 0 || group > 9:
			b.writeByte(by[i])
			continue
		case group == 1 && c.N == 0:
			group = 0
		case group > c.N:
			l.RaiseError("invalid capture index")
		}
		var out string
		switch v := capture(c, s, group).(type) {
		case glua.LString:
			out = string(v)
		case glua.LNumber:
			out = Number(float64(v))
		}
		b.write(out)
	}
}
