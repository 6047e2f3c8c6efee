package e2e

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collected are the bodies that a server was sent.
type collected struct {
	url string
	mu  sync.Mutex
	all [][]byte
}

// collect starts a server that takes what it is sent.
func collect(t *testing.T) *collected {
	t.Helper()
	c := &collected{}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all = append(c.all, b)
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func (c *collected) bodies() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

// metrics reads /metrics of a node with Prometheus' own parser.
func (c *client) metrics() (map[string]*dto.MetricFamily, error) {
	r := c.try("GET", "/metrics", nil)
	if r.err != nil {
		return nil, r.err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(r.body))
}

// sample returns the value of the series with the labels, as name, value pairs.
func sample(f *dto.MetricFamily, labels ...string) (float64, bool) {
	for _, m := range f.GetMetric() {
		found := 0
		for _, l := range m.GetLabel() {
			for i := 0; i < len(labels); i += 2 {
				if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
					found++
				}
			}
		}
		if found == len(labels)/2 {
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				return m.GetCounter().GetValue(), true
			case dto.MetricType_HISTOGRAM:
				return float64(m.GetHistogram().GetSampleCount()), true
			default:
				return m.GetGauge().GetValue(), true
			}
		}
	}
	return 0, false
}

// TestObservability: what prometheus, http-log and opentelemetry tell of real requests.
func TestObservability(t *testing.T) {
	logs, traces := collect(t), collect(t)
	c := newCluster(t, 0)
	n := c.addNode("--tracing_instrumentations", "all", "--tracing_sampling_rate", "1")
	up := newEcho(t, "up")
	c.serve("seen", up.URL, "/seen")
	c.must("POST", "/upstreams", form("name", "pool"), 201)
	c.must("POST", "/upstreams/pool/targets", form("target", strings.TrimPrefix(up.URL, "http://")), 201)
	c.must("POST", "/plugins", form("name", "prometheus", "config.status_code_metrics", "true", "config.latency_metrics", "true",
		"config.bandwidth_metrics", "true", "config.upstream_health_metrics", "true"), 201)
	c.must("POST", "/plugins", form("name", "http-log", "config.http_endpoint", logs.url, "config.custom_fields_by_lua.mine", "return kong.request.get_method()"), 201)
	c.must("POST", "/plugins", form("name", "opentelemetry", "config.traces_endpoint", traces.url+"/v1/traces", "config.queue.max_batch_size", "50", "config.queue.max_coalescing_delay", "0.1"), 201)
	c.must("POST", "/plugins", form("name", "correlation-id"), 201)
	const id = "0af7651916cd43dd8448eb211c80319c"
	parent := headers{"traceparent", "00-" + id + "-b7ad6b7169203331-01", "Authorization", "secret"}
	n.applied("/seen", "X-None", "", parent)
	eventually(t, soon, func() error {
		n.try("GET", "/seen?a=b", nil, parent)
		if len(logs.bodies()) == 0 || len(traces.bodies()) == 0 {
			return errors.New("nothing is told yet")
		}
		return nil
	}, n.program)

	// The log.
	var entry struct {
		Mine          string
		TraceID       map[string]string `json:"trace_id"`
		CorrelationID string            `json:"correlation_id"`
		Source        string
		Request       struct {
			Method, URI, URL string
			Size             int
			Headers          map[string]any
		}
		Response  struct{ Status, Size int }
		Latencies map[string]int
		Service   struct{ Name string }
		Tries     []struct{ IP string }
	}
	eventually(t, soon, func() error {
		bodies := logs.bodies()
		last := bodies[len(bodies)-1]
		if err := json.Unmarshal(last, &entry); err != nil {
			return fmt.Errorf("%w in %s", err, last)
		}
		if entry.Request.Method != "GET" {
			return fmt.Errorf("the last entry is %s", last)
		}
		return nil
	})
	switch {
	case entry.Request.URI != "/seen?a=b", !strings.HasPrefix(entry.Request.URL, n.base), entry.Response.Status != 200, entry.Source != "upstream",
		entry.Service.Name != "seen", len(entry.Tries) != 1, entry.Mine != "GET", entry.TraceID["w3c"] != id, entry.CorrelationID == "":
		t.Errorf("the log has %+v", entry)
	case entry.Request.Headers["authorization"] != "REDACTED", entry.Request.Headers["x-forwarded-for"] != nil, entry.Request.Headers["user-agent"] == nil:
		t.Errorf("the log has the headers %v", entry.Request.Headers)
	case entry.Request.Size < 100, entry.Response.Size < 100, len(entry.Latencies) != 4:
		t.Errorf("the log has the sizes %d and %d, the latencies %v", entry.Request.Size, entry.Response.Size, entry.Latencies)
	}

	// The spans.
	names := map[string]string{}
	eventually(t, soon, func() error {
		for _, body := range traces.bodies() {
			var data trace.TracesData
			if err := proto.Unmarshal(body, &data); err != nil {
				return err
			}
			for _, s := range data.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans() {
				if hex.EncodeToString(s.GetTraceId()) == id {
					names[s.GetName()] = hex.EncodeToString(s.GetParentSpanId())
				}
			}
		}
		for _, want := range []string{"kong", "kong.router", "kong.access.plugin.opentelemetry", "kong.access.plugin.correlation-id", "kong.balancer"} {
			if _, ok := names[want]; !ok {
				return fmt.Errorf("no span %s among %v", want, names)
			}
		}
		return nil
	})
	if names["kong"] != "b7ad6b7169203331" || names["kong.router"] != names["kong.balancer"] {
		t.Errorf("spans and what they are below: %v", names)
	}

	// The metrics.
	eventually(t, soon, func() error {
		m, err := n.status.metrics()
		if err != nil {
			return err
		}
		route := []string{"service", "seen", "route", "seen", "workspace", "default"}
		for name, labels := range map[string][]string{
			"kong_http_requests_total":           append([]string{"code", "200", "source", "service", "consumer", ""}, route...),
			"kong_bandwidth_bytes":               append([]string{"direction", "egress", "consumer", ""}, route...),
			"kong_kong_latency_ms":               route,
			"kong_upstream_latency_ms":           route,
			"kong_request_latency_ms":            route,
			"kong_nginx_connections_total":       {"subsystem", "http", "state", "accepted"},
			"kong_node_info":                     {"version", "3.9.3"},
			"kong_datastore_reachable":           nil,
			"kong_control_plane_connected":       nil,
			"kong_upstream_target_health":        {"upstream", "pool", "state", "healthchecks_off", "subsystem", "http"},
			"sluice_dataplane_log_entries_total": {"plugin", "http-log", "result", "sent"},
		} {
			if v, ok := sample(m[name], labels...); !ok || v < 1 {
				return fmt.Errorf("%s%v is %v", name, labels, v)
			}
		}
		return nil
	}, n.program)
	control, err := c.metrics()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kong_data_plane_last_seen", "kong_data_plane_version_compatible", "kong_datastore_reachable", "kong_node_info"} {
		if v, ok := sample(control[name]); !ok || v < 1 {
			t.Errorf("%s of the control plane is %v", name, v)
		}
	}
}

// TestLogSinkAway: a node goes on without its log server, counts what is lost, and ends.
func TestLogSinkAway(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("seen", up.URL, "/seen")
	c.must("POST", "/plugins", form("name", "http-log", "config.http_endpoint", "http://127.0.0.1:1/", "config.queue.max_entries", "5", "config.queue.max_retry_time", "3600"), 201)
	eventually(t, soon, func() error {
		for range 20 {
			if r := n.try("GET", "/seen", nil); r.err != nil || r.status != 200 {
				return fmt.Errorf("%d %w", r.status, r.err)
			}
		}
		m, err := n.status.metrics()
		if err != nil {
			return err
		}
		dropped, _ := sample(m["sluice_dataplane_log_entries_total"], "plugin", "http-log", "result", "dropped")
		waiting, _ := sample(m["sluice_dataplane_log_entries_waiting"], "plugin", "http-log")
		if dropped < 1 || waiting > 5 {
			return fmt.Errorf("%v dropped, %v wait", dropped, waiting)
		}
		return nil
	}, n.program)
	n.stop()
}
