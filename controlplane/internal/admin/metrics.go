package admin

import (
	"math/big"
	"net/http"
	"os"
	"runtime"
	"strconv"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/version"
)

// metrics shows this control plane and its data planes in Prometheus' text format, under
// Kong's names. What requests did is at the data planes: each shows its own.
func (a *API) metrics(*call) (answer, error) {
	b := a.ownMetrics(nil)
	rows := a.o.Fleet.Nodes()
	b = appendFleet(b, a.o.Fleet.Figures())
	b = appendNodes(b, rows, "sluice_data_plane_lag_revisions", "Revisions that the data plane is behind.", func(row map[string]any) (string, string) {
		return "", number(row["lag"])
	})
	b = appendNodes(b, rows, "sluice_data_plane_lag_seconds", "For how long there has been something that the data plane does not serve.", func(row map[string]any) (string, string) {
		return "", number(row["lag_seconds"])
	})
	b = appendNodes(b, rows, "sluice_data_plane_connected", "Whether the data plane is connected.", func(row map[string]any) (string, string) {
		if row["connected"] == true {
			return "", "1"
		}
		return "", "0"
	})
	b = appendNodes(b, rows, "kong_data_plane_last_seen", "When the data plane was heard of last, in seconds since 1970.", func(row map[string]any) (string, string) {
		return "", number(row["last_seen"])
	})
	b = appendNodes(b, rows, "kong_data_plane_config_hash", "Hash of the configuration that the data plane has, as a number.", func(row map[string]any) (string, string) {
		hash, _ := row["config_hash"].(string)
		n, ok := new(big.Int).SetString(hash, 16)
		if !ok {
			return "", ""
		}
		return "", new(big.Float).SetInt(n).Text('g', 17)
	})
	b = appendNodes(b, rows, "kong_data_plane_version_compatible", "Whether the data plane can have the configuration; 0 when it is too old for it.", func(row map[string]any) (string, string) {
		v, _ := row["version"].(string)
		compatible := "1"
		switch row["sync_status"] {
		case "kong_version_incompatible", "plugin_set_incompatible", "plugin_version_incompatible":
			compatible = "0"
		}
		return string(pdk.AppendLabel([]byte(","), "kong_version", v)[1:]), compatible
	})
	return answer{status: http.StatusOK, body: text{"text/plain; version=0.0.4; charset=utf-8", string(b)}}, nil
}

func (a *API) ownMetrics(b []byte) []byte {
	id := string(pdk.AppendLabel(nil, "node_id", a.o.NodeID))
	line := func(name, labels string, value int64) {
		b = append(b, name...)
		if labels != "" {
			b = append(append(append(b, '{'), labels...), '}')
		}
		b = append(strconv.AppendInt(append(b, ' '), value, 10), '\n')
	}
	b = pdk.AppendMetric(b, "kong_nginx_connections_total", "gauge", "Connections of the Admin API by state; accepted, handled and total count since the start.")
	active, waiting := a.active.Load(), max(0, a.idle.Load())
	for _, s := range []struct {
		state string
		n     int64
	}{
		{"accepted", a.accepted.Load()},
		{"handled", a.handled.Load()},
		{"total", a.requests.Load()},
		{"active", active},
		{"reading", 0},
		{"writing", max(0, active-waiting)},
		{"waiting", waiting},
	} {
		line("kong_nginx_connections_total", id+`,subsystem="http",state="`+s.state+`"`, s.n)
	}
	b = pdk.AppendMetric(b, "kong_nginx_requests_total", "gauge", "Requests to the Admin API since the start.")
	line("kong_nginx_requests_total", id+`,subsystem="http"`, a.requests.Load())
	b = pdk.AppendMetric(b, "kong_node_info", "gauge", "What the node is: its id and the version of Kong that it stands for.")
	line("kong_node_info", id+`,version="`+version.Kong+`"`, 1)
	b = pdk.AppendMetric(b, "kong_datastore_reachable", "gauge", "Whether the store can be read.")
	reachable := int64(0)
	if a.healthy() == nil {
		reachable = 1
	}
	line("kong_datastore_reachable", "", reachable)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b = pdk.AppendMetric(b, "kong_memory_workers_lua_vms_bytes", "gauge", "Bytes on the heap of the process, which takes the place of Kong's workers.")
	line("kong_memory_workers_lua_vms_bytes", id+`,pid="`+strconv.Itoa(os.Getpid())+`",kong_subsystem="http"`, int64(m.HeapAlloc))
	if a.o.Position != nil {
		if p, err := a.o.Position(); err == nil {
			b = pdk.AppendMetric(b, "sluice_controlplane_revision", "gauge", "Revision of the configuration.")
			line("sluice_controlplane_revision", "", int64(p.Revision))
		}
	}
	return b
}

// appendNodes appends a gauge with a series for each data plane. value returns further
// labels, with their comma, and the value; "" leaves the node out.
func appendNodes(b []byte, rows []map[string]any, name, help string, value func(row map[string]any) (labels, value string)) []byte {
	headed := false
	for _, row := range rows {
		labels, v := value(row)
		if v == "" {
			continue
		}
		if !headed {
			b = pdk.AppendMetric(b, name, "gauge", help)
			headed = true
		}
		b = append(b, name+"{"...)
		for _, label := range [][2]string{{"node_id", "id"}, {"hostname", "hostname"}, {"ip", "ip"}} {
			text, _ := row[label[1]].(string)
			b = pdk.AppendLabel(b, label[0], text)
		}
		b = append(append(append(append(b, labels...), "} "...), v...), '\n')
	}
	return b
}

func number(v any) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}
