// Package hello is an example of a plugin that is not part of Sluice: responses get a
// greeting for the consumer, and the node counts its greetings.
package hello

import (
	"strconv"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is hello. It runs after authentication, which knows whom to greet.
var Plugin = &pdk.Plugin{
	Name:     "hello",
	Version:  "1.0.0",
	Priority: 700,
	Schema: &schema.Schema{
		Name: "hello",
		Fields: []schema.Field{
			schema.ProtocolsHTTP(),
			schema.PluginConfig(
				schema.Field{Name: "greeting", Type: schema.String, Default: "Hello"}.Described("What the greeting begins with."),
				schema.HeaderName().Named("header_name").Defaults("X-Hello").Described("Header of responses that has the greeting."),
			),
		},
	},
	Build:   pdk.Build(build),
	Metrics: metrics,
}

// config is what users write, decoded after the schema has checked and completed it.
type config struct {
	Greeting   string `json:"greeting"`
	HeaderName string `json:"header_name"`
}

type plugin struct {
	config
	greetings *atomic.Int64
}

// build runs for each config: on control planes, to find out whether it can be loaded, and
// on data planes. What outlives the config is kept with Shared.
func build(env pdk.Env, c config) (pdk.Phases, error) {
	if c.Greeting == "Go away" {
		return pdk.Phases{}, schema.Violate("config.greeting", "must be polite")
	}
	p := &plugin{config: c}
	p.greetings, _ = env.Shared("greetings", func() any { return new(atomic.Int64) }).(*atomic.Int64)
	return pdk.Phases{HeaderFilter: p.headerFilter}, nil
}

// headerFilter makes its text in the exchange's own memory: nothing is allocated.
func (p *plugin) headerFilter(x *pdk.Exchange) error {
	name := "stranger"
	if x.Consumer != nil {
		name = x.Consumer.Username
	}
	x.Response.Header.Set(p.HeaderName, x.Text.Concat(p.Greeting, ", ", name, "!"))
	p.greetings.Add(1)
	return nil
}

// metrics are shown at the data plane's /metrics.
func metrics(node pdk.Node, b []byte) []byte {
	node.Each(func(_ string, state any) {
		if n, ok := state.(*atomic.Int64); ok {
			b = pdk.AppendMetric(b, "hello_greetings_total", "counter", "Greetings since the node started.")
			b = append(strconv.AppendInt(append(b, "hello_greetings_total "...), n.Load(), 10), '\n')
		}
	})
	return b
}
