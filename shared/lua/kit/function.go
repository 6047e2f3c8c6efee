package kit

import (
	"context"
	"slices"

	glua "github.com/yuin/gopher-lua"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Scope is the plugin config that functions belong to.
type Scope struct {
	// Plugin is the plugin's name, ID the config's id.
	Plugin, ID string
}

// Function is a function of a plugin's config. It is safe for concurrent use.
type Function struct {
	field   string
	pool    *lua.Pool
	program *lua.Program
	scope   *Scope
}

// Compile makes a function of a source. Errors are *lua.SyntaxError or lua.ErrDisabled. The
// function goes with the config.
func Compile(env pdk.Env, plugin, field, source string) (*Function, error) {
	program, err := env.Lua().Compile(source)
	if err != nil {
		return nil, err
	}
	f := &Function{field: field, pool: env.Lua(), program: program, scope: &Scope{Plugin: plugin, ID: env.PluginID()}}
	env.Go(func(ctx context.Context) {
		<-ctx.Done()
		program.Close()
	})
	return f, nil
}

// run runs fn within a session of the exchange.
func (f *Function) run(x *pdk.Exchange, phase Phase, fn func(r *lua.Run, s *session) error) error {
	s := sessionOf(x)
	pinned := s.machine
	m, err := f.pool.Run(pinned, s, func(r *lua.Run) error {
		s.phase, s.plugin = phase, f.scope
		return fn(r, s)
	})
	s.machine = m
	if err != nil {
		return failed(f.field, err)
	}
	return nil
}

// Run runs a function in a phase. One that returns a function at first runs that from
// then on, see lua.Run.CallKept. In the body filter, use Filter.
func (f *Function) Run(x *pdk.Exchange, phase Phase) error {
	return f.run(x, phase, func(r *lua.Run, s *session) error {
		if err := r.CallKept(f.program); err != nil {
			return err
		}
		return s.answer(r)
	})
}

// Eval runs a function and returns what it returned as a Go value: nil, string, float64,
// bool, map[string]any or []any.
func (f *Function) Eval(x *pdk.Exchange, phase Phase) (v any, err error) {
	err = f.run(x, phase, func(r *lua.Run, _ *session) error {
		result, err := r.Call(f.program)
		if err == nil {
			v = goValue(result, 0)
		}
		return err
	})
	return v, err
}

// goValue copies a value out of a machine.
func goValue(v glua.LValue, depth int) any {
	switch v := v.(type) {
	case glua.LString:
		return string(v)
	case glua.LNumber:
		return float64(v)
	case glua.LBool:
		return bool(v)
	case *glua.LTable:
		if depth > 32 {
			return nil
		}
		if n := v.Len(); n > 0 {
			list := make([]any, n)
			for i := range list {
				list[i] = goValue(v.RawGetInt(i+1), depth+1)
			}
			return list
		}
		m := map[string]any{}
		v.ForEach(func(key, value glua.LValue) { m[key.String()] = goValue(value, depth+1) })
		return m
	}
	return nil
}

// CustomFields makes the function that sets a log plugin's custom_fields_by_lua, nil for
// none. It runs in the log phase, before the record is made. A field whose function fails
// is left out, and the failure logged.
func CustomFields(env pdk.Env, plugin string, fields map[string]string) (func(x *pdk.Exchange), error) {
	if len(fields) == 0 {
		return nil, nil
	}
	var functions []*Function
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f, err := Compile(env, plugin, "custom_fields_by_lua."+name, fields[name])
		if err != nil {
			return nil, schema.Violate("config.custom_fields_by_lua", "Error parsing function: "+err.Error())
		}
		functions = append(functions, f)
	}
	return func(x *pdk.Exchange) {
		for i, f := range functions {
			v, err := f.Eval(x, Log)
			if err != nil {
				env.Logger().Error("custom field failed", "field", names[i], "plugin_id", env.PluginID(), "error", err)
				continue
			}
			x.SetLogValue(names[i], v, pdk.LogSet)
		}
	}, nil
}
