// Package faulty is a plugin that does to its node what plugins must not: it ends the
// process, and it changes what is served in memory.
package faulty

import (
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is faulty.
var Plugin = &pdk.Plugin{
	Name:     "faulty",
	Version:  "1.0.0",
	Priority: 600,
	Schema: &schema.Schema{
		Name: "faulty",
		Fields: []schema.Field{
			schema.ProtocolsHTTP(),
			schema.PluginConfig(
				schema.OneOf("never", "build", "request").Named("crash").Defaults("never").Described("When the process ends."),
			),
		},
	},
	Build: pdk.Build(build),
}

type config struct {
	Crash string `json:"crash"`
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	if c.Crash == "build" && !env.Validating() {
		crash()
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
