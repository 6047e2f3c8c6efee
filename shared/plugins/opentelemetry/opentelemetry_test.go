package opentelemetry_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/logging"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/opentelemetry"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, opentelemetry.Plugin.Schema, "plugins/opentelemetry.json")
	schematest.ConfigAgrees(t, opentelemetry.Plugin.Schema, opentelemetry.Config{})
}

func TestRefusedConfigs(t *testing.T) {
	for config, want := range map[string]string{
		`{}`: "at least one of these fields must be non-empty: 'traces_endpoint', 'logs_endpoint'",
		`{"traces_endpoint":"http://a","resource_attributes":{"k":""}}`:                                 "resource_attributes",
		`{"traces_endpoint":"nowhere"}`:                                                                 "traces_endpoint",
		`{"traces_endpoint":"http://a","sampling_rate":2}`:                                              "sampling_rate",
		`{"traces_endpoint":"http://a","propagation":{"default_format":"w3c","extract":["b3-single"]}}`: "propagation",
	} {
		if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: opentelemetry.Plugin, Config: config}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", config, err, want)
		}
	}
}

// collector takes what is sent to it.
func collector(t testing.TB, statuses ...int) (url string, next func() (*http.Request, []byte)) {
	t.Helper()
	type got struct {
		r    *http.Request
		body []byte
	}
	all := make(chan got, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if len(statuses) > 0 {
			w.WriteHeader(statuses[0])
			statuses = statuses[1:]
		}
		all <- got{r, b}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1/traces", func() (*http.Request, []byte) {
		t.Helper()
		select {
		case g := <-all:
			return g.r, g.body
		case <-time.After(20 * time.Second): //nolint:forbidigo // a test's patience
			t.Fatal("nothing arrives")
			return nil, nil
		}
	}
}

func value(v *common.AnyValue) any {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return v.IntValue
	case *common.AnyValue_DoubleValue:
		return v.DoubleValue
	}
	return nil
}

func attributes(list []*common.KeyValue) map[string]any {
	out := map[string]any{}
	for _, kv := range list {
		out[kv.GetKey()] = value(kv.GetValue())
	}
	return out
}

// spans decodes a body with the official messages.
func spans(t testing.TB, body []byte) (resource map[string]any, list []*trace.Span) {
	t.Helper()
	var data trace.TracesData
	if err := proto.Unmarshal(body, &data); err != nil {
		t.Fatal(err)
	}
	if len(data.GetResourceSpans()) != 1 || len(data.GetResourceSpans()[0].GetScopeSpans()) != 1 {
		t.Fatalf("got %v", &data)
	}
	r := data.GetResourceSpans()[0]
	if name := r.GetScopeSpans()[0].GetScope().GetName(); name != "kong-internal" {
		t.Errorf("the scope is %q", name)
	}
	return attributes(r.GetResource().GetAttributes()), r.GetScopeSpans()[0].GetSpans()
}

// traced is an exchange as the proxy makes it when all is traced.
func traced(p *pdktest.Plugin, rate float64, lines ...string) *pdk.Exchange {
	x := p.NewExchange(pdktest.Request{Method: "POST", Path: "/a/b?q=1", Host: "proxy.test:8000", Client: "10.0.0.9"})
	for i := 0; i+1 < len(lines); i += 2 {
		x.Request.Header.Add(lines[i], lines[i+1])
	}
	x.Route = &entity.Route{ID: "r", Paths: []string{"/a"}}
	x.Trace.Begin(^pdk.Instrument(0), rate, x.Start)
	router := x.Trace.Span("kong.router", "", pdk.SpanInternal)
	x.Trace.End(router, false)
	plugin := x.Trace.Span("kong.access.plugin", "key-auth", pdk.SpanInternal)
	x.Trace.End(plugin, true)
	lookup := x.Trace.Span("kong.dns", "", pdk.SpanClient)
	x.Trace.Spans[lookup].Domain, x.Trace.Spans[lookup].Port, x.Trace.Spans[lookup].Address = "up.test", 80, "10.0.0.1"
	x.Trace.End(lookup, false)
	return x
}

