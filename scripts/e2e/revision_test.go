package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// refusal holds that a write which a node refuses says so at once, that its revision tells
// which entity is to blame, and the list of nodes as well.
func (c *cluster) refusal(written *response, n *node) {
	c.t.Helper()
	name := ""
	var row map[string]any
	for label, r := range c.listed() {
		if strings.HasSuffix(label, strconv.Itoa(len(c.nodes))) {
			name, row = label, r
		}
	}
	id, _ := row["id"].(string)
	if got := written.header.Get("X-Sluice-Refused"); got != id || id == "" {
		c.t.Errorf("X-Sluice-Refused is %q, want %s", got, id)
	}
	revision := c.get("/clustering/revisions/" + written.header.Get("X-Sluice-Revision"))
	refused := revision.list("refused")
	if len(refused) != 1 || refused[0]["id"] != id || len(revision.list("applied")) != len(c.nodes)-1 {
		c.t.Fatalf("the revision: %s", revision.body)
	}
	errs, _ := refused[0]["errors"].([]any)
	why, _ := errs[0].(map[string]any)
	if len(errs) != 1 || why["kind"] != "plugins" || why["name"] != "hello" || why["field"] != "name" || !strings.Contains(fmt.Sprint(why["message"]), "does not have the plugin") || why["id"] != written.text("id") {
		c.t.Errorf("%s refuses because of %v", name, errs)
	}
	if fmt.Sprint(row["refused_revision"]) != written.header.Get("X-Sluice-Revision") || row["state"] != "refused" || row["lag"] != 1.0 {
		c.t.Errorf("the node: %v", row)
	}
}

// TestRevisionsOfTheFleet: who applied what when, what each node has, and the same as
// Prometheus reads it.
func TestRevisionsOfTheFleet(t *testing.T) {
	c := newCluster(t, 3)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	r := c.must("POST", "/services/one/routes", form("name", "two", "paths[]", "/two"), 201, atOnce)
	if got := r.header.Get("X-Sluice-Applied"); got != "3/3" {
		t.Errorf("X-Sluice-Applied: %s", got)
	}
	n := r.header.Get("X-Sluice-Revision")
	one := c.get("/clustering/revisions/" + n)
	applied := one.list("applied")
	if len(applied) != 3 || len(one.list("missing")) != 0 || one.at("last_applied_ms") == nil || one.at("changes") != 1.0 || one.at("request", "path") != "/services/one/routes" {
		t.Fatalf("revision %s: %s", n, one.body)
	}
	for _, a := range applied {
		if after, _ := a["after_ms"].(float64); after < 0 || after > 10_000 || a["connected"] != true || fmt.Sprint(a["serving"]) != n {
			t.Errorf("applied by %v", a)
		}
	}
	rows := c.get("/clustering/revisions?size=3").list("data")
	if len(rows) != 3 || fmt.Sprint(rows[0]["revision"]) != n || fmt.Sprint(rows[0]["nodes"]) != "map[applied:3 missing:0 refused:0]" {
		t.Errorf("the list: %v", rows)
	}
	// A node that is stopped is missing, then late.
	goOn := stopped(t, c.nodes[2].program)
	r = c.must("POST", "/services/one/routes", form("name", "three", "paths[]", "/three"), 201, headers{"X-Sluice-Wait", "all", "X-Sluice-Wait-Timeout", "1"})
	n = r.header.Get("X-Sluice-Revision")
	missing := c.get("/clustering/revisions/" + n).list("missing")
	if len(missing) != 1 || missing[0]["id"] != r.header.Get("X-Sluice-Missing") || r.header.Get("X-Sluice-Applied") != "2/3" {
		t.Errorf("missing %v, headers %v", missing, r.header)
	}
	for name, row := range c.listed() {
		lag, _ := row["lag_seconds"].(float64)
		if late := row["id"] == missing[0]["id"]; late != (lag > 0) || late != (row["lag"] == 1.0) {
			t.Errorf("%s: lag %v, %v seconds", name, row["lag"], lag)
		}
	}
	goOn()
	eventually(t, soon, func() error {
		r := c.get("/clustering/revisions/" + n)
		if len(r.list("applied")) == 3 && r.at("last_applied_ms") != nil {
			return nil
		}
		return fmt.Errorf("revision %s: %s", n, r.body)
	})
	eventually(t, soon, func() error {
		for name, row := range c.listed() {
			config, _ := row["configuration"].(map[string]any)
			if entities, _ := config["entities"].(float64); entities != 4 || config["routes"] != 3.0 {
				return fmt.Errorf("%s has %v", name, config)
			}
		}
		return nil
	})
	all, err := (&client{t: t, base: c.status}).metrics()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := missing[0]["id"].(string)
	for _, want := range []struct {
		name   string
		labels []string
		least  float64
	}{
		{"sluice_config_applied_seconds", nil, 9},
		{"sluice_config_applied_by_all_seconds", nil, 3},
		{"sluice_data_planes_connected", nil, 3},
		{"sluice_data_planes", []string{"state", "applied"}, 3},
		{"sluice_data_planes", []string{"state", "refused"}, 0},
		{"sluice_data_plane_lag_revisions", []string{"node_id", id}, 0},
		{"sluice_data_plane_lag_seconds", []string{"node_id", id}, 0},
		{"sluice_data_plane_connected", []string{"node_id", id}, 1},
		{"sluice_config_refused_total", nil, 0},
		{"sluice_config_sent_total", []string{"plan", "delta"}, 6},
		{"sluice_config_sent_total", []string{"plan", "snapshot"}, 0},
		{"sluice_config_sent_bytes_total", nil, 1000},
	} {
		if got, ok := sample(all[want.name], want.labels...); !ok || got < want.least {
			t.Errorf("%s%v is %v, want %v at least", want.name, want.labels, got, want.least)
		}
	}
}
