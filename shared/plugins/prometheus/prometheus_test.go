package prometheus_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/prometheus"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, prometheus.Plugin.Schema, "plugins/prometheus.json")
	schematest.ConfigAgrees(t, prometheus.Plugin.Schema, prometheus.Config{})
}

// parse reads what a node exports with Prometheus' own parser.
func parse(t testing.TB, node pdk.Node) map[string]*dto.MetricFamily {
	t.Helper()
	text := prometheus.Plugin.Metrics(node, nil)
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return families
}

// series shows the counters of a family by their labels.
func series(f *dto.MetricFamily) map[string]float64 {
	out := map[string]float64{}
	for _, m := range f.GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetName()+"="+l.GetValue())
		}
		out[strings.Join(labels, " ")] = m.GetCounter().GetValue()
	}
	return out
}

const all = `{"per_consumer":true,"status_code_metrics":true,"latency_metrics":true,"bandwidth_metrics":true}`

var (
	route   = &entity.Route{ID: "r1", Name: "my-route"}
	service = &entity.Service{ID: "s1", Name: "my-service", Host: "h"}
)

// exchange is one with the sizes and times that the tests expect.
func exchange(p *pdktest.Plugin, status int, source pdk.Source) *pdk.Exchange {
	x := p.NewExchange(pdktest.Request{})
	x.Request.Bytes, x.Response.Bytes, x.Response.Status, x.Source = 100, 1000, status, source
	x.AccessDone = x.Start.Add(3 * time.Millisecond)
	x.Done = x.Start.Add(500 * time.Millisecond)
	if source == pdk.SourceUpstream {
		x.Tries = append(x.Tries, pdk.Try{})
		x.UpstreamSent, x.UpstreamFirst = x.Start.Add(4*time.Millisecond), x.Start.Add(104*time.Millisecond)
	}
	return x
}

func TestMetrics(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: prometheus.Plugin, Config: all, Route: route, Service: service})
	p.Phases.Log(exchange(p, 200, pdk.SourceUpstream))
	p.Phases.Log(exchange(p, 200, pdk.SourceUpstream))
	x := exchange(p, 429, pdk.SourceExit)
	x.Consumer = &entity.Consumer{ID: "c", Username: `b"o\b`}
	p.Phases.Log(x)
	f := parse(t, p.Env)
	if diff := cmp.Diff(map[string]float64{
		"service=my-service route=my-route code=200 source=service workspace=default consumer=":     2,
		"service=my-service route=my-route code=429 source=kong workspace=default consumer=b\"o\\b": 1,
	}, series(f["kong_http_requests_total"])); diff != "" {
		t.Errorf("requests: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{
		"service=my-service route=my-route direction=ingress workspace=default consumer=":        200,
		"service=my-service route=my-route direction=egress workspace=default consumer=":         2000,
		"service=my-service route=my-route direction=ingress workspace=default consumer=b\"o\\b": 100,
		"service=my-service route=my-route direction=egress workspace=default consumer=b\"o\\b":  1000,
	}, series(f["kong_bandwidth_bytes"])); diff != "" {
		t.Errorf("bandwidth: -want +got:\n%s", diff)
	}
	for name, want := range map[string]struct {
		count uint64
		sum   float64
		le    map[float64]uint64
	}{
		"kong_kong_latency_ms":     {3, 11, map[float64]uint64{1: 0, 2: 0, 5: 3, 6000: 3}},
		"kong_upstream_latency_ms": {2, 200, map[float64]uint64{80: 0, 100: 2, 60000: 2}},
		"kong_request_latency_ms":  {3, 1500, map[float64]uint64{400: 0, 700: 3}},
	} {
		if f[name] == nil || f[name].GetType() != dto.MetricType_HISTOGRAM {
			t.Errorf("%s is %v", name, f[name])
			continue
		}
		h := f[name].GetMetric()[0].GetHistogram()
		if h.GetSampleCount() != want.count || h.GetSampleSum() != want.sum {
			t.Errorf("%s: %d values, sum %v", name, h.GetSampleCount(), h.GetSampleSum())
		}
		got := map[float64]uint64{}
		for _, b := range h.GetBucket() {
			got[b.GetUpperBound()] = b.GetCumulativeCount()
		}
		for le, n := range want.le {
			if v, ok := got[le]; !ok || v != n {
				t.Errorf("%s: %d up to %v, want %d", name, v, le, n)
			}
		}
	}
}