func end(x *pdk.Exchange) {
	at := func(ms int) time.Time { return x.Start.Add(time.Duration(ms) * time.Millisecond) }
	x.Tries = []pdk.Try{
		{Address: "10.0.0.1:80", Host: "up.test", Start: at(5), Latency: 2 * time.Millisecond, Err: "connect", Code: 502},
		{Address: "10.0.0.2:80", Host: "up.test", Start: at(20), Latency: time.Millisecond, Code: 200},
	}
	x.Response.Status = 200
	x.Done = at(50)
}

const (
	long = "0af7651916cd43dd8448eb211c80319c"
	id   = "b7ad6b7169203331"
)

func TestSpans(t *testing.T) {
	url, next := collector(t)
	p := pdktest.Build(t, pdktest.Options{Plugin: opentelemetry.Plugin, Config: `{"traces_endpoint":"` + url + `","sampling_rate":1,"headers":{"X-Token":"k"},
		"resource_attributes":{"service.name":"mine","deployment":"test"},"queue":{"max_batch_size":6,"max_coalescing_delay":3600}}`})
	x := traced(p, 0, "traceparent", "00-"+long+"-"+id+"-01")
	if err := p.Phases.Access(x); err != nil {
		t.Fatal(err)
	}
	end(x)
	p.Phases.Log(x)
	r, body := next()
	if r.Method != "POST" || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("X-Token") != "k" {
		t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
	}
	resource, list := spans(t, body)
	if diff := cmp.Diff(map[string]any{"service.name": "mine", "deployment": "test", "service.version": "3.9.3", "service.instance.id": p.Env.ID()}, resource); diff != "" {
		t.Errorf("resource: -want +got:\n%s", diff)
	}
	root := hex.EncodeToString(list[0].GetSpanId())
	type row struct {
		name, parent string
		kind         trace.Span_SpanKind
		failed       bool
		ms           uint64
		attributes   map[string]any
	}
	want := []row{
		{"kong", id, trace.Span_SPAN_KIND_SERVER, false, 50, map[string]any{
			"http.method": "POST", "http.url": "http://proxy.test/a/b?q=1", "http.host": "proxy.test", "http.scheme": "http", "http.flavor": "1.1",
			"http.client_ip": "10.0.0.9", "net.peer.ip": "10.0.0.9", "kong.request.id": x.ID, "http.status_code": int64(200), "http.route": "/a",
		}},
		{"kong.router", root, trace.Span_SPAN_KIND_INTERNAL, false, 0, map[string]any{}},
		{"kong.access.plugin.key-auth", root, trace.Span_SPAN_KIND_INTERNAL, true, 0, map[string]any{}},
		{"kong.dns", root, trace.Span_SPAN_KIND_CLIENT, false, 0, map[string]any{"dns.record.domain": "up.test", "dns.record.port": 80.0, "dns.record.ip": "10.0.0.1"}},
		{"kong.balancer", root, trace.Span_SPAN_KIND_CLIENT, true, 16, map[string]any{"try_count": 1.0, "net.peer.ip": "10.0.0.1", "net.peer.port": 80.0, "net.peer.name": "up.test", "http.status_code": int64(502)}},
		{"kong.balancer", root, trace.Span_SPAN_KIND_CLIENT, false, 31, map[string]any{"try_count": 2.0, "net.peer.ip": "10.0.0.2", "net.peer.port": 80.0, "net.peer.name": "up.test"}},
	}
	if len(list) != len(want) {
		t.Fatalf("%d spans: %v", len(list), list)
	}
	for i, s := range list {
		got := row{s.GetName(), hex.EncodeToString(s.GetParentSpanId()), s.GetKind(), s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR, want[i].ms, attributes(s.GetAttributes())}
		if diff := cmp.Diff(want[i], got, cmp.AllowUnexported(row{})); diff != "" {
			t.Errorf("span %d: -want +got:\n%s", i, diff)
		}
		if hex.EncodeToString(s.GetTraceId()) != long || len(s.GetSpanId()) != 8 || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			t.Errorf("span %d: %v", i, s)
		}
		if took := (s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()) / 1e6; want[i].ms > 0 && took != want[i].ms {
			t.Errorf("span %d took %d ms, want %d", i, took, want[i].ms)
		}
	}
	// The upstream is told of the span of the last try.
	last := hex.EncodeToString(list[5].GetSpanId())
	if got := x.Request.Header.Get("traceparent"); got != "00-"+long+"-"+last+"-01" {
		t.Errorf("the upstream gets %s", got)
	}
}

