package status

import (
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/version"
)

// ContentType of Prometheus' text format.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// metrics shows the node's own figures, under Kong's names where Kong has them, and behind
// them what plugins have measured.
func (h *Handler) metrics(w http.ResponseWriter, _ *http.Request) {
	b := h.figures(nil)
	if h.o.Targets != nil {
		b = appendTargets(b, h.o.Targets())
	}
	if h.o.Metrics != nil {
		b = h.o.Metrics(b)
	}
	w.Header().Set("Content-Type", metricsType)
	_, _ = w.Write(b)
}

// figures appends what is known of the node.
func (h *Handler) figures(b []byte) []byte {
	f := h.o.Facts()
	node := string(pdk.AppendLabel(nil, "node_id", h.o.NodeID))
	gauge := func(name, kind, help string) { b = pdk.AppendMetric(b, name, kind, help) }
	line := func(name, labels string, value int64) {
		b = append(b, name...)
		if labels != "" {
			b = append(append(append(b, '{'), labels...), '}')
		}
		b = append(strconv.AppendInt(append(b, ' '), value, 10), '\n')
	}
	gauge("kong_nginx_connections_total", "gauge", "Clients' connections by state; accepted, handled and total count since the start.")
	c := &f.Connections
	for _, s := range []struct {
		state string
		n     int64
	}{
		{"accepted", c.Accepted},
		{"handled", c.Accepted},
		{"total", f.Requests},
		{"active", c.Active},
		{"reading", c.Reading},
		{"writing", c.Writing},
		{"waiting", c.Waiting},
	} {
		line("kong_nginx_connections_total", node+`,subsystem="http",state="`+s.state+`"`, s.n)
	}
	gauge("kong_nginx_requests_total", "gauge", "Requests since the node started.")
	line("kong_nginx_requests_total", node+`,subsystem="http"`, f.Requests)
	gauge("kong_node_info", "gauge", "What the node is: its id and the version of Kong that it stands for.")
	line("kong_node_info", node+`,version="`+version.Kong+`"`, 1)
	gauge("kong_datastore_reachable", "gauge", "Whether the node can keep its configuration on disk.")
	line("kong_datastore_reachable", "", truth(f.CacheError == ""))
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	gauge("kong_memory_workers_lua_vms_bytes", "gauge", "Bytes on the heap of the process, which takes the place of Kong's workers.")
	line("kong_memory_workers_lua_vms_bytes", node+`,pid="`+strconv.Itoa(os.Getpid())+`",kong_subsystem="http"`, int64(m.HeapAlloc))
	gauge("kong_control_plane_connected", "gauge", "Whether the node is connected to the control plane.")
	line("kong_control_plane_connected", "", truth(f.Connected))
	if !f.CertificateExpires.IsZero() {
		gauge("kong_data_plane_cluster_cert_expiry_timestamp", "gauge", "When the certificate of the link to the control plane ends, in seconds since 1970.")
		line("kong_data_plane_cluster_cert_expiry_timestamp", "", f.CertificateExpires.Unix())
	}
	for _, g := range []struct {
		name, kind, help string
		value            int64
	}{
		{"sluice_dataplane_revision", "gauge", "Revision of the configuration that is served.", int64(f.Position.Revision)},
		{"sluice_dataplane_head_revision", "gauge", "Revision that the control plane has, as far as known.", int64(f.Head.Revision)},
		{"sluice_dataplane_requests_active", "gauge", "Requests under way.", f.Active},
		{"sluice_dataplane_plugin_panics_total", "counter", "Plugin phases that panicked.", f.Panics},
		{"sluice_dataplane_routes", "gauge", "Routes in the router.", int64(f.Routes)},
		{"sluice_dataplane_integrity_found_total", "counter", "Entities that were not in memory what was applied.", int64(f.Integrity.Found)},
		{"sluice_dataplane_integrity_repaired_total", "counter", "Those of them that are again.", int64(f.Integrity.Repaired)},
		{"sluice_dataplane_entities", "gauge", "Entities in the configuration.", int64(f.Entities)},
	} {
		gauge(g.name, g.kind, g.help)
		line(g.name, "", g.value)
	}
	return b
}

func truth(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// healths are the states that a target has in kong_upstream_target_health.
var healths = [...]string{"healthchecks_off", "healthy", "unhealthy", "dns_error"}

// appendTargets shows each state of each target, 1 for the one that it is in.
func appendTargets(b []byte, targets []Target) []byte {
	const name = "kong_upstream_target_health"
	for i := range targets {
		t := &targets[i]
		if i == 0 {
			b = pdk.AppendMetric(b, name, "gauge", "Health of targets: 1 for the state that a target is in, 0 for the others.")
		}
		for _, state := range healths {
			b = append(b, name+"{"...)
			b = pdk.AppendLabel(b, "upstream", t.Upstream)
			b = pdk.AppendLabel(b, "target", t.Target)
			b = pdk.AppendLabel(b, "address", t.Address)
			b = pdk.AppendLabel(b, "state", state)
			b = append(b, `,subsystem="http"} `...)
			b = append(strconv.AppendInt(b, truth(strings.EqualFold(t.Health, state)), 10), '\n')
		}
	}
	return b
}
