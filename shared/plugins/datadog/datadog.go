// Package datadog is the plugin datadog: figures of each request are sent to a Datadog
// agent over UDP, in the form of DogStatsD, with the service, the status and the consumer
// as tags.
package datadog

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/queue"
	"github.com/sluice-gateway/sluice/shared/pdk/record"
	"github.com/sluice-gateway/sluice/shared/pdk/sink"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is datadog.
var Plugin = &pdk.Plugin{
	Name:     "datadog",
	Priority: 10,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name:   "datadog",
	Fields: []schema.Field{schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...), configField()},
}

func configField() schema.Field {
	metric := schema.RecordOf(
		schema.OneOf("kong_latency", "latency", "request_count", "request_size", "response_size", "upstream_latency").Named("name").AsRequired().
			Described("What is measured."),
		schema.OneOf("counter", "gauge", "histogram", "meter", "set", "timer", "distribution").Named("stat_type").AsRequired().
			Described("Type that the agent is told."),
		schema.ArrayOf(schema.Field{Type: schema.String, Match: "^.*[^:]$"}).Named("tags").Described("Further tags."),
		schema.Field{Name: "sample_rate", Type: schema.Number, Between: []float64{0, 1}}.Described("Rate that the agent is told."),
		schema.OneOf("consumer_id", "custom_id", "username").Named("consumer_identifier").Described("What names a consumer; no tag without it."),
	)
	metric.Checks = []schema.EntityCheck{{Conditional: &schema.Conditional{
		If: "stat_type", IfMatch: schema.Field{OneOf: []any{"counter", "gauge"}}, Then: "sample_rate", ThenMatch: schema.Field{Required: true},
	}}}
	of := func(name, kind string) any {
		o := schema.Object{"name": name, "stat_type": kind, "tags": []any{"app:kong"}, "consumer_identifier": "custom_id"}
		if kind == "counter" {
			o["sample_rate"] = 1
		}
		return o
	}
	text := func(name, value, description string) schema.Field {
		return schema.Field{Name: name, Type: schema.String, Default: value}.Described(description)
	}
	return schema.PluginConfig(slices.Concat(
		[]schema.Field{
			schema.Host().Named("host").Defaults("localhost").AsReferenceable().Described("Host name or address of the agent."),
			schema.Port().Named("port").Defaults(8125).Described("Port of the agent."),
			text("prefix", "kong", "What the names of all metrics begin with."),
			text("service_name_tag", "name", "Tag that names the service."),
			text("status_tag", "status", "Tag that tells the status."),
			text("consumer_tag", "consumer", "Tag that names the consumer."),
		},
		schema.LegacyQueue("datadog"),
		[]schema.Field{
			schema.Queue(),
			schema.ArrayOf(metric).Named("metrics").AsRequired().Defaults([]any{
				of("request_count", "counter"), of("latency", "timer"), of("request_size", "timer"), of("response_size", "timer"),
				of("upstream_latency", "timer"), of("kong_latency", "timer"),
			}).Described("What is measured, and how."),
		},
	)...)
}

type metric struct {
	Name               string   `json:"name"`
	StatType           string   `json:"stat_type"`
	Tags               []string `json:"tags"`
	SampleRate         *float64 `json:"sample_rate"`
	ConsumerIdentifier string   `json:"consumer_identifier"`

	rate, tags string // as they are written
}

type config struct {
	Host           string       `json:"host"`
	Port           int          `json:"port"`
	Prefix         string       `json:"prefix"`
	ServiceNameTag string       `json:"service_name_tag"`
	StatusTag      string       `json:"status_tag"`
	ConsumerTag    string       `json:"consumer_tag"`
	Queue          queue.Config `json:"queue"`
	Metrics        []metric     `json:"metrics"`
	queue.Legacy
}

