package kit

import (
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Phase that a function runs in.
type Phase uint8

// Phases, as bits of what a method allows.
const (
	Rewrite Phase = 1 << iota
	Access
	HeaderFilter
	BodyFilter
	Log
	Certificate

	anyPhase  = Rewrite | Access | HeaderFilter | BodyFilter | Log
	afterAuth = Access | HeaderFilter | BodyFilter | Log
	toClient  = HeaderFilter | BodyFilter | Log
	mayAnswer = Rewrite | Access | HeaderFilter
	toServer  = Rewrite | Access
)

func (p Phase) String() string {
	var names []string
	for i, name := range []string{"rewrite", "access", "header_filter", "body_filter", "log", "certificate"} {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// session is what one exchange has in Lua.
type session struct {
	x       *pdk.Exchange
	machine *lua.Machine
	shared  *glua.LTable
	ctx     *glua.LTable
	plugins map[string]*glua.LTable

	// Of the run that goes on.
	phase  Phase
	plugin *Scope

	// Of a body filter.
	piece     []byte
	last      bool
	chunk     glua.LValue // ngx.arg[1] when it was set
	collected *Collected
	finished  bool // ngx.arg[2] was set

	// printed is what ngx.say and ngx.print collect for an answer.
	printed []byte
	said    bool
}

var sessions = sync.Pool{New: func() any { return new(session) }} //nolint:gochecknoglobals // a pool

// sessionOf finds what an exchange has, or begins it.
func sessionOf(x *pdk.Exchange) *session {
	if s, ok := x.Script.(*session); ok {
		return s
	}
	s := sessions.Get().(*session) //nolint:forcetypeassert // as New made it
	s.x, x.Script = x, s
	x.OnRelease(s)
	return s
}

// Release follows pdk.Releaser: the exchange is over.
func (s *session) Release() {
	if s.shared != nil || s.ctx != nil || len(s.plugins) > 0 {
		s.machine.Lock()
		for _, t := range s.plugins {
			s.machine.Forget(t)
		}
		s.machine.Forget(s.shared)
		s.machine.Forget(s.ctx)
		s.machine.Unlock()
	}
	plugins, printed := s.plugins, s.printed[:0]
	if cap(printed) > 64<<10 {
		printed = nil
	}
	clear(plugins)
	*s = session{plugins: plugins, printed: printed}
	sessions.Put(s)
}

// table makes a table of the exchange that lives until it ends.
func (s *session) table(l *glua.LState) *glua.LTable {
	lua.RunOf(l).Alloc(l, 128)
	t := l.CreateTable(0, 4) // the interpreter makes room for 32 when it is not told
	s.machine = lua.RunOf(l).Machine()
	s.machine.Keep(t)
	return t
}

func (s *session) log(k *kit, level hclog.Level, message string, args ...any) {
	if level < k.log.GetLevel() {
		return
	}
	k.log.Log(level, message, append([]any{"plugin", s.plugin.Plugin, "plugin_id", s.plugin.ID, "request_id", strings.Clone(s.x.ID)}, args...)...)
}

// allow raises Kong's error for methods that a phase does not have.
func (c call) allow(phases Phase) {
	if c.s.phase&phases == 0 {
		c.errorf("function cannot be called in %s phase (only in: %s)", c.s.phase, phases)
	}
}

// ctxGet is kong.ctx.shared and kong.ctx.plugin.
func ctxGet(c call) int {
	switch name := c.Get(2).String(); name {
	case "shared":
		if c.s.shared == nil {
			c.s.shared = c.s.table(c.LState)
		}
		c.Push(c.s.shared)
	case "plugin":
		t := c.s.plugins[c.s.plugin.ID]
		if t == nil {
			t = c.s.table(c.LState)
			if c.s.plugins == nil {
				c.s.plugins = map[string]*glua.LTable{}
			}
			c.s.plugins[c.s.plugin.ID] = t
		}
		c.Push(t)
	default:
		return c.giveNil()
	}
	return 1
}

// ctxSet replaces kong.ctx.shared or kong.ctx.plugin.
func ctxSet(c call) int {
	name := c.Get(2).String()
	t, ok := c.Get(3).(*glua.LTable)
	if !ok || name != "shared" && name != "plugin" {
		c.errorf("kong.ctx.%s can not be set", name)
	}
	c.s.machine = lua.RunOf(c.LState).Machine()
	if name == "shared" {
		c.s.machine.Forget(c.s.shared)
		c.s.shared = t
	} else {
		if c.s.plugins == nil {
			c.s.plugins = map[string]*glua.LTable{}
		}
		c.s.machine.Forget(c.s.plugins[c.s.plugin.ID])
		c.s.plugins[c.s.plugin.ID] = t
	}
	c.s.machine.Keep(t)
	return 0
}

// Error is why a function failed: the plugin's Build or phase wraps it.
func failed(field string, err error) error { return fmt.Errorf("%s: %w", field, err) }
