package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/referencetest"
)

// fleet answers as it is told.
type fleet struct {
	mu      sync.Mutex
	nodes   []map[string]any
	result  hub.Result
	err     error
	waited  []store.Position
	asked   []string
	replies func(target, name string) []pdk.NodeReply
	became  hub.Revision
	figures hub.Figures
}

func (f *fleet) Nodes() []map[string]any { return f.nodes }

func (f *fleet) Revision(uint64) hub.Revision { return f.became }

func (f *fleet) RevisionCounts(revisions []uint64) []hub.Counts {
	out := make([]hub.Counts, len(revisions))
	for i := range out {
		out[i] = hub.Counts{Known: true, Applied: len(f.became.Applied), Refused: len(f.became.Refused), Missing: len(f.became.Missing), Last: f.became.Last}
	}
	return out
}

func (f *fleet) Figures() hub.Figures { return f.figures }

func (f *fleet) Wait(_ context.Context, p store.Position, _ hub.Spec) (hub.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waited = append(f.waited, p)
	return f.result, f.err
}

func (f *fleet) Broadcast(_ context.Context, target, name string, arguments any) []pdk.NodeReply {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, _ := json.Marshal(arguments)
	f.asked = append(f.asked, target+" "+name+" "+string(b))
	if f.replies == nil {
		return nil
	}
	return f.replies(target, name)
}

// level is a log level that knows three names.
type level struct {
	mu  sync.Mutex
	now string
}

