package lua

import (
	"fmt"
	"os"
	"strings"

	glua "github.com/yuin/gopher-lua"
)

// open makes the globals of a machine. What reaches files or processes is not there in
// any mode.
func (m *Machine) open() {
	l := m.main
	for _, library := range []struct {
		name string
		open glua.LGFunction
	}{{"", glua.OpenBase}, {glua.MathLibName, glua.OpenMath}, {glua.TabLibName, glua.OpenTable}, {glua.CoroutineLibName, glua.OpenCoroutine}, {glua.OsLibName, glua.OpenOs}} {
		l.Push(l.NewFunction(library.open))
		l.Push(glua.LString(library.name))
		l.Call(1, 0)
	}
	for _, name := range []string{"dofile", "loadfile", "module", "newproxy", "_printregs", "collectgarbage"} {
		l.SetGlobal(name, glua.LNil)
	}
	set := func(name string, fn glua.LGFunction) { l.SetGlobal(name, l.NewFunction(fn)) }
	set("tostring", func(l *glua.LState) int { l.CheckAny(1); return give(l, ToString(l, l.Get(1))) })
	set("tonumber", toNumber(global(l, "tonumber")))
	set("print", printed)
	set("unpack", unpack)
	set("require", require)
	set("load", load)
	set("loadstring", load)
	set("rawset", func(l *glua.LState) int {
		t := l.CheckTable(1)
		growth := entryBytes
		if n, ok := l.Get(2).(glua.LNumber); ok {
			growth = RunOf(l).m.pool.growth(t, float64(n))
		}
		RunOf(l).Alloc(l, growth)
		t.RawSet(l.CheckAny(2), l.CheckAny(3))
		l.SetTop(1)
		return 1
	})
	l.SetGlobal("_VERSION", glua.LString("Lua 5.1"))
	l.SetGlobal("jit", texts(l, map[string]string{"os": "Linux", "arch": "x64", "version": "LuaJIT 2.1", "status": ""}))
	l.GetGlobal("jit").(*glua.LTable).RawSetString("version_num", glua.LNumber(20100)) //nolint:forcetypeassert // made above

	table := l.GetGlobal(glua.TabLibName).(*glua.LTable) //nolint:forcetypeassert // the interpreter's
	sort := table.RawGetString("sort").(*glua.LFunction) //nolint:forcetypeassert // the interpreter's
	l.SetFuncs(table, tableLibrary())
	table.RawSetString("sort", l.NewFunction(sorted(sort.GFunction)))

	library := l.SetFuncs(l.NewTable(), stringLibrary())
	l.SetGlobal("string", library)
	meta := l.NewTable()
	meta.RawSetString("__index", library)
	l.SetMetatable(glua.LString(""), meta)

	l.SetGlobal("bit", l.SetFuncs(l.NewTable(), bitLibrary()))
	openCoroutines(l)

	clock := l.GetGlobal(glua.OsLibName).(*glua.LTable) //nolint:forcetypeassert // the interpreter's
	for _, name := range []string{"execute", "exit", "remove", "rename", "setenv", "setlocale", "tmpname"} {
		clock.RawSetString(name, glua.LNil)
	}
	clock.RawSetString("getenv", l.NewFunction(func(l *glua.LState) int {
		if v, ok := os.LookupEnv(l.CheckString(1)); ok {
			return give(l, v)
		}
		l.Push(glua.LNil)
		return 1
	}))
	l.SetGlobal("io", l.SetFuncs(l.NewTable(), map[string]glua.LGFunction{"type": func(l *glua.LState) int { l.Push(glua.LNil); return 1 }}))
}

// global is a function of the interpreter.
func global(l *glua.LState, name string) glua.LGFunction {
	return l.GetGlobal(name).(*glua.LFunction).GFunction //nolint:forcetypeassert // the interpreter's
}

func texts(l *glua.LState, values map[string]string) *glua.LTable {
	t := l.NewTable()
	for k, v := range values {
		t.RawSetString(k, glua.LString(v))
	}
	return t
}

// toNumber reads numbers as Lua does; other bases are the interpreter's.
func toNumber(other glua.LGFunction) glua.LGFunction {
	return func(l *glua.LState) int {
		if l.OptInt(2, 10) != 10 {
			return other(l)
		}
		switch v := l.CheckAny(1).(type) {
		case glua.LNumber:
			l.Push(v)
		case glua.LString:
			if f, ok := parseNumber(string(v)); ok {
				l.Push(glua.LNumber(f))
			} else {
				l.Push(glua.LNil)
			}
		default:
			l.Push(glua.LNil)
		}
		return 1
	}
}

func printed(l *glua.LState) int {
	r := RunOf(l)
	if r.m.pool.options.Print == nil {
		return 0
	}
	parts := make([]string, l.GetTop())
	for i := range parts {
		parts[i] = ToString(l, l.Get(i+1))
		r.Alloc(l, len(parts[i]))
	}
	r.m.pool.options.Print(r, strings.Join(parts, "\t"))
	return 0
}

// load compiles a string, or what a function gives in pieces.
func load(l *glua.LState) int {
	r := RunOf(l)
	var source string
	if fn, ok := l.Get(1).(*glua.LFunction); ok {
		b := newBuffer(l)
		for {
			l.Push(fn)
			l.Call(0, 1)
			piece, ok := l.Get(-1).(glua.LString)
			l.Pop(1)
			if !ok || piece == "" {
				break
			}
			b.write(string(piece))
		}
		source = b.done()
	} else {
		source = text(l, 1)
	}
	r.Work(l, 8*len(source))
	r.Alloc(l, 32*len(source))
	proto, err := compile(source)
	if err != nil {
		l.Push(glua.LNil)
		l.Push(glua.LString(err.Error()))
		return 2
	}
	fn := l.NewFunctionFromProto(proto)
	fn.Env = r.m.environment()
	if env, ok := l.Get(4).(*glua.LTable); ok {
		fn.Env = env
	}
	l.Push(fn)
	return 1
}

func require(l *glua.LState) int {
	r, name := RunOf(l), l.CheckString(1)
	m := r.m
	if !m.pool.sandbox.requires(name) {
		l.Error(glua.LString(fmt.Sprintf("require '%s' not allowed within sandbox", name)), 0)
	}
	if v, ok := m.modules[name]; ok {
		l.Push(v)
		return 1
	}
	open, ok := m.pool.options.Modules[name]
	if !ok {
		if open, ok = ownModules()[name]; !ok {
			l.RaiseError("module '%s' not found: it does not come with this gateway", name)
		}
	}
	l.SetTop(0)
	open(l)
	v := l.Get(-1)
	m.modules[name] = v
	m.Keep(asTable(v))
	l.Push(v)
	return 1
}

func asTable(v glua.LValue) *glua.LTable {
	t, _ := v.(*glua.LTable)
	return t
}