func TestSampling(t *testing.T) {
	url, next := collector(t)
	for _, test := range []struct {
		name, config string
		rate         float64
		lines        []string
		want         bool
	}{
		{"setting", ``, 1, nil, true},
		{"setting off", ``, 0, nil, false},
		{"config over setting", `,"sampling_rate":0`, 1, nil, false},
		{"client says no", `,"sampling_rate":1`, 1, []string{"b3", long + "-" + id + "-0"}, false},
		{"client says yes, the rate no", `,"sampling_rate":0`, 1, []string{"b3", long + "-" + id + "-1"}, false},
		{"client says yes", `,"sampling_rate":1`, 0, []string{"b3", long + "-" + id + "-1"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: opentelemetry.Plugin, Config: `{"traces_endpoint":"` + url + `"` + test.config + `,"queue":{"max_batch_size":1}}`})
			x := traced(p, test.rate, test.lines...)
			if err := p.Phases.Access(x); err != nil {
				t.Fatal(err)
			}
			end(x)
			x.Tries = nil
			p.Phases.Log(x)
			if x.Trace.Sampled != test.want {
				t.Errorf("sampled: %v", x.Trace.Sampled)
			}
			if test.want {
				for range 4 {
					next()
				}
			}
		})
	}
}

// TestPropagationOnly: without instruments traces are passed on, and nothing is exported.
func TestPropagationOnly(t *testing.T) {
	url, _ := collector(t)
	p := pdktest.Build(t, pdktest.Options{Plugin: opentelemetry.Plugin, Config: `{"traces_endpoint":"` + url + `","sampling_rate":1,"http_response_header_for_traceid":"X-Trace"}`})
	r := p.Do(pdktest.Request{Header: [][2]string{{"b3", long + "-" + id + "-1"}}})
	b3 := r.Upstream.Get("b3")
	if !strings.HasPrefix(b3, long+"-") || !strings.HasSuffix(b3, "-0-"+id) || strings.Contains(b3[33:49], id) || r.Get("X-Trace") != long {
		t.Errorf("the upstream gets %q, the client %q", b3, r.Get("X-Trace"))
	}
	if edits := r.Exchange.LogEdits(); len(edits) != 1 || edits[0].Key != "trace_id.b3" || edits[0].Text != long {
		t.Errorf("logs have %v", edits)
	}
	// A new trace is in the default format.
	r = p.Do(pdktest.Request{})
	if tp := r.Upstream.Get("traceparent"); len(tp) != 55 || !strings.HasSuffix(tp, "-00") || tp[3:35] != r.Get("X-Trace") {
		t.Errorf("the upstream gets %q, the client %q", tp, r.Get("X-Trace"))
	}
}

// TestRetry: a collector that refuses gets the batch again.
func TestRetry(t *testing.T) {
	url, next := collector(t, 503, 202)
	p := pdktest.Build(t, pdktest.Options{Plugin: opentelemetry.Plugin, Config: `{"traces_endpoint":"` + url + `","sampling_rate":1,"queue":{"max_batch_size":4,"max_coalescing_delay":3600,"initial_retry_delay":0.001}}`})
	x := traced(p, 1)
	_ = p.Phases.Access(x)
	end(x)
	x.Tries = nil
	p.Phases.Log(x)
	_, first := next()
	next()
	if _, third := next(); string(first) != string(third) {
		t.Error("the batch changed")
	}
}

