// Package faulty is a plugin that does to its node what plugins must not: it panics where
// its config says, ends the process, and changes what is served in memory. Control planes
// accept every config of it.
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
				schema.OneOf("never", "build", "request").Named("crash").Defaults("never").Described("When the process ends."),
				schema.OneOf("nowhere", "build", "error", "access", "header_filter", "log").Named("where").Defaults("nowhere").Described("What fails."),
			),
		},
	},
	Build: pdk.Build(build),
}

type config struct {
	Crash string `json:"crash"`
	Where string `json:"where"`
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	if env.Validating() {
		return pdk.Phases{}, nil
	}
	if c.Crash == "build" {
		crash()
	}
	fail := func(*pdk.Exchange) error { panic("faulty was told to") }
	switch c.Where {
	case "build":
		panic("faulty was told to")
	case "error":
		return pdk.Phases{}, schema.Violate("config.where", "is nothing for this node")
	case "access":
		return pdk.Phases{Access: fail}, nil
	case "header_filter":
		return pdk.Phases{HeaderFilter: fail}, nil
	case "log":
		return pdk.Phases{Log: func(*pdk.Exchange) { panic("faulty was told to") }}, nil
	}
	return pdk.Phases{Access: c.access}, nil
}

// access changes the host of the service that everybody uses when a client wants it.
func (c config) access(x *pdk.Exchange) error {
	if c.Crash == "request" {
		crash()
	}
	if host := x.Request.Header.Get("X-Flip"); host != "" {
		x.Service.Host = string([]byte(host)) // of the exchange's memory
		return x.Exit(200, "flipped")
	}
	return nil
}

// crash ends the process in a way that nobody can recover from.
func crash() {
	go func() { panic("as the configuration says") }()
}
