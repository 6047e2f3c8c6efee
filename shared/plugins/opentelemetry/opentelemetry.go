// Package opentelemetry is the plugin opentelemetry: it takes part in the traces that
// clients begin, tells upstreams of them, and sends the spans that the node makes of each
// sampled request as OTLP over HTTP. What is made spans of says the setting
// tracing_instrumentations; without any the plugin only passes traces on. With a
// logs_endpoint it sends the node's own messages, too.
package opentelemetry

import (
	"context"
	"net/http"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/propagation"
	"github.com/sluice-gateway/sluice/shared/pdk/queue"
	"github.com/sluice-gateway/sluice/shared/pdk/sink"
)

// Plugin is opentelemetry.
var Plugin = &pdk.Plugin{
	Name:     "opentelemetry",
	Priority: 14,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

type config struct {
	TracesEndpoint     string             `json:"traces_endpoint"`
	LogsEndpoint       string             `json:"logs_endpoint"`
	Headers            map[string]string  `json:"headers"`
	ResourceAttributes map[string]string  `json:"resource_attributes"`
	Queue              queue.Config       `json:"queue"`
	BatchSpanCount     *int               `json:"batch_span_count"`
	BatchFlushDelay    *int               `json:"batch_flush_delay"`
	ConnectTimeout     int                `json:"connect_timeout"`
	SendTimeout        int                `json:"send_timeout"`
	ReadTimeout        int                `json:"read_timeout"`
	ResponseHeader     string             `json:"http_response_header_for_traceid"`
	HeaderType         string             `json:"header_type"`
	SamplingRate       *float64           `json:"sampling_rate"`
	Propagation        propagation.Config `json:"propagation"`
}

type plugin struct {
	config
	propagation propagation.Config
	spans       *sink.Feed
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	if env.Validating() {
		return pdk.Phases{}, nil
	}
	if c.BatchSpanCount != nil && *c.BatchSpanCount != 200 {
		c.Queue.MaxBatchSize = *c.BatchSpanCount
	}
	if c.BatchFlushDelay != nil && *c.BatchFlushDelay != 3 {
		c.Queue.MaxCoalescingDelay = float64(*c.BatchFlushDelay)
	}
	p := &plugin{config: c, propagation: c.Propagation.WithLegacy(c.HeaderType, "")}
	if c.LogsEndpoint != "" {
		if err := p.openLogs(env); err != nil {
			return pdk.Phases{}, err
		}
	}
	if c.TracesEndpoint == "" {
		return pdk.Phases{}, nil
	}
	var err error
	if p.spans, err = p.feed(env, "traces", c.TracesEndpoint); err != nil {
		return pdk.Phases{}, err
	}
	phases := pdk.Phases{Access: p.access, Log: p.log}
	if c.ResponseHeader != "" {
		phases.HeaderFilter = p.headerFilter
	}
	return phases, nil
}

// feed is the way to an endpoint, which equal configs share.
func (p *plugin) feed(env pdk.Env, kind, endpoint string) (*sink.Feed, error) {
	key, err := sink.Key([]any{
		kind, endpoint, env.PluginID(), p.Headers, p.ResourceAttributes, p.Queue, p.ConnectTimeout, p.SendTimeout, p.ReadTimeout,
	})
	if err != nil {
		return nil, err
	}
	feed, _ := env.Shared(key, func() any {
		header := http.Header{"Content-Type": {"application/x-protobuf"}}
		for name, value := range p.Headers {
			header.Set(name, value)
		}
		millis := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
		to := sink.NewHTTP(sink.HTTPOptions{
			URL: endpoint, Header: header, Verify: true, Connect: millis(p.ConnectTimeout), Send: millis(p.SendTimeout), Read: millis(p.ReadTimeout),
			Taken: func(status int) bool { return status == http.StatusOK },
		})
		resource := resource(env.ID(), p.ResourceAttributes)
		send := func(ctx context.Context, batch []*queue.Entry) error { return to.Send(ctx, request(resource, batch)) }
		return sink.NewFeed(queue.Options{Config: p.Queue, Send: send, Logger: env.Logger()}, to)
	}).(*sink.Feed)
	return feed, nil
}

// access takes over the client's trace and tells the upstream. It runs after all other
// plugins but those that log.
func (p *plugin) access(x *pdk.Exchange) error {
	c, from := p.propagation.Read(&x.Request.Header)
	t := &x.Trace
	if c.Size > 0 {
		t.TraceID = c.Trace
	} else if t.TraceID.IsZero() {
		t.TraceID = pdk.NewTraceID()
	}
	above := c.Span
	if above.IsZero() {
		above = c.Parent
	}
	if t.On == 0 {
		// Nothing is made spans of: the trace is passed on, unsampled.
		c.Parent, c.Span = above, pdk.NewSpanID()
		t.Sampled = false
	} else {
		root := &t.Spans[0]
		if !above.IsZero() {
			root.Parent = above
		}
		rate := t.Rate
		if p.SamplingRate != nil {
			rate = *p.SamplingRate
		}
		t.Sampled = c.Sampling != propagation.Dropped && t.TraceID.Sample(rate)
		c.Parent, c.Span = root.Parent, root.ID
		if !t.Balancer.IsZero() {
			c.Parent, c.Span = root.ID, t.Balancer
		}
	}
	t.Flags = c.Flags
	c.Trace, c.Sampling = t.TraceID, propagation.Dropped
	if t.Sampled {
		t.Flags |= 1
		c.Sampling = propagation.Sampled
	}
	p.propagation.Write(x, &c, from)
	return nil
}

func (p *plugin) headerFilter(x *pdk.Exchange) error {
	if id := x.Trace.TraceID; !id.IsZero() {
		x.Response.Header.Add(p.ResponseHeader, hexText(&x.Text, id[:]))
	}
	return nil
}

func (p *plugin) log(x *pdk.Exchange) {
	if t := &x.Trace; !t.Sampled || t.On == 0 {
		return
	}
	each(x, func(s *span) {
		e := queue.NewEntry()
		e.B = s.append(e.B)
		p.spans.Put(e)
	})
}
