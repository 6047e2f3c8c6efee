package status_test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/status"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func facts() status.Facts {
	return status.Facts{
		Position: config.Position{Lineage: "l", Revision: 7}, Head: config.Position{Lineage: "l", Revision: 9}, Connected: true,
		CertificateExpires: time.Unix(1_800_000_000, 0), Requests: 42, Active: 1, Panics: 2, Routes: 3, Entities: 4,
		Connections: status.Connections{Accepted: 10, Active: 5, Reading: 1, Writing: 1, Waiting: 3},
	}
}

func get(t *testing.T, h *status.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

// TestMetrics reads /metrics with Prometheus' own parser.
func TestMetrics(t *testing.T) {
	h := status.New(status.Options{
		NodeID: "n1", Facts: facts,
		Targets: func() []status.Target {
			return []status.Target{
				{Upstream: "up", Target: "a:80", Address: "10.0.0.1:80", Health: "UNHEALTHY"},
				{Upstream: "up", Target: "b:80", Health: "DNS_ERROR"},
			}
		},
		Metrics: func(b []byte) []byte { return append(pdk.AppendMetric(b, "mine", "counter", "Mine."), "mine 3\n"...) },
	})
	w := get(t, h, "/metrics")
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, w.Body)
	}
	if w.Header().Get("Content-Type") != "text/plain; version=0.0.4; charset=utf-8" {
		t.Error(w.Header())
	}
	value := func(name string, labels ...string) float64 {
		for _, m := range families[name].GetMetric() {
			found := 0
			for _, l := range m.GetLabel() {
				for i := 0; i < len(labels); i += 2 {
					if l.GetName() == labels[i] && l.GetValue() == labels[i+1] {
						found++
					}
				}
			}
			if found == len(labels)/2 {
				if families[name].GetType() == dto.MetricType_COUNTER {
					return m.GetCounter().GetValue()
				}
				return m.GetGauge().GetValue()
			}
		}
		return -1
	}
	for _, test := range []struct {
		want   float64
		name   string
		labels []string
	}{
		{10, "kong_nginx_connections_total", []string{"node_id", "n1", "subsystem", "http", "state", "accepted"}},
		{42, "kong_nginx_connections_total", []string{"state", "total"}},
		{3, "kong_nginx_connections_total", []string{"state", "waiting"}},
		{42, "kong_nginx_requests_total", []string{"node_id", "n1", "subsystem", "http"}},
		{1, "kong_node_info", []string{"node_id", "n1", "version", "3.9.3"}},
		{1, "kong_datastore_reachable", nil},
		{1, "kong_control_plane_connected", nil},
		{1_800_000_000, "kong_data_plane_cluster_cert_expiry_timestamp", nil},
		{1, "kong_upstream_target_health", []string{"upstream", "up", "target", "a:80", "address", "10.0.0.1:80", "state", "unhealthy", "subsystem", "http"}},
		{0, "kong_upstream_target_health", []string{"target", "a:80", "state", "healthy"}},
		{1, "kong_upstream_target_health", []string{"target", "b:80", "address", "", "state", "dns_error"}},
		{7, "sluice_dataplane_revision", nil},
		{9, "sluice_dataplane_head_revision", nil},
		{2, "sluice_dataplane_plugin_panics_total", nil},
		{3, "mine", nil},
	} {
		if got := value(test.name, test.labels...); got != test.want {
			t.Errorf("%s%v is %v, want %v", test.name, test.labels, got, test.want)
		}
	}
	if value("kong_memory_workers_lua_vms_bytes", "node_id", "n1", "kong_subsystem", "http") <= 0 {
		t.Error("no memory is used")
	}
	// Nobody asks for the targets, the disk is broken, no certificate is known.
	h = status.New(status.Options{NodeID: "n1", Targets: func() []status.Target { return nil }, Facts: func() status.Facts {
		return status.Facts{CacheError: "full"}
	}})
	body := get(t, h, "/metrics").Body.String()
	for text, want := range map[string]bool{
		"kong_upstream_target_health": false, "cert_expiry": false, "kong_datastore_reachable 0\n": true, "kong_control_plane_connected 0\n": true,
	} {
		if bytes.Contains([]byte(body), []byte(text)) != want {
			t.Errorf("%q is there: %v", text, !want)
		}
	}
}

func TestReadiness(t *testing.T) {
	f := facts()
	h := status.New(status.Options{Facts: func() status.Facts { return f }})
	if w := get(t, h, "/status/ready"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	f.Position = config.Position{}
	if w := get(t, h, "/status/ready"); w.Code != 503 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	f = facts()
	f.Behind = true
	if w := get(t, h, "/status/ready"); w.Code != 503 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	f = facts()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/status/ready?status=draining", nil))
	if w.Code != 204 || get(t, h, "/status/ready").Code != 503 {
		t.Errorf("draining: %d", w.Code)
	}
	var v map[string]any
	if err := json.Unmarshal(get(t, h, "/status").Body.Bytes(), &v); err != nil || v["server"] == nil {
		t.Errorf("%v: %v", err, v)
	}
}