type plugin struct {
	config
	feed *sink.Feed
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	if env.Validating() {
		return pdk.Phases{}, nil
	}
	c.Queue = c.Apply(c.Queue)
	for _, d := range []struct {
		field *string
		value string
	}{{&c.Host, "localhost"}, {&c.Prefix, "kong"}, {&c.ServiceNameTag, "name"}, {&c.StatusTag, "status"}, {&c.ConsumerTag, "consumer"}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	for i := range c.Metrics {
		m := &c.Metrics[i]
		if m.SampleRate != nil && *m.SampleRate != 1 {
			m.rate = "|@" + strconv.FormatFloat(*m.SampleRate, 'g', 14, 64)
		}
		for _, tag := range m.Tags {
			m.tags += "," + tag
		}
	}
	key, err := sink.Key([]any{env.PluginID(), c.Host, c.Port, c.Queue})
	if err != nil {
		return pdk.Phases{}, err
	}
	p := &plugin{config: c}
	p.feed, _ = env.Shared(key, func() any {
		to := sink.NewDatagram(net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), time.Second)
		send := func(ctx context.Context, batch []*queue.Entry) error {
			for _, e := range batch {
				for line := range bytes.Lines(e.B) {
					if err := to.Send(ctx, bytes.TrimSuffix(line, []byte("\n"))); err != nil {
						return err
					}
				}
			}
			return nil
		}
		return sink.NewFeed(queue.Options{Config: c.Queue, Send: send, Logger: env.Logger()}, to)
	}).(*sink.Feed)
	return pdk.Phases{Log: p.log}, nil
}

func (p *plugin) log(x *pdk.Exchange) {
	e := queue.NewEntry()
	for i := range p.Metrics {
		e.B = p.append(e.B, x, &p.Metrics[i])
	}
	if len(e.B) == 0 {
		e.Free()
		return
	}
	p.feed.Put(e)
}

// append appends the line of a metric. There is none of an upstream that was not called.
func (p *plugin) append(b []byte, x *pdk.Exchange, m *metric) []byte {
	l := record.LatenciesOf(x)
	name, value := m.Name, int64(1)
	switch m.Name {
	case "request_count":
		name = "request.count"
	case "request_size":
		name, value = "request.size", x.Request.Bytes
	case "response_size":
		name, value = "response.size", record.ResponseSize(x)
	case "latency":
		value = l.Request
	case "upstream_latency":
		value = l.Proxy
	case "kong_latency":
		value = l.Kong
	}
	if value < 0 {
		return b
	}
	b = append(append(append(append(b, p.Prefix...), '.'), name...), ':')
	b = append(strconv.AppendInt(b, value, 10), '|')
	b = append(append(append(b, kind(m.StatType)...), m.rate...), "|#"...)
	b = append(append(b, p.ServiceNameTag...), ':')
	if s := x.Service; s != nil {
		from := len(b)
		if s.Name != "" {
			b = append(b, s.Name...)
		} else {
			b = append(b, s.Host...)
		}
		replace(b[from:], '.')
	}
	b = append(append(append(b, ','), p.StatusTag...), ':')
	b = strconv.AppendInt(b, int64(x.Response.Status), 10)
	if id := consumerOf(x.Consumer, m.ConsumerIdentifier); id != "" {
		b = append(append(append(b, ','), p.ConsumerTag...), ':')
		from := len(b)
		b = append(b, id...)
		if m.ConsumerIdentifier == "consumer_id" {
			replace(b[from:], '-')
		}
	}
	return append(append(b, m.tags...), '\n')
}

func replace(b []byte, c byte) {
	for i := range b {
		if b[i] == c {
			b[i] = '_'
		}
	}
}

func consumerOf(c *entity.Consumer, by string) string {
	if c == nil {
		return ""
	}
	switch by {
	case "consumer_id":
		return c.ID
	case "custom_id":
		return c.CustomID
	case "username":
		return c.Username
	}
	return ""
}

// kind is DogStatsD's letter for a type.
func kind(statType string) string {
	if statType == "timer" {
		return "ms"
	}
	return strings.ToLower(statType[:1])
}