func TestFlags(t *testing.T) {
	for config, want := range map[string][]string{
		`{}`:                           nil,
		`{"status_code_metrics":true}`: {"kong_http_requests_total"},
		`{"latency_metrics":true}`:     {"kong_kong_latency_ms", "kong_request_latency_ms", "kong_upstream_latency_ms"},
		`{"bandwidth_metrics":true}`:   {"kong_bandwidth_bytes"},
		`{"ai_metrics":true,"per_consumer":true,"upstream_health_metrics":true}`: nil,
	} {
		p := pdktest.Build(t, pdktest.Options{Plugin: prometheus.Plugin, Config: config, Route: route, Service: service})
		x := exchange(p, 200, pdk.SourceUpstream)
		x.Consumer = &entity.Consumer{Username: "bob"}
		if p.Phases.Log != nil {
			p.Phases.Log(x)
		}
		f := parse(t, p.Env)
		delete(f, "kong_nginx_metric_errors_total")
		if len(f) != len(want) {
			t.Errorf("%s: %d families", config, len(f))
		}
		for _, name := range want {
			if f[name] == nil {
				t.Errorf("%s: no %s", config, name)
			}
		}
	}
	// Without per_consumer all are counted together.
	p := pdktest.Build(t, pdktest.Options{Plugin: prometheus.Plugin, Config: `{"status_code_metrics":true}`, Route: &entity.Route{ID: "r9"}, Service: &entity.Service{Host: "host"}})
	x := exchange(p, 200, pdk.SourceUpstream)
	x.Consumer = &entity.Consumer{Username: "bob"}
	p.Phases.Log(x)
	x = exchange(p, 404, pdk.SourceError)
	x.Route = nil
	p.Phases.Log(x)
	if diff := cmp.Diff(map[string]float64{"service=host route=r9 code=200 source=service workspace=default consumer=": 1}, series(parse(t, p.Env)["kong_http_requests_total"])); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestBounded: what clients and configs can make ends, is counted, and old routes make room.
func TestBounded(t *testing.T) {
	defer prometheus.SetMaxSeries(50)()
	p := pdktest.Build(t, pdktest.Options{Plugin: prometheus.Plugin, Config: all, Service: service})
	at := pdktest.Start
	log := func(route, consumer string) {
		x := exchange(p, 200, pdk.SourceUpstream)
		x.Route, x.Consumer, x.Done = &entity.Route{Name: route}, &entity.Consumer{Username: consumer}, at
		p.Phases.Log(x)
	}
	for i := range 100 {
		log("old", fmt.Sprint(i))
		log(fmt.Sprint("r", i), "c")
	}
	lines := func() int { return bytes.Count(prometheus.Plugin.Metrics(p.Env, nil), []byte("\n")) }
	f := parse(t, p.Env)
	if n := lines(); n > 50+20 || f["kong_nginx_metric_errors_total"].GetMetric()[0].GetCounter().GetValue() == 0 {
		t.Errorf("%d lines, %v", n, f["kong_nginx_metric_errors_total"])
	}
	at = at.Add(2 * time.Hour)
	log("new", "c")
	if got := series(parse(t, p.Env)["kong_http_requests_total"]); len(got) != 1 || got["service=my-service route=new code=200 source=service workspace=default consumer=c"] != 1 {
		t.Errorf("after two hours: %v", got)
	}
}

func TestConcurrent(t *testing.T) {
	node := pdktest.NewNode(t)
	p := pdktest.Build(t, pdktest.Options{Plugin: prometheus.Plugin, Config: all, Route: route, Service: service, Node: node})
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for j := range 500 {
				x := exchange(p, 200+j%5, pdk.SourceUpstream)
				x.Consumer = &entity.Consumer{Username: fmt.Sprint(i)}
				p.Phases.Log(x)
				if j%100 == 0 {
					prometheus.Plugin.Metrics(node, nil)
				}
			}
		})
	}
	work.Wait()
	total := 0.0
	for _, n := range series(parse(t, node)["kong_http_requests_total"]) {
		total += n
	}
	if total != 4000 {
		t.Errorf("%v requests", total)
	}
}

func TestAllocations(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: prometheus.Plugin, Config: all, Route: route, Service: service})
	x := exchange(p, 200, pdk.SourceUpstream)
	x.Consumer = &entity.Consumer{Username: "bob"}
	p.Phases.Log(x)
	if n := testing.AllocsPerRun(100, func() { p.Phases.Log(x) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLog(b *testing.B) {
	p := pdktest.Build(b, pdktest.Options{Plugin: prometheus.Plugin, Config: all, Route: route, Service: service})
	x := exchange(p, 200, pdk.SourceUpstream)
	b.ReportAllocs()
	for b.Loop() {
		p.Phases.Log(x)
	}
}
