// Package statsd is the plugin statsd: figures of each request are sent to a StatsD server
// over UDP or TCP, with their facts in the names, or as tags in the style of one of the
// servers that know tags. There are no shared dictionaries here: shdict_usage sends
// nothing. The default workspace is known by its name only.
package statsd

import (
	"bytes"
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/queue"
	"github.com/sluice-gateway/sluice/shared/pdk/record"
	"github.com/sluice-gateway/sluice/shared/pdk/sink"
)

// Plugin is statsd.
var Plugin = &pdk.Plugin{
	Name:     "statsd",
	Priority: 11,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

type metric struct {
	Name                string  `json:"name"`
	StatType            string  `json:"stat_type"`
	SampleRate          float64 `json:"sample_rate"`
	ConsumerIdentifier  string  `json:"consumer_identifier"`
	ServiceIdentifier   string  `json:"service_identifier"`
	WorkspaceIdentifier string  `json:"workspace_identifier"`

	rate string // "|@0.5", or ""
}

type config struct {
	Host             string       `json:"host"`
	Port             int          `json:"port"`
	Prefix           string       `json:"prefix"`
	Metrics          []metric     `json:"metrics"`
	AllowStatusCodes []string     `json:"allow_status_codes"`
	UDPPacketSize    float64      `json:"udp_packet_size"`
	UseTCP           bool         `json:"use_tcp"`
	HostnameInPrefix bool         `json:"hostname_in_prefix"`
	ConsumerDefault  string       `json:"consumer_identifier_default"`
	ServiceDefault   string       `json:"service_identifier_default"`
	WorkspaceDefault string       `json:"workspace_identifier_default"`
	TagStyle         string       `json:"tag_style"`
	Queue            queue.Config `json:"queue"`
	queue.Legacy
}

type plugin struct {
	config
	prefix, node string
	ranges       [][2]int
	feed         *sink.Feed
}

// sendTimeout is Kong's.
const sendTimeout = time.Second

func build(env pdk.Env, c config) (pdk.Phases, error) {
	if env.Validating() {
		return pdk.Phases{}, nil
	}
	c.Queue = c.Apply(c.Queue)
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	p := &plugin{config: c, prefix: c.Prefix, node: strings.ReplaceAll(hostname, ".", "_")}
	if p.prefix == "" {
		p.prefix = "kong"
	}
	if c.HostnameInPrefix && c.TagStyle == "" {
		p.prefix += ".node." + p.node
	}
	for i := range p.Metrics {
		if m := &p.Metrics[i]; m.SampleRate > 0 && m.SampleRate != 1 {
			m.rate = "|@" + strconv.FormatFloat(m.SampleRate, 'g', 14, 64)
		}
	}
	for _, text := range c.AllowStatusCodes {
		from, to, _ := strings.Cut(text, "-")
		low, _ := strconv.Atoi(from)
		high, _ := strconv.Atoi(to)
		p.ranges = append(p.ranges, [2]int{low, high})
	}
	key, err := sink.Key([]any{env.PluginID(), c.Host, c.Port, c.UseTCP, c.UDPPacketSize, c.Queue})
	if err != nil {
		return pdk.Phases{}, err
	}
	p.feed, _ = env.Shared(key, func() any { return newFeed(env, &c) }).(*sink.Feed)
	return pdk.Phases{Log: p.log}, nil
}

func newFeed(env pdk.Env, c *config) *sink.Feed {
	address := net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
	o := queue.Options{Config: c.Queue, Logger: env.Logger()}
	if c.UseTCP {
		to := sink.NewStream(sink.StreamOptions{Address: address, Timeout: sendTimeout})
		o.Send = sink.Joined("", "", "", to.Write)
		return sink.NewFeed(o, to)
	}
	to := sink.NewDatagram(address, sendTimeout)
	o.Send = func(ctx context.Context, batch []*queue.Entry) error {
		return datagrams(ctx, batch, int(c.UDPPacketSize), to.Send)
	}
	return sink.NewFeed(o, to)
}

// datagrams sends the lines of a batch, as many in one as size holds, 0 for one.
func datagrams(ctx context.Context, batch []*queue.Entry, size int, send func(ctx context.Context, p []byte) error) error {
	var packet []byte
	flush := func() error {
		if len(packet) == 0 {
			return nil
		}
		err := send(ctx, packet)
		packet = packet[:0]
		return err
	}
	for _, e := range batch {
		for line := range bytes.Lines(e.B) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			if len(packet) > 0 && len(packet)+1+len(line) > size {
				if err := flush(); err != nil {
					return err
				}
			}
			if len(packet) > 0 {
				packet = append(packet, '\n')
			}
			packet = append(packet, line...)
		}
	}
	return flush()
}

