// Package tcplog is the plugin tcp-log: records of requests, a line each, are written to
// a TCP server, over TLS when asked to; the certificate is not checked then, as in Kong.
// A connection is kept. What can not be written is lost and counted.
package tcplog

import (
	"net"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/shared/lua/kit"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/queue"
	"github.com/sluice-gateway/sluice/shared/pdk/record"
	"github.com/sluice-gateway/sluice/shared/pdk/sink"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is tcp-log.
var Plugin = &pdk.Plugin{
	Name:     "tcp-log",
	Priority: 7,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name: "tcp-log",
	Fields: []schema.Field{
		schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...),
		schema.PluginConfig(
			schema.Host().Named("host").AsRequired().Described("Host name or address of the server."),
			schema.Port().Named("port").AsRequired().Described("Port of the server."),
			schema.Field{Name: "timeout", Type: schema.Number, Default: 10000}.Described("Milliseconds for connecting and for each write."),
			schema.Field{Name: "keepalive", Type: schema.Number, Default: 60000}.Described("Milliseconds that an unused connection stays open."),
			schema.Field{Name: "tls", Type: schema.Boolean, Default: false, Required: true}.Described("Whether to speak TLS."),
			schema.Field{Name: "tls_sni", Type: schema.String}.Described("Server name for TLS; the host when unset."),
			schema.CustomFieldsByLua(),
		),
	},
}

type config struct {
	Host              string            `json:"host"`
	Port              int               `json:"port"`
	Timeout           float64           `json:"timeout"`
	Keepalive         float64           `json:"keepalive"`
	TLS               bool              `json:"tls"`
	TLSSNI            string            `json:"tls_sni"`
	CustomFieldsByLua map[string]string `json:"custom_fields_by_lua"`
}

// batch is how many lines are written at once when many wait.
const batch = 100

type plugin struct {
	feed   *sink.Feed
	custom func(x *pdk.Exchange)
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	custom, err := kit.CustomFields(env, "tcp-log", c.CustomFieldsByLua)
	if err != nil || env.Validating() {
		return pdk.Phases{}, err
	}
	c.CustomFieldsByLua = nil
	key, err := sink.Key(c)
	if err != nil {
		return pdk.Phases{}, err
	}
	p := &plugin{custom: custom}
	p.feed, _ = env.Shared(key, func() any {
		to := sink.NewStream(sink.StreamOptions{
			Address: net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), TLS: c.TLS, ServerName: c.TLSSNI,
			Timeout: time.Duration(c.Timeout * float64(time.Millisecond)), Idle: time.Duration(c.Keepalive * float64(time.Millisecond)),
		})
		return sink.NewFeed(queue.Options{Config: sink.Fire(batch), Send: sink.Joined("", "", "", to.Write), Logger: env.Logger()}, to)
	}).(*sink.Feed)
	return pdk.Phases{Log: p.log}, nil
}

func (p *plugin) log(x *pdk.Exchange) {
	if p.custom != nil {
		p.custom(x)
	}
	e := queue.NewEntry()
	e.B = append(record.Append(e.B, x), '\n')
	p.feed.Put(e)
}
