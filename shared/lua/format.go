package lua

import (
	"fmt"
	"strconv"
	"strings"

	glua "github.com/yuin/gopher-lua"
)

func stringFormat(l *glua.LState) int {
	format, b := text(l, 1), newBuffer(l)
	argument := 1
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.writeByte(format[i])
			continue
		}
		if i++; i < len(format) && format[i] == '%' {
			b.writeByte('%')
			continue
		}
		from := i
		for i < len(format) && strings.IndexByte("-+ #0", format[i]) >= 0 {
			i++
		}
		if i-from > 5 {
			l.RaiseError("invalid format (repeated flags)")
		}
		i = digits(l, format, i)
		if i < len(format) && format[i] == '.' {
			i = digits(l, format, i+1)
		}
		if i >= len(format) {
			l.RaiseError("invalid option '%%' to 'format'")
		}
		argument++
		if l.GetTop() < argument {
			l.ArgError(argument, "no value")
		}
		b.write(formatted(l, format[from:i], format[i], argument))
	}
	return give(l, b.done())
}

// digits skips at most two.
func digits(l *glua.LState, format string, i int) int {
	from := i
	for i < len(format) && digit(format[i]) {
		i++
	}
	if i-from > 2 {
		l.RaiseError("invalid format (width or precision too long)")
	}
	return i
}

func formatted(l *glua.LState, flags string, verb byte, n int) string {
	switch verb {
	case 'd', 'i':
		return fmt.Sprintf("%"+flags+"d", int64(l.CheckNumber(n)))
	case 'u':
		return fmt.Sprintf("%"+flags+"d", uint64(int64(l.CheckNumber(n))))
	case 'c':
		return string([]byte{byte(l.CheckInt(n))})
	case 'o', 'x', 'X':
		return fmt.Sprintf("%"+flags+string(verb), uint64(int64(l.CheckNumber(n))))
	case 'e', 'E', 'f', 'F', 'g', 'G', 'a', 'A':
		f := float64(l.CheckNumber(n))
		if !strings.Contains(flags, ".") && verb|0x20 == 'g' {
			flags += ".6" // Go would write as many digits as it takes
		}
		switch verb {
		case 'a':
			verb = 'x'
		case 'A':
			verb = 'X'
		}
		if s := fmt.Sprintf("%"+flags+string(verb), f); f == f && f < maxFloat && f > -maxFloat {
			return s
		}
		width, _ := strconv.Atoi(strings.TrimLeft(strings.SplitN(flags, ".", 2)[0], "-+ #0"))
		return fmt.Sprintf("%*s", width, Number(f))
	case 'q':
		return quote(text(l, n))
	case 's':
		return fmt.Sprintf("%"+flags+"s", ToString(l, l.Get(n)))
	}
	l.RaiseError("invalid option '%%%c' to 'format'", verb)
	return ""
}

const maxFloat = 1.797693134862315708145274237317043567981e308

// quote writes a string that Lua reads back.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\', '\n':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\r':
			b.WriteString("\\r")
		case 0:
			b.WriteString("\\000")
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// ToString writes any value as tostring does.
func ToString(l *glua.LState, v glua.LValue) string {
	switch v := v.(type) {
	case glua.LString:
		return string(v)
	case glua.LNumber:
		return Number(float64(v))
	case *glua.LTable, *glua.LUserData:
		if fn, ok := l.GetMetaField(v, "__tostring").(*glua.LFunction); ok {
			l.Push(fn)
			l.Push(v)
			l.Call(1, 1)
			out := l.Get(-1)
			l.Pop(1)
			s, ok := out.(glua.LString)
			if !ok {
				l.RaiseError("'tostring' must return a string to 'print'")
			}
			return string(s)
		}
	}
	return v.String()
}
