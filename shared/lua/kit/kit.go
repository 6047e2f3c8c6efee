// Package kit is what functions in Lua have at hand: kong.* as Kong's plugin kit documents
// it, and of ngx.* what people use beside it. All of it works on a pdk.Exchange.
//
// A Function is compiled at Build and called in phases. What functions of one exchange
// share (kong.ctx.shared, ngx.ctx) lives on the machine that the exchange began on and
// ends with it. Strings that a function gets are its own: it may keep them.
//
// The package refuses what would reach past the exchange: files, processes, sockets.
package kit

import (
	"net/netip"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"
	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/version"
)

// MaxBody bounds the bodies that functions may read or collect, in bytes.
const MaxBody = 16 << 20

// Options of a pool with the kit.
type Options struct {
	Limits  lua.Limits
	Sandbox lua.Sandbox
	// Machines is how many there are; 0 means one for each processor.
	Machines int
	// NodeID is what kong.node.get_id returns.
	NodeID string
	// Trusted tells whether an address is in trusted_ips; nil trusts none.
	Trusted func(netip.Addr) bool
	// Vault resolves {vault://...} for kong.vault.get; nil resolves none. It answers from
	// memory, or waits for the vault.
	Vault func(reference string) (string, error)
	// Settings are what kong.configuration shows.
	Settings map[string]string
	// Logger gets what functions log; nil logs nothing.
	Logger hclog.Logger
}

// kit is what all machines of a pool share.
type kit struct {
	o        Options
	log      hclog.Logger
	hostname string
	modules  map[string]glua.LGFunction
}

// NewPool makes a pool of machines with kong and ngx.
func NewPool(o Options) (*lua.Pool, error) {
	k := &kit{o: o, log: o.Logger}
	if k.log == nil {
		k.log = hclog.NewNullLogger()
	}
	k.hostname, _ = os.Hostname()
	k.modules = modules()
	return lua.NewPool(lua.Options{
		Limits: o.Limits, Sandbox: o.Sandbox, Machines: o.Machines, Open: k.open, Modules: k.modules,
		Print: func(r *lua.Run, text string) {
			if s, ok := r.Value.(*session); ok {
				s.log(k, hclog.Info, text)
			}
		},
		Worn: func(live int64) {
			k.log.Warn("functions in Lua keep too much from request to request: what they kept is dropped", "bytes", live)
		},
	})
}

// call is one call of a function of the kit.
type call struct {
	*glua.LState
	s *session
	k *kit
}

type method func(c call) int

// open makes kong and ngx on a machine.
func (k *kit) open(_ *lua.Machine, l *glua.LState) {
	kong := l.NewTable()
	l.SetGlobal("kong", kong)
	kong.RawSetString("version", glua.LString(version.Kong))
	kong.RawSetString("version_num", glua.LNumber(3009003))
	kong.RawSetString("default_workspace", glua.LString("0dfbdb24-1111-5a35-9d3f-5f1b9f7f3d3e"))
	configuration := l.NewTable()
	for name, value := range k.o.Settings {
		configuration.RawSetString(name, glua.LString(value))
	}
	kong.RawSetString("configuration", configuration)
	for path, library := range map[string]map[string]method{
		"request": requestMethods(), "response": responseMethods(), "service": serviceMethods(), "service.request": upstreamMethods(),
		"service.response": upstreamResponseMethods(), "client": clientMethods(), "client.tls": tlsMethods(), "router": routerMethods(),
		"node": nodeMethods(), "cluster": clusterMethods(), "ip": ipMethods(), "nginx": nginxMethods(), "plugin": pluginMethods(),
		"vault": vaultMethods(), "table": tableMethods(), "log": logMethods(), "log.inspect": {}, "log.deprecation": {}, "cache": cacheMethods(),
	} {
		k.library(l, at(l, kong, path), library)
	}
	k.callable(l, at(l, kong, "log"), logNotice)
	k.callable(l, at(l, kong, "log.inspect"), logInspect)
	k.callable(l, at(l, kong, "log.deprecation"), logDeprecation)
	ctx := at(l, kong, "ctx")
	k.index(l, ctx, ctxGet, ctxSet)
	k.openNgx(l)
}

// at finds or makes the table at a path.
func at(l *glua.LState, t *glua.LTable, path string) *glua.LTable {
	for part := range strings.SplitSeq(path, ".") {
		next, ok := t.RawGetString(part).(*glua.LTable)
		if !ok {
			next = l.NewTable()
			t.RawSetString(part, next)
		}
		t = next
	}
	return t
}

// wrap makes a Lua function of a method.
func (k *kit) wrap(m method) glua.LGFunction {
	return func(l *glua.LState) int {
		s, ok := lua.RunOf(l).Value.(*session)
		if !ok {
			l.RaiseError("no request found")
		}
		return m(call{l, s, k})
	}
}

func (k *kit) library(l *glua.LState, t *glua.LTable, methods map[string]method) {
	for name, m := range methods {
		t.RawSetString(name, l.NewFunction(k.wrap(m)))
	}
}

func meta(l *glua.LState, t *glua.LTable) *glua.LTable {
	m, ok := t.Metatable.(*glua.LTable)
	if !ok {
		m = l.NewTable()
		t.Metatable = m
	}
	return m
}

// callable lets a table be called; the method gets the arguments without the table.
func (k *kit) callable(l *glua.LState, t *glua.LTable, m method) {
	meta(l, t).RawSetString("__call", l.NewFunction(k.wrap(func(c call) int {
		c.Remove(1)
		return m(c)
	})))
}

// index has get and set answer for the fields of a table; set may be nil.
func (k *kit) index(l *glua.LState, t *glua.LTable, get, set method) {
	meta(l, t).RawSetString("__index", l.NewFunction(k.wrap(get)))
	if set != nil {
		meta(l, t).RawSetString("__newindex", l.NewFunction(k.wrap(set)))
	}
}

// give pushes a string of the exchange as one that the function may keep.
func (c call) give(s string) int {
	lua.RunOf(c.LState).Alloc(c.LState, len(s)+24)
	c.Push(glua.LString(strings.Clone(s)))
	return 1
}

func (c call) giveNumber(n float64) int {
	c.Push(glua.LNumber(n))
	return 1
}

func (c call) giveBool(v bool) int {
	c.Push(glua.LBool(v))
	return 1
}

func (c call) giveNil() int {
	c.Push(glua.LNil)
	return 1
}

// fail pushes nil and a message.
func (c call) fail(message string) int {
	c.Push(glua.LNil)
	c.Push(glua.LString(message))
	return 2
}

// errorf raises an error at the caller's line.
func (c call) errorf(format string, args ...any) { c.RaiseError(format, args...) }

// str is an argument that must be a string.
func (c call) str(n int, what string) string {
	s, ok := c.Get(n).(glua.LString)
	if !ok {
		c.errorf("%s must be a string", what)
	}
	return string(s)
}

// text is an argument that is a string, or what may stand for one.
func text(v glua.LValue) (string, bool) {
	switch v := v.(type) {
	case glua.LString:
		return string(v), true
	case glua.LNumber:
		return lua.Number(float64(v)), true
	case glua.LBool:
		return v.String(), true
	}
	return "", false
}

// bounded is an optional count between 1 and 1000.
func (c call) bounded(n int, name string) int {
	switch v := c.Get(n).(type) {
	case *glua.LNilType:
		return 100
	case glua.LNumber:
		if v < 1 {
			c.errorf("%s must be >= 1", name)
		}
		if v > 1000 {
			c.errorf("%s must be <= 1000", name)
		}
		return int(v)
	}
	c.errorf("%s must be a number", name)
	return 0
}
