// Package udplog is the plugin udp-log: records of requests are sent as datagrams. What
// can not be sent, such as a record larger than a datagram, is lost and counted.
package udplog

import (
	"context"
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

// Plugin is udp-log.
var Plugin = &pdk.Plugin{
	Name:     "udp-log",
	Priority: 8,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name: "udp-log",
	Fields: []schema.Field{
		schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...),
		schema.PluginConfig(
			schema.Host().Named("host").AsRequired().Described("Host name or address of the receiver."),
			schema.Port().Named("port").AsRequired().Described("Port of the receiver."),
			schema.Field{Name: "timeout", Type: schema.Number, Default: 10000}.Described("Milliseconds for looking up the host and for sending."),
			schema.CustomFieldsByLua(),
		),
	},
}

type config struct {
	Host              string            `json:"host"`
	Port              int               `json:"port"`
	Timeout           float64           `json:"timeout"`
	CustomFieldsByLua map[string]string `json:"custom_fields_by_lua"`
}

type plugin struct {
	feed   *sink.Feed
	custom func(x *pdk.Exchange)
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	custom, err := kit.CustomFields(env, "udp-log", c.CustomFieldsByLua)
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
		to := sink.NewDatagram(net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), time.Duration(c.Timeout*float64(time.Millisecond)))
		send := func(ctx context.Context, batch []*queue.Entry) error { return to.Send(ctx, batch[0].B) }
		return sink.NewFeed(queue.Options{Config: sink.Fire(1), Send: send, Logger: env.Logger()}, to)
	}).(*sink.Feed)
	return pdk.Phases{Log: p.log}, nil
}

func (p *plugin) log(x *pdk.Exchange) {
	if p.custom != nil {
		p.custom(x)
	}
	e := queue.NewEntry()
	e.B = record.Append(e.B, x)
	p.feed.Put(e)
}