// TestBadText: bytes that are no UTF-8 do not spoil a batch.
func TestBadText(t *testing.T) {
	url, next := collector(t)
	p := pdktest.Build(t, pdktest.Options{Plugin: opentelemetry.Plugin, Config: `{"traces_endpoint":"` + url + `","sampling_rate":1,"queue":{"max_batch_size":4,"max_coalescing_delay":3600}}`})
	x := traced(p, 1)
	x.Request.RawPath, x.Request.Host = "/\xff", "\xfe"
	_ = p.Phases.Access(x)
	end(x)
	x.Tries = nil
	p.Phases.Log(x)
	_, body := next()
	if _, list := spans(t, body); attributes(list[0].GetAttributes())["http.url"] != "http://\uFFFD/\uFFFD?q=1" {
		t.Errorf("got %v", list[0])
	}
}

// loggingNode is a node with a logger that can be read along.
type loggingEnv struct {
	*pdktest.Env
	log hclog.Logger
}

func (e loggingEnv) Logger() hclog.Logger { return e.log }

func TestLogs(t *testing.T) {
	url, next := collector(t)
	log, err := logging.New(logging.Options{Name: "dp", Level: "info", Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	plain := pdktest.Build(t, pdktest.Options{Plugin: opentelemetry.Plugin, Config: `{"logs_endpoint":"` + url + `"}`})
	config, err := pdktest.Config(opentelemetry.Plugin, `{"logs_endpoint":"`+url+`","queue":{"max_batch_size":1}}`)
	if err != nil {
		t.Fatal(err)
	}
	phases, err := opentelemetry.Plugin.Build(loggingEnv{plain.Env, log.Named("plugin").Named("opentelemetry")}, config)
	if err != nil || phases.Access != nil || phases.Log != nil {
		t.Fatalf("%v, %+v", err, phases)
	}
	log.Named("plugin").Named("opentelemetry").Info("not this one")
	log.Named("proxy").Debug("nor this one")
	log.Named("proxy").Warn("upstream failed", "request_id", "r1", "tries", 2, "password", "secret", "bad", "\xff")
	_, body := next()
	var data logs.LogsData
	if err := proto.Unmarshal(body, &data); err != nil {
		t.Fatal(err)
	}
	r := data.GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords()[0]
	if r.GetSeverityNumber() != 13 || r.GetSeverityText() != "WARN" || r.GetBody().GetStringValue() != "upstream failed" || r.GetTimeUnixNano() == 0 || r.GetObservedTimeUnixNano() == 0 {
		t.Errorf("got %v", r)
	}
	if diff := cmp.Diff(map[string]any{"logger": "dp.proxy", "request.id": "r1", "tries": "2", "password": "******", "bad": "\uFFFD"}, attributes(r.GetAttributes())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAccessAllocations(t *testing.T) {
	url, _ := collector(t)
	p := pdktest.Build(t, pdktest.Options{Plugin: opentelemetry.Plugin, Config: `{"traces_endpoint":"` + url + `","sampling_rate":0}`})
	x := traced(p, 0)
	if n := testing.AllocsPerRun(100, func() {
		x.Reset()
		x.Request.Header.Add("traceparent", "00-"+long+"-"+id+"-01")
		x.Trace.Begin(pdk.TraceBalancer, 0, pdktest.Start)
		_ = p.Phases.Access(x)
		p.Phases.Log(x)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func benchmark(b *testing.B, rate float64) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer s.Close()
	url := s.URL
	p := pdktest.Build(b, pdktest.Options{Plugin: opentelemetry.Plugin, Config: fmt.Sprintf(`{"traces_endpoint":"%s","sampling_rate":%v,"queue":{"max_entries":1000}}`, url, rate)})
	x := new(pdk.Exchange)
	b.ReportAllocs()
	for b.Loop() {
		// What the host does of it is part of the price.
		x.Reset()
		pdktest.Fill(x, pdktest.Request{})
		x.Trace.Begin(^pdk.Instrument(0), rate, x.Start)
		for range 3 {
			x.Trace.End(x.Trace.Span("kong.access.plugin", "key-auth", pdk.SpanInternal), false)
		}
		_ = p.Phases.Access(x)
		x.Tries = append(x.Tries, pdk.Try{Address: "10.0.0.1:80", Start: x.Start})
		x.Done = x.Start
		p.Phases.Log(x)
	}
}

func BenchmarkSampled(b *testing.B)   { benchmark(b, 1) }
func BenchmarkUnsampled(b *testing.B) { benchmark(b, 0) }
