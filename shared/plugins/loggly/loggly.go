// Package loggly is the plugin loggly: records of requests are sent to Loggly as syslog
// messages (RFC 5424) over UDP, with a severity that depends on the status. What can not be
// sent is lost and counted.
package loggly

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/shared/lua/kit"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/queue"
	"github.com/sluice-gateway/sluice/shared/pdk/record"
	"github.com/sluice-gateway/sluice/shared/pdk/sink"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is loggly.
var Plugin = &pdk.Plugin{
	Name:     "loggly",
	Priority: 6,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name: "loggly",
	Fields: []schema.Field{
		schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...),
		schema.PluginConfig(
			schema.Host().Named("host").Defaults("logs-01.loggly.com").Described("Host name or address of the receiver."),
			schema.Port().Named("port").Defaults(514).Described("Port of the receiver."),
			schema.Field{Name: "key", Type: schema.String, Required: true, Referenceable: true, Encrypted: true}.Described("Customer token of Loggly."),
			schema.SetOf(schema.Field{Type: schema.String}).Named("tags").Defaults([]any{"kong"}).Described("Tags of the messages."),
			record.SeverityField("log_level").Described("Least severe records that are sent."),
			record.SeverityField("successful_severity").Described("Severity of statuses below 400."),
			record.SeverityField("client_errors_severity").Described("Severity of statuses from 400 to 499."),
			record.SeverityField("server_errors_severity").Described("Severity of statuses from 500."),
			schema.Field{Name: "timeout", Type: schema.Number, Default: 10000}.Described("Milliseconds for looking up the host and for sending."),
			schema.CustomFieldsByLua(),
		),
	},
}

type config struct {
	Host              string            `json:"host"`
	Port              int               `json:"port"`
	Key               string            `json:"key"`
	Tags              []string          `json:"tags"`
	Timeout           float64           `json:"timeout"`
	CustomFieldsByLua map[string]string `json:"custom_fields_by_lua"`
	record.Severities
}

type plugin struct {
	config
	// middle is what stands between the time and the record.
	middle string
	feed   *sink.Feed
	custom func(x *pdk.Exchange)
}

// facility is user, as RFC 5424 numbers it.
const facility = 1

func build(env pdk.Env, c config) (pdk.Phases, error) {
	custom, err := kit.CustomFields(env, "loggly", c.CustomFieldsByLua)
	if err != nil || env.Validating() {
		return pdk.Phases{}, err
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "-"
	}
	tags := make([]string, len(c.Tags))
	for i, tag := range c.Tags {
		tags[i] = `tag="` + tag + `"`
	}
	p := &plugin{config: c, custom: custom, middle: " " + hostname + " kong - - [" + c.Key + "@41058 " + strings.Join(tags, " ") + "] "}
	key, err := sink.Key([]any{c.Host, c.Port, c.Timeout})
	if err != nil {
		return pdk.Phases{}, err
	}
	p.feed, _ = env.Shared(key, func() any {
		to := sink.NewDatagram(net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), time.Duration(c.Timeout*float64(time.Millisecond)))
		send := func(ctx context.Context, batch []*queue.Entry) error { return to.Send(ctx, batch[0].B) }
		return sink.NewFeed(queue.Options{Config: sink.Fire(1), Send: send, Logger: env.Logger()}, to)
	}).(*sink.Feed)
	return pdk.Phases{Log: p.log}, nil
}

func (p *plugin) log(x *pdk.Exchange) {
	severity, logged := p.Of(x.Response.Status)
	if !logged {
		return
	}
	if p.custom != nil {
		p.custom(x)
	}
	e := queue.NewEntry()
	b := append(e.B, '<')
	b = append(strconv.AppendInt(b, int64(facility<<3|severity), 10), ">1 "...)
	b = x.Done.UTC().AppendFormat(b, "2006-01-02T15:04:05Z")
	e.B = record.Append(append(b, p.middle...), x)
	p.feed.Put(e)
}