func (l *level) Get() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *level) Set(name string) error {
	if name != "debug" && name != "notice" && name != "error" {
		return errors.New("no such level")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = name
	return nil
}

func readReference(t *testing.T, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(referencetest.Dir(t), name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func TestRootHasWhatClientsNeed(t *testing.T) {
	s := newServer(t, nil)
	var want, got map[string]any
	readReference(t, "schemas/root.json", &want)
	s.do("GET", "/", nil, "").is(200).into(&got)
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("GET / has no %s", name)
		}
	}
	for name, value := range map[string]any{"version": "3.9.3", "edition": "community", "hostname": "host", "node_id": nodeID} {
		if got[name] != value {
			t.Errorf("%s is %v, want %v", name, got[name], value)
		}
	}
	if got["sluice_version"] == "" {
		t.Error("no sluice_version")
	}
	enabled := func() any {
		var root struct {
			Plugins struct {
				Enabled   []string       `json:"enabled_in_cluster"`
				Available map[string]any `json:"available_on_server"`
			}
		}
		s.do("GET", "/", nil, "").is(200).into(&root)
		if root.Plugins.Available["key-auth"] == nil {
			t.Error("key-auth is not available")
		}
		return strings.Join(root.Plugins.Enabled, ",")
	}
	if got := enabled(); got != "" {
		t.Errorf("enabled in an empty cluster: %v", got)
	}
	s.do("POST", "/plugins", headers{"Content-Type": "application/json"}, `{"name":"key-auth"}`).is(201)
	if got := enabled(); got != "key-auth" {
		t.Errorf("enabled: %v, want key-auth", got)
	}
}

func TestStatus(t *testing.T) {
	s := newServer(t, func(o *admin.Options) { o.Health = func() error { return errors.New("disk is gone") } })
	var got struct {
		Database struct{ Reachable bool }
		Server   map[string]float64
		Memory   struct {
			VMs []struct {
				GC any `json:"http_allocated_gc"`
			} `json:"workers_lua_vms"`
		}
	}
	s.do("GET", "/status", nil, "").is(200).into(&got)
	if got.Database.Reachable || got.Server["total_requests"] < 1 || len(got.Memory.VMs) != 1 || !strings.HasSuffix(got.Memory.VMs[0].GC.(string), " MiB") {
		t.Errorf("got %+v", got)
	}
	s.do("GET", "/status?unit=k&scale=0", nil, "").is(200).into(&got)
	if text, _ := got.Memory.VMs[0].GC.(string); !strings.HasSuffix(text, " KiB") || strings.Contains(text, ".") {
		t.Errorf("in KiB: %v", got.Memory.VMs[0].GC)
	}
	s.do("GET", "/status?unit=x", nil, "").is(400).says("invalid unit 'x'")
	s.do("GET", "/status?scale=-1", nil, "").is(400).says("invalid scale '-1'")
}

func TestLogLevel(t *testing.T) {
	l := &level{now: "notice"}
	f := &fleet{replies: func(string, string) []pdk.NodeReply {
		return []pdk.NodeReply{{NodeID: "good"}, {NodeID: "bad", Err: errors.New("no answer")}}
	}}
	s := newServer(t, func(o *admin.Options) { o.LogLevel, o.Fleet = l, f })
	json := headers{"Content-Type": "application/json"}
	s.do("GET", "/debug/node/log-level", nil, "").is(200).says("log level: notice")
	s.do("PUT", "/debug/node/log-level/nope", nil, "").is(400).says("unknown log level: nope")
	s.do("PUT", "/debug/node/log-level/notice", nil, "").is(200).says("log level is already notice")
	s.do("PUT", "/debug/node/log-level/debug", json, `{"timeout":-1}`).is(400).says("timeout must be greater than or equal to 0")
	s.do("PUT", "/debug/node/log-level/debug?timeout=90000", nil, "").is(400).says("timeout must be at most 86400")
	s.do("PUT", "/debug/node/log-level/nope", json, `{"timeout":-1}`).is(400).says("unknown log level: nope")
	s.do("PUT", "/debug/node/log-level/debug", nil, "").is(200).says("log level changed")
	if got := l.Get(); got != "debug" {
		t.Fatalf("level is %s", got)
	}
	// A second temporary change ends with the level before the first.
	s.do("PUT", "/debug/node/log-level/error", headers{"Content-Type": "application/x-www-form-urlencoded"}, "timeout=0.01").is(200)
	deadline := time.Now().Add(10 * time.Second)
	for l.Get() != "notice" {
		if time.Now().After(deadline) {
			t.Fatalf("level is still %s", l.Get())
		}
		time.Sleep(time.Millisecond)
	}
	s.do("PUT", "/debug/node/log-level/error", json, `{"timeout":0}`).is(200)
	s.do("PUT", "/debug/cluster/log-level/debug", json, `{"timeout":5}`).is(200).says(`"bad":"no answer"`)
	if len(f.asked) != 1 || f.asked[0] != ` log-level {"level":"debug","seconds":5}` {
		t.Errorf("asked %q", f.asked)
	}
	s.api.Close()
	if got := l.Get(); got != "error" {
		t.Errorf("after Close the level is %s, want the lasting one", got)
	}
}

func TestDataPlanes(t *testing.T) {
	f := &fleet{nodes: []map[string]any{
		{"id": "a", "hostname": "ha", "ip": "1.1.1.1", "config_hash": "x", "last_seen": 1, "state": "applied"},
		{"id": "b", "hostname": "hb", "ip": "1.1.1.2", "config_hash": "x", "last_seen": 2, "state": "syncing"},
	}}
	s := newServer(t, func(o *admin.Options) { o.Fleet = f })
	var page struct {
		Data []map[string]any
		Next *string
	}
	s.do("GET", "/clustering/data-planes", nil, "").is(200).into(&page)
	if len(page.Data) != 2 || page.Next != nil || page.Data[0]["state"] != "applied" {
		t.Errorf("got %v", page)
	}
	s.do("GET", "/clustering/data-planes?size=1", nil, "").is(200).into(&page)
	if len(page.Data) != 1 || page.Next == nil || *page.Next != "/clustering/data-planes?offset=1&size=1" {
		t.Fatalf("got %v", page)
	}
	s.do("GET", *page.Next, nil, "").is(200).into(&page)
	if len(page.Data) != 1 || page.Data[0]["id"] != "b" || page.Next != nil {
		t.Errorf("got %v", page)
	}
	s.do("GET", "/clustering/data-planes?offset=x", nil, "").is(400).says(`"code":7`)
	var status map[string]map[string]any
	s.do("GET", "/clustering/status", nil, "").is(200).into(&status)
	if status["b"]["hostname"] != "hb" || status["b"]["last_seen"] != 2.0 || status["b"]["state"] != nil {
		t.Errorf("got %v", status)
	}
}

// document is a declarative configuration that answers as it is told.
type document struct {
	got, contentType string
	flatten          bool
	err              error
}

func (d *document) Load(_ context.Context, _ string, r io.Reader, contentType string, flatten bool) (any, store.Position, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, store.Position{}, fmt.Errorf("read document: %w", err)
	}
	d.got, d.contentType, d.flatten = string(b), contentType, flatten
	return map[string]any{"services": map[string]any{}}, store.Position{}, d.err
}

func (d *document) Preview(ctx context.Context, workspace string, in io.Reader, flatten bool) (*catalog.Preview, error) {
	if _, _, err := d.Load(ctx, workspace, in, "", flatten); err != nil {
		return nil, err
	}
	return &catalog.Preview{Created: 1}, nil
}

