package lua

import (
	"fmt"
	"slices"
	"strings"

	glua "github.com/yuin/gopher-lua"
)

// Mode is what the setting untrusted_lua says.
type Mode uint8

// Modes of functions.
const (
	// Sandboxed functions see what can do no harm, kong and ngx.
	Sandboxed Mode = iota
	// On lets them see all globals of the machine, and require all modules.
	On
	// Off refuses them.
	Off
)

// ParseMode reads the setting untrusted_lua.
func ParseMode(s string) (Mode, bool) {
	switch s {
	case "sandbox", "":
		return Sandboxed, true
	case "on":
		return On, true
	case "off":
		return Off, true
	}
	return Sandboxed, false
}

// Sandbox is what the settings untrusted_lua, untrusted_lua_sandbox_requires and
// untrusted_lua_sandbox_environment say.
type Sandbox struct {
	Mode Mode
	// Requires are the modules that sandboxed functions may require.
	Requires []string
	// Environment are more globals that they may see, such as os.getenv.
	Environment []string
}

func (s *Sandbox) requires(module string) bool {
	return s.Mode == On || slices.Contains(s.Requires, module)
}

// safeNames are the globals of a sandboxed function beside kong, ngx and require.
const safeNames = `_VERSION assert error ipairs next pairs pcall print select tonumber tostring type unpack xpcall
bit.arshift bit.band bit.bnot bit.bor bit.bswap bit.bxor bit.lshift bit.rol bit.ror bit.rshift bit.tobit bit.tohex
coroutine.create coroutine.resume coroutine.running coroutine.status coroutine.wrap coroutine.yield
io.type jit.os jit.arch jit.version jit.version_num
math.abs math.acos math.asin math.atan math.atan2 math.ceil math.cos math.cosh math.deg math.exp math.floor math.fmod
math.frexp math.huge math.ldexp math.log math.log10 math.max math.min math.modf math.pi math.pow math.rad math.random
math.sin math.sinh math.sqrt math.tan math.tanh
os.clock os.date os.difftime os.time
string.byte string.char string.find string.format string.gmatch string.gsub string.len string.lower string.match string.rep
string.reverse string.sub string.upper
table.clear table.clone table.concat table.foreach table.foreachi table.getn table.insert table.isarray table.isempty
table.maxn table.move table.new table.nkeys table.pack table.remove table.sort table.unpack`

// environment makes the globals of one function: what it sets stays its own.
func (m *Machine) environment() *glua.LTable {
	l := m.main
	env, meta := l.NewTable(), l.NewTable()
	if m.pool.sandbox.Mode == On {
		meta.RawSetString("__index", m.main.G.Global)
	} else {
		if m.safe == nil {
			m.safe = m.sandboxed()
			m.Keep(m.safe)
		}
		meta.RawSetString("__index", m.safe)
	}
	env.Metatable = meta
	return env
}

func (m *Machine) sandboxed() *glua.LTable {
	l := m.main
	safe := l.NewTable()
	for name := range strings.FieldsSeq(safeNames) {
		link(l, safe, name)
	}
	safe.ForEach(func(name, v glua.LValue) {
		if t, ok := v.(*glua.LTable); ok {
			protect(l, name.String(), t)
		}
	})
	for _, name := range []string{"kong", "ngx", "require"} {
		safe.RawSetString(name, l.GetGlobal(name))
	}
	for _, name := range m.pool.sandbox.Environment {
		link(l, safe, name)
	}
	safe.RawSetString("_G", safe)
	return safe
}

// link shows a global, such as string.find, in safe.
func link(l *glua.LState, safe *glua.LTable, path string) {
	var v glua.LValue = l.G.Global
	into := safe
	parts := strings.Split(path, ".")
	for i, part := range parts {
		t, ok := v.(*glua.LTable)
		if !ok {
			return
		}
		if v = t.RawGetString(part); v == glua.LNil {
			return
		}
		if i == len(parts)-1 {
			into.RawSetString(part, v)
			return
		}
		next, ok := into.RawGetString(part).(*glua.LTable)
		if !ok {
			next = l.NewTable()
			into.RawSetString(part, next)
		}
		into = next
	}
}

func protect(l *glua.LState, name string, t *glua.LTable) {
	meta := l.NewTable()
	meta.RawSetString("__newindex", l.NewFunction(func(l *glua.LState) int {
		l.Error(glua.LString(fmt.Sprintf("Cannot modify %s.%s. Protected by the sandbox.", name, l.Get(2).String())), 0)
		return 0
	}))
	t.Metatable = meta
}

// ownModules are what require finds without the host.
func ownModules() map[string]glua.LGFunction {
	library := func(name string) glua.LGFunction {
		return func(l *glua.LState) int { l.Push(l.G.Global.RawGetString(name)); return 1 }
	}
	member := func(name string) glua.LGFunction {
		return func(l *glua.LState) int {
			t, _ := l.G.Global.RawGetString("table").(*glua.LTable)
			l.Push(t.RawGetString(name))
			return 1
		}
	}
	return map[string]glua.LGFunction{
		"bit": library("bit"), "string": library("string"), "table": library("table"), "math": library("math"),
		"table.new": member("new"), "table.clear": member("clear"), "table.clone": member("clone"), "table.isempty": member("isempty"),
		"table.isarray": member("isarray"), "table.nkeys": member("nkeys"),
		"cjson": openJSON(false), "cjson.safe": openJSON(true),
	}
}
