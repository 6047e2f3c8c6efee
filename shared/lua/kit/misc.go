package kit

import (
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/record"
)

func ipMethods() map[string]method {
	return map[string]method{
		"is_trusted": func(c call) int {
			a, err := netip.ParseAddr(c.str(1, "address"))
			return c.giveBool(err == nil && c.k.o.Trusted != nil && c.k.o.Trusted(a.Unmap()))
		},
	}
}

func vaultMethods() map[string]method {
	return map[string]method{
		"is_reference": func(c call) int {
			s, ok := c.Get(1).(glua.LString)
			return c.giveBool(ok && strings.HasPrefix(string(s), "{vault://") && strings.HasSuffix(string(s), "}"))
		},
		"get": func(c call) int {
			reference := c.str(1, "reference")
			if c.k.o.Vault == nil {
				return c.fail("no vaults here [" + reference + "]")
			}
			var secret string
			var err error
			lua.RunOf(c.LState).Block(func() { secret, err = c.k.o.Vault(reference) })
			if err != nil {
				return c.fail(err.Error())
			}
			return c.give(secret)
		},
	}
}

func tableMethods() map[string]method {
	return map[string]method{
		"new": func(c call) int {
			c.Push(c.CreateTable(0, 0))
			return 1
		},
		"clear": func(c call) int {
			t := c.CheckTable(1)
			var keys []glua.LValue
			t.ForEach(func(key, _ glua.LValue) { keys = append(keys, key) })
			lua.RunOf(c.LState).Work(c.LState, len(keys))
			for _, key := range keys {
				t.RawSet(key, glua.LNil)
			}
			return 0
		},
		"merge": func(c call) int {
			out := c.CreateTable(0, 0)
			for i := 1; i <= 2; i++ {
				if t, ok := c.Get(i).(*glua.LTable); ok {
					t.ForEach(func(key, value glua.LValue) {
						lua.RunOf(c.LState).Alloc(c.LState, 160)
						out.RawSet(key, value)
					})
				}
			}
			c.Push(out)
			return 1
		},
	}
}

// levels by Kong's names.
var levels = map[string]hclog.Level{ //nolint:gochecknoglobals // a constant
	"emerg": hclog.Error, "alert": hclog.Error, "crit": hclog.Error, "err": hclog.Error, "warn": hclog.Warn, "notice": hclog.Info,
	"info": hclog.Info, "debug": hclog.Debug,
}

func logMethods() map[string]method {
	methods := map[string]method{
		"serialize":           serialize,
		"set_serialize_value": setSerializeValue,
	}
	for name, level := range levels {
		methods[name] = func(c call) int {
			if level >= c.k.log.GetLevel() {
				c.s.log(c.k, level, c.joined(1))
			}
			return 0
		}
	}
	return methods
}

// joined is the arguments from n on as one text.
func (c call) joined(n int) string {
	var b strings.Builder
	for ; n <= c.GetTop(); n++ {
		s := lua.ToString(c.LState, c.Get(n))
		lua.RunOf(c.LState).Alloc(c.LState, len(s))
		b.WriteString(s)
	}
	return b.String()
}

func logNotice(c call) int {
	c.s.log(c.k, hclog.Info, c.joined(1))
	return 0
}

func logInspect(c call) int {
	var parts []string
	for i := 1; i <= c.GetTop(); i++ {
		b, err := lua.EncodeJSON(c.LState, c.Get(i))
		if err != nil {
			b = []byte(lua.ToString(c.LState, c.Get(i)))
		}
		parts = append(parts, string(b))
	}
	c.s.log(c.k, hclog.Debug, strings.Join(parts, "  "))
	return 0
}

func logDeprecation(c call) int {
	c.s.log(c.k, hclog.Warn, c.joined(1))
	return 0
}

// setSerializeValue changes the record that log plugins write.
// serialize gives the record that logging plugins write, as a table.
func serialize(c call) int {
	c.allow(Log)
	record, err := lua.DecodeJSON(c.LState, record.Append(nil, c.s.x))
	if err != nil {
		c.errorf("%s", err.Error())
	}
	c.Push(record)
	return 1
}

func setSerializeValue(c call) int {
	c.allow(anyPhase)
	key := c.str(1, "key")
	mode := pdk.LogSet
	if options, ok := c.Get(3).(*glua.LTable); ok {
		switch m := options.RawGetString("mode").(type) {
		case *glua.LNilType:
		case glua.LString:
			switch m {
			case "set":
			case "add":
				mode = pdk.LogAdd
			case "replace":
				mode = pdk.LogReplace
			default:
				c.errorf("mode must be 'set', 'add' or 'replace'")
			}
		default:
			c.errorf("mode must be 'set', 'add' or 'replace'")
		}
	}
	v := c.Get(2)
	switch v.(type) {
	case *glua.LNilType, glua.LString, glua.LNumber, glua.LBool, *glua.LTable:
	default:
		c.errorf("value must be nil, a number, string, boolean or a non-self-referencial table containing numbers, string and booleans")
	}
	c.s.x.SetLogValue(key, goValue(v, 0), mode)
	return 0
}

// cacheMethods are kong.cache: values that a machine keeps between requests.
func cacheMethods() map[string]method {
	return map[string]method{
		// get(self, key, opts, cb, ...) returns what is there, or calls cb for it.
		"get": func(c call) int {
			key := c.CheckString(2)
			store := cacheOf(c)
			now := float64(time.Now().UnixNano()) / 1e9
			if e, ok := store.RawGetString(key).(*glua.LTable); ok {
				if until, _ := e.RawGetString("until").(glua.LNumber); until == 0 || float64(until) > now {
					c.Push(e.RawGetString("value"))
					return 1
				}
			}
			fn, ok := c.Get(4).(*glua.LFunction)
			if !ok {
				return c.giveNil()
			}
			top := c.GetTop()
			c.Push(fn)
			for i := 5; i <= top; i++ {
				c.Push(c.Get(i))
			}
			c.Call(max(top-4, 0), 2)
			value, problem := c.Get(-2), c.Get(-1)
			if problem != glua.LNil {
				c.Push(glua.LNil)
				c.Push(problem)
				return 2
			}
			e := c.CreateTable(0, 2)
			e.RawSetString("value", value)
			if options, ok := c.Get(3).(*glua.LTable); ok {
				if ttl, ok := options.RawGetString("ttl").(glua.LNumber); ok && ttl > 0 {
					e.RawSetString("until", glua.LNumber(now+float64(ttl)))
				}
			}
			lua.RunOf(c.LState).Alloc(c.LState, 600+len(key))
			store.RawSetString(key, e)
			c.Push(value)
			return 1
		},
		"invalidate_local": cacheInvalidate,
		"invalidate":       cacheInvalidate,
	}
}

func cacheInvalidate(c call) int {
	cacheOf(c).RawSetString(c.CheckString(2), glua.LNil)
	return 0
}

func cacheOf(c call) *glua.LTable {
	const key = "sluice.cache"
	t, ok := c.G.Registry.RawGetString(key).(*glua.LTable)
	if !ok {
		t = c.CreateTable(0, 0)
		c.G.Registry.RawSetString(key, t)
	}
	return t
}