func (d *document) Export(context.Context, string) (string, error) {
	return "_format_version: '3.0'\n", d.err
}

type refusedDocument struct{}

func (refusedDocument) Error() string { return "refused" }
func (refusedDocument) Body() any     { return map[string]any{"code": 14} }

func TestConfig(t *testing.T) {
	d := &document{}
	s := newServer(t, func(o *admin.Options) {
		o.Declarative, o.MaxConfig = d, 100
		o.Position = func() (store.Position, error) { return store.Position{}, nil }
	})
	for _, test := range []struct{ contentType, body, document, media string }{
		{"application/json", `{"a":1}`, `{"a":1}`, "application/json"},
		{"text/yaml; charset=utf-8", `a: 1`, `a: 1`, "text/yaml"},
		{"application/x-www-form-urlencoded", "config=a%3A+1", `a: 1`, ""},
		{"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"config\"\r\n\r\na: 2\r\n--x--\r\n", "a: 2", ""},
	} {
		r := s.do("POST", "/config?flatten_errors=1", headers{"Content-Type": test.contentType}, test.body).is(201).says(`{"services":{}}`)
		if d.got != test.document || d.contentType != test.media || !d.flatten {
			t.Errorf("%s: loaded %q as %q, flatten %t", test.contentType, d.got, d.contentType, d.flatten)
		}
		if r.header.Get("X-Sluice-Revision") == "" {
			t.Error("no X-Sluice-Revision")
		}
	}
	json := headers{"Content-Type": "application/json"}
	s.do("POST", "/config?check_hash=1", json, `{}`).is(304)
	s.do("POST", "/config", json, " ").is(400).says("expected a declarative configuration")
	s.do("POST", "/config", headers{"Content-Type": "application/x-www-form-urlencoded"}, "x=1").is(400)
	s.do("POST", "/config", json, strings.Repeat(" ", 101)).is(413).says("larger than 100 bytes")
	s.do("POST", "/config", json, strings.Repeat("x", 101)).is(413).says("larger than 100 bytes")
	s.do("POST", "/config", headers{"Content-Type": "application/json", "Content-Encoding": "gzip"}, "no gzip").is(400).says("cannot read the request body")
	s.do("POST", "/config", headers{"Content-Type": "multipart/form-data; boundary=x"}, "--x\r\nContent-Disposition: form-data; name=\"config\"; filename=\"kong.yml\"\r\n\r\na: 3").is(400)
	s.do("POST", "/services", headers{"Content-Type": "text/yaml"}, "a: 1").is(415)
	s.do("GET", "/config", nil, "").is(200).says(`{"config":"_format_version: '3.0'\n"}`)
	d.err = refusedDocument{}
	s.do("POST", "/config", json, `{}`).is(400).says(`{"code":14}`)
	d.err = store.ErrReadOnly
	s.do("POST", "/config", json, `{}`).is(503)
	d.err = errors.New("secret detail")
	if r := s.do("GET", "/config", nil, "").is(http.StatusInternalServerError); strings.Contains(r.body, "secret") {
		t.Error("a 500 says what went wrong inside")
	}
}

// TestMetrics: what Prometheus reads of a control plane.
func TestMetrics(t *testing.T) {
	f := &fleet{nodes: []map[string]any{
		{"id": "a", "hostname": "ha", "ip": "1.1.1.1", "config_hash": "ff", "last_seen": 17, "version": "1", "sync_status": "normal"},
		{"id": "b", "hostname": "hb", "ip": "1.1.1.2", "config_hash": "", "last_seen": int64(18), "version": "0", "sync_status": "plugin_set_incompatible"},
	}}
	s := newServer(t, func(o *admin.Options) { o.Fleet = f })
	answer := s.do("GET", "/metrics", nil, "").is(200)
	for _, line := range []string{
		`kong_datastore_reachable 1`,
		`kong_data_plane_last_seen{node_id="a",hostname="ha",ip="1.1.1.1"} 17`,
		`kong_data_plane_last_seen{node_id="b",hostname="hb",ip="1.1.1.2"} 18`,
		`kong_data_plane_config_hash{node_id="a",hostname="ha",ip="1.1.1.1"} 255`,
		`kong_data_plane_version_compatible{node_id="a",hostname="ha",ip="1.1.1.1",kong_version="1"} 1`,
		`kong_data_plane_version_compatible{node_id="b",hostname="hb",ip="1.1.1.2",kong_version="0"} 0`,
		`# TYPE kong_node_info gauge`,
	} {
		answer.says(line + "\n")
	}
}
