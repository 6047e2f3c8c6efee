package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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
	// A refusal ends the wait, also when it comes before what others say.
	var revision *response
	eventually(c.t, soon, func() error {
		revision = c.get("/clustering/revisions/" + written.header.Get("X-Sluice-Revision"))
		if missing := revision.list("missing"); len(missing) > 0 {
			return fmt.Errorf("missing: %v", missing)
		}
		return nil
	}, c.control)
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

// TestRevisionOnTheWire: what an answer was made with is in the access log, in the records
// of log plugins and, when the setting headers says so, in the answer.
func TestRevisionOnTheWire(t *testing.T) {
	c := newCluster(t, 0)
	log := filepath.Join(t.TempDir(), "access.log")
	n := c.addNode("--headers", "server_tokens, X-Sluice-Revision", "--proxy_access_log", log)
	quiet := c.addNode()
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	records := filepath.Join(t.TempDir(), "records.log")
	c.must("POST", "/plugins", object{"name": "file-log", "config": object{"path": records}}, 201)
	revision := c.must("POST", "/services/one/routes", form("name", "two", "paths[]", "/two"), 201, atOnce).header.Get("X-Sluice-Revision")
	for path, status := range map[string]int{"/two?mark=1": 200, "/nowhere?mark=1": 404} {
		if got := n.must("GET", path, nil, status).header.Get("X-Sluice-Revision"); got != revision {
			t.Errorf("%s is answered with revision %q, want %s", path, got, revision)
		}
		if got := quiet.must("GET", path, nil, status).header.Get("X-Sluice-Revision"); got != "" {
			t.Errorf("a node that was not told to says revision %s", got)
		}
	}
	eventually(t, soon, func() error {
		text, err := os.ReadFile(log)
		if err == nil && strings.Count(string(text), "mark=1") != 2 {
			err = fmt.Errorf("the access log: %s", text)
		}
		return err
	})
	text, _ := os.ReadFile(log)
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "mark=1") && !strings.HasSuffix(line, " sluice_revision: "+revision+"\n") {
			t.Errorf("the access log has %s", line)
		}
	}
	eventually(t, soon, func() error {
		text, err := os.ReadFile(records)
		if err == nil && strings.Count(string(text), `"sluice_revision":`+revision) < 4 {
			err = fmt.Errorf("records: %s", text)
		}
		return err
	})
}

// TestNothingOldAfterAWaitedWrite: three nodes are asked all the time; what is asked after
// the answer of a write that has waited for all is never answered from before it.
func TestNothingOldAfterAWaitedWrite(t *testing.T) {
	c := newCluster(t, 3)
	c.must("POST", "/routes", object{"name": "r", "paths": []string{"/r"}}, 201)
	c.must("POST", "/routes/r/plugins", object{"name": "request-termination", "config": object{"status_code": 200, "message": "0"}, "instance_name": "answer"}, 201, atOnce)
	plugin := c.get("/routes/r/plugins").list("data")[0]["id"].(string)
	var written atomic.Int64 // what has been waited for
	var wait sync.WaitGroup
	stop := make(chan struct{})
	asked := atomic.Int64{}
	for i, n := range c.nodes {
		for range 2 {
			wait.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					least := written.Load()
					r := n.try("GET", "/r", nil)
					if r.err != nil {
						t.Errorf("node %d: %v", i+1, r.err)
						return
					}
					got, err := strconv.ParseInt(r.text("message"), 10, 64)
					if err != nil || got < least {
						t.Errorf("node %d answers %d %s after %d was written and waited for", i+1, r.status, r.body, least)
						return
					}
					asked.Add(1)
				}
			})
		}
	}
	specs := []string{"all", "100%", "3", "all"}
	for i := int64(1); i <= 60 && !t.Failed(); i++ {
		r := c.must("PATCH", "/plugins/"+plugin, object{"config": object{"message": strconv.FormatInt(i, 10)}}, 200, headers{"X-Sluice-Wait", specs[i%4], "X-Sluice-Wait-Timeout", "20"})
		if got := r.header.Get("X-Sluice-Applied"); got != "3/3" {
			t.Errorf("write %d is applied by %s", i, got)
		}
		written.Store(i)
	}
	close(stop)
	wait.Wait()
	if asked.Load() < 60 {
		t.Errorf("only %d requests were made", asked.Load())
	}
	// Fewer are enough when that is asked for, and nobody waits for more than there are.
	goOn := stopped(t, c.nodes[0].program)
	for spec, least := range map[string]int{"quorum": 2, "60%": 2, "2": 2, "1": 1} {
		r := c.must("PATCH", "/plugins/"+plugin, object{"config": object{"message": "99" + strconv.Itoa(least) + strconv.Itoa(len(spec))}}, 200, headers{"X-Sluice-Wait", spec, "X-Sluice-Wait-Timeout", "20"})
		applied, total := 0, 0
		if _, err := fmt.Sscanf(r.header.Get("X-Sluice-Applied"), "%d/%d", &applied, &total); err != nil || applied < least || total != 3 {
			t.Errorf("%s: applied by %q", spec, r.header.Get("X-Sluice-Applied"))
		}
	}
	began := time.Now()
	r := c.must("PATCH", "/plugins/"+plugin, object{"config": object{"message": "7"}}, 200, headers{"X-Sluice-Wait", "90%", "X-Sluice-Wait-Timeout", "0.5"})
	if took := time.Since(began); took < 400*time.Millisecond || r.header.Get("X-Sluice-Applied") != "2/3" || r.header.Get("X-Sluice-Missing") == "" {
		t.Errorf("90%% with a stopped node: %v after %v", r.header, took)
	}
	goOn()
	for _, wrong := range []headers{{"X-Sluice-Wait", "0%"}, {"X-Sluice-Wait", "101%"}, {"X-Sluice-Wait", "-1"}, {"X-Sluice-Wait", "all", "X-Sluice-Wait-Timeout", "x"}, {"X-Sluice-Wait", "all", "X-Sluice-Wait-Timeout", "601"}} {
		c.must("PATCH", "/plugins/"+plugin, object{"config": object{"message": "8"}}, 400, wrong)
	}
}
