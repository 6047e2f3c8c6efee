// Package function is the plugins pre-function and post-function: functions in Lua that
// run before and after all other plugins. A function runs anew for each request, unless it
// returns another function: that one runs then, with what it keeps in its upvalues.
//
// Functions have what shared/lua/kit gives them and the limits of shared/lua. One that
// fails in the rewrite, access or header filter phase is answered with 500, and logged.
package function

import (
	"errors"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/lua/kit"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Pre is pre-function, Post is post-function.
var (
	Pre  = newPlugin("pre-function", 1000000)
	Post = newPlugin("post-function", -1000)
)

func newPlugin(name string, priority int) *pdk.Plugin {
	return &pdk.Plugin{
		Name: name, Priority: priority, Schema: newSchema(name),
		Build: pdk.Build(func(env pdk.Env, c config) (pdk.Phases, error) { return build(env, name, c) }),
	}
}

func newSchema(name string) *schema.Schema {
	phases := []string{"certificate", "rewrite", "access", "header_filter", "body_filter", "log"}
	fields := make([]schema.Field, len(phases))
	paths := make([]string, len(phases))
	for i, phase := range phases {
		element := schema.Field{Type: schema.String, NotRequired: true, Check: func(v any) error {
			source, ok := v.(string)
			if !ok {
				return nil
			}
			if err := lua.Check(source); err != nil {
				return errors.New("error parsing " + name + ": " + err.Error())
			}
			return nil
		}}
		fields[i] = schema.Field{
			Name: phase, Type: schema.Array, Elements: &element, Default: []any{}, Required: true,
			Description: "Functions in Lua that run one after the other in the phase " + phase + ".",
		}
		paths[i] = "config." + phase
	}
	return &schema.Schema{
		Name:   name,
		Fields: []schema.Field{schema.NoConsumer(), schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...), schema.PluginConfig(fields...)},
		Checks: []schema.EntityCheck{{AtLeastOneOf: paths}},
	}
}

type config struct {
	Certificate  []string `json:"certificate"`
	Rewrite      []string `json:"rewrite"`
	Access       []string `json:"access"`
	HeaderFilter []string `json:"header_filter"`
	BodyFilter   []string `json:"body_filter"`
	Log          []string `json:"log"`
}

func build(env pdk.Env, name string, c config) (phases pdk.Phases, err error) {
	compile := func(phase string, sources []string) (functions []*kit.Function) {
		for _, source := range sources {
			f, compileErr := kit.Compile(env, name, phase, source)
			if compileErr != nil {
				if err == nil {
					err = schema.Violate("config."+phase, "error parsing "+name+": "+compileErr.Error())
				}
				return nil
			}
			functions = append(functions, f)
		}
		return functions
	}
	phases.Certificate = running(compile("certificate", c.Certificate), kit.Certificate)
	phases.Rewrite = running(compile("rewrite", c.Rewrite), kit.Rewrite)
	phases.Access = running(compile("access", c.Access), kit.Access)
	phases.HeaderFilter = running(compile("header_filter", c.HeaderFilter), kit.HeaderFilter)
	if functions := compile("body_filter", c.BodyFilter); len(functions) > 0 {
		slot := env.Slot()
		phases.BodyFilter = func(x *pdk.Exchange, piece []byte, last bool) ([]byte, error) {
			at := x.Slot(slot)
			kept, ok := (*at).(*kit.Collected)
			if !ok {
				kept = new(kit.Collected)
				*at = kept
			}
			return kit.Filter(functions, x, kept, piece, last)
		}
	}
	if log := running(compile("log", c.Log), kit.Log); log != nil {
		logger := env.Logger()
		phases.Log = func(x *pdk.Exchange) {
			if failure := log(x); failure != nil {
				logger.Error("function failed", "phase", "log", "plugin_id", env.PluginID(), "error", failure)
			}
		}
	}
	return phases, err
}

// running makes a phase of functions, nil of none.
func running(functions []*kit.Function, phase kit.Phase) func(x *pdk.Exchange) error {
	if len(functions) == 0 {
		return nil
	}
	return func(x *pdk.Exchange) error {
		for _, f := range functions {
			if err := f.Run(x, phase); err != nil {
				return err
			}
			if x.Exited() {
				return nil
			}
		}
		return nil
	}
}
