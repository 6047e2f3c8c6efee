// Package faulty is a plugin that panics where its config says, on data planes only: a
// configuration that every control plane accepts.
package faulty

import (
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is faulty.
var Plugin = &pdk.Plugin{
	Name:     "faulty",
	Version:  "1.0.0",
	Priority: 800,
	Schema: &schema.Schema{
		Name: "faulty",
		Fields: []schema.Field{
			schema.ProtocolsHTTP(),
			schema.PluginConfig(
				schema.Field{Name: "where", Type: schema.String, Required: true, OneOf: []any{"build", "error", "access", "header_filter", "log"}}.Described("What fails."),
			),
		},
	},
	Build: pdk.Build(build),
}

// config is what users write.
type config struct {
	Where string `json:"where"`
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	fail := func(*pdk.Exchange) error { panic("faulty was told to") }
	switch {
	case env.Validating():
		return pdk.Phases{}, nil
	case c.Where == "build":
		panic("faulty was told to")
	case c.Where == "error":
		return pdk.Phases{}, schema.Violate("config.where", "is nothing for this node")
	case c.Where == "access":
		return pdk.Phases{Access: fail}, nil
	case c.Where == "header_filter":
		return pdk.Phases{HeaderFilter: fail}, nil
	}
	return pdk.Phases{Log: func(*pdk.Exchange) { panic("faulty was told to") }}, nil
}
