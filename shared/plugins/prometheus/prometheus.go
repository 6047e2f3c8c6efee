// Package prometheus is the plugin prometheus: what requests did, counted by service and
// route under Kong's names, so that dashboards made for Kong work. All configs of a node
// count into one set of series, which the node's /metrics shows. Counting takes no lock:
// counters are cut into shards, and the maps that lead to them are copied to be changed.
//
// The number of series is bounded. When the bound is reached, routes that saw no request
// for an hour make room; what finds none is not counted, but in
// kong_nginx_metric_errors_total.
package prometheus

import (
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/record"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is prometheus.
var Plugin = &pdk.Plugin{
	Name:     "prometheus",
	Priority: 13,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
	Metrics:  export,
}

var pluginSchema = &schema.Schema{
	Name: "prometheus",
	Fields: []schema.Field{
		schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...),
		schema.PluginConfig(
			flag("per_consumer").Described("Whether requests and bytes are counted for each consumer by itself."),
			flag("status_code_metrics").Described("Whether requests are counted by status."),
			flag("ai_metrics").Described("Accepted for Kong's configs; there are no such metrics."),
			flag("latency_metrics").Described("Whether latencies are measured."),
			flag("bandwidth_metrics").Described("Whether bytes are counted."),
			flag("upstream_health_metrics").Described("Whether the health of targets is shown."),
		),
	},
}

func flag(name string) schema.Field {
	return schema.Field{Name: name, Type: schema.Boolean, Default: false}
}

type config struct {
	PerConsumer           bool `json:"per_consumer"`
	StatusCodeMetrics     bool `json:"status_code_metrics"`
	AIMetrics             bool `json:"ai_metrics"`
	LatencyMetrics        bool `json:"latency_metrics"`
	BandwidthMetrics      bool `json:"bandwidth_metrics"`
	UpstreamHealthMetrics bool `json:"upstream_health_metrics"`
}

// stateKey is where a node keeps the series.
const stateKey = "series"

type plugin struct {
	config
	set *set
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	if env.Validating() {
		return pdk.Phases{}, nil
	}
	p := &plugin{config: c}
	if !c.StatusCodeMetrics && !c.LatencyMetrics && !c.BandwidthMetrics {
		return pdk.Phases{}, nil
	}
	p.set, _ = env.Shared(stateKey, func() any { return newSet(maxSeries) }).(*set)
	return pdk.Phases{Log: p.log}, nil
}

func (p *plugin) log(x *pdk.Exchange) {
	if x.Route == nil {
		return
	}
	key := routeKey{route: x.Route.Name, workspace: record.Workspace(x)}
	if key.route == "" {
		key.route = x.Route.ID
	}
	if s := x.Service; s != nil {
		if key.service = s.Name; s.Name == "" {
			key.service = s.Host
		}
	}
	r := p.set.find(key, x.Done)
	if r == nil {
		return
	}
	consumer := ""
	if p.PerConsumer && x.Consumer != nil {
		consumer = x.Consumer.Username
	}
	if p.BandwidthMetrics {
		if b := p.set.bandwidth(r, consumer); b != nil {
			b.in.add(uint64(max(0, x.Request.Bytes)))
			b.out.add(uint64(max(0, record.ResponseSize(x))))
		}
	}
	if p.StatusCodeMetrics {
		if c := p.set.requests(r, codeKey{x.Response.Status, x.Source == pdk.SourceUpstream, consumer}); c != nil {
			c.add(1)
		}
	}
	if p.LatencyMetrics {
		if h := p.set.latencies(r); h != nil {
			l := record.LatenciesOf(x)
			h.request.observe(l.Request)
			h.kong.observe(l.Kong)
			if l.Proxy >= 0 {
				h.upstream.observe(l.Proxy)
			}
		}
	}
}