func (p *plugin) log(x *pdk.Exchange) {
	if !p.allowed(x.Response.Status) {
		return
	}
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

func (p *plugin) allowed(status int) bool {
	for _, r := range p.ranges {
		if status >= r[0] && status <= r[1] {
			return true
		}
	}
	return p.ranges == nil
}

// append appends the line of a metric, nothing when it does not apply.
func (p *plugin) append(b []byte, x *pdk.Exchange, m *metric) []byte {
	l := record.LatenciesOf(x)
	value, name := int64(1), ""
	switch m.Name {
	case "request_count":
		name = "request.count"
	case "request_size":
		name, value = "request.size", x.Request.Bytes
	case "response_size":
		name, value = "response.size", record.ResponseSize(x)
	case "latency":
		name, value = "latency", l.Request
	case "upstream_latency":
		name, value = "upstream_latency", l.Proxy
	case "kong_latency":
		name, value = "kong_latency", l.Kong
	default:
		if p.TagStyle != "" {
			return b
		}
		return p.appendCount(b, x, m)
	}
	if value < 0 {
		return b
	}
	b = append(append(b, p.prefix...), '.')
	if p.TagStyle == "" {
		b = append(p.appendScope(b, x, m), '.')
	}
	b = append(b, name...)
	tagged := p.TagStyle != "" && p.serviceOf(x, m) != ""
	if tagged {
		switch p.TagStyle {
		case "influxdb":
			b = p.appendTags(append(b, ','), x, m, '=')
		case "librato":
			b = p.appendTags(append(b, '#'), x, m, '=')
		case "signalfx":
			b = append(p.appendTags(append(b, '['), x, m, '='), ']')
		}
	}
	b = strconv.AppendInt(append(b, ':'), value, 10)
	b = append(append(append(b, '|'), kind(m.StatType)...), m.rate...)
	if tagged && p.TagStyle == "dogstatsd" {
		b = p.appendTags(append(b, "|#"...), x, m, ':')
	}
	return append(b, '\n')
}

// appendCount appends a metric whose name has its facts.
func (p *plugin) appendCount(b []byte, x *pdk.Exchange, m *metric) []byte {
	consumer := ""
	switch m.Name {
	case "unique_users", "request_per_user", "status_count_per_user", "status_count_per_user_per_route":
		if consumer = consumerOf(x.Consumer, first(m.ConsumerIdentifier, p.ConsumerDefault)); consumer == "" {
			return b
		}
	case "status_count", "status_count_per_workspace":
	default:
		return b
	}
	from := len(b)
	b = append(append(b, p.prefix...), '.')
	status := int64(x.Response.Status)
	switch m.Name {
	case "unique_users":
		b = append(append(p.appendScope(b, x, m), ".user.uniques:"...), consumer...)
		return append(b, "|s\n"...)
	case "request_per_user":
		b = append(append(append(p.appendScope(b, x, m), ".user."...), consumer...), ".request.count"...)
	case "status_count":
		b = strconv.AppendInt(append(p.appendScope(b, x, m), ".status."...), status, 10)
	case "status_count_per_user":
		b = append(append(append(p.appendScope(b, x, m), ".user."...), consumer...), ".status."...)
		b = strconv.AppendInt(b, status, 10)
	case "status_count_per_workspace":
		b = append(append(append(p.appendScope(b, x, m), ".workspace."...), record.Workspace(x)...), ".status."...)
		b = strconv.AppendInt(b, status, 10)
	case "status_count_per_user_per_route":
		if x.Route == nil {
			return b[:from]
		}
		b = append(append(append(append(append(b, "route."...), x.Route.ID...), ".user."...), consumer...), ".status."...)
		b = strconv.AppendInt(b, status, 10)
	}
	return append(append(append(b, ":1|c"...), m.rate...), '\n')
}

func (p *plugin) appendScope(b []byte, x *pdk.Exchange, m *metric) []byte {
	if x.Service == nil {
		return append(b, "global.unmatched"...)
	}
	b = append(b, "service."...)
	name := p.serviceOf(x, m)
	if name == "" {
		name = "unnamed"
	}
	from := len(b)
	b = append(b, name...)
	for i := from; i < len(b); i++ {
		if b[i] == '.' {
			b[i] = '_'
		}
	}
	return b
}

func (p *plugin) appendTags(b []byte, x *pdk.Exchange, m *metric, is byte) []byte {
	tag := func(name, value string) {
		if value == "" {
			return
		}
		if name != "service" {
			b = append(b, ',')
		}
		b = append(append(append(b, name...), is), value...)
	}
	tag("service", p.serviceOf(x, m))
	if x.Route != nil {
		tag("route", first(x.Route.Name, x.Route.ID))
	}
	tag("workspace", record.Workspace(x))
	tag("consumer", consumerOf(x.Consumer, first(m.ConsumerIdentifier, p.ConsumerDefault)))
	tag("node", p.node)
	b = append(append(b, ",status"...), is)
	return strconv.AppendInt(b, int64(x.Response.Status), 10)
}

func (p *plugin) serviceOf(x *pdk.Exchange, m *metric) string {
	s := x.Service
	if s == nil {
		return ""
	}
	switch first(m.ServiceIdentifier, p.ServiceDefault) {
	case "service_id":
		return s.ID
	case "service_name":
		return s.Name
	case "service_host":
		return s.Host
	}
	return first(s.Name, s.Host)
}

func consumerOf(c *entity.Consumer, by string) string {
	switch {
	case c == nil:
		return ""
	case by == "consumer_id":
		return c.ID
	case by == "username":
		return c.Username
	}
	return c.CustomID
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// kind is StatsD's letter for a type.
func kind(statType string) string {
	switch statType {
	case "gauge":
		return "g"
	case "timer":
		return "ms"
	case "histogram":
		return "h"
	case "meter":
		return "m"
	case "set":
		return "s"
	}
	return "c"
}
