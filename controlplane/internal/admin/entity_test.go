package admin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
)

var (
	asJSON = headers{"Content-Type": "application/json"}
	asForm = headers{"Content-Type": "application/x-www-form-urlencoded"}
)

func TestNewNeeds(t *testing.T) {
	complete := admin.Options{
		Catalog: struct{ catalog.API }{}, Kinds: entity.NewKinds(entity.Options{}), Plugins: plugins.NewRegistry(nil), Fleet: &fleet{},
	}
	if _, err := admin.New(complete); err != nil {
		t.Fatal(err)
	}
	for what, remove := range map[string]func(o *admin.Options){
		"catalog": func(o *admin.Options) { o.Catalog = nil }, "kinds": func(o *admin.Options) { o.Kinds = nil },
		"plugins": func(o *admin.Options) { o.Plugins = nil }, "fleet": func(o *admin.Options) { o.Fleet = nil },
	} {
		o := complete
		remove(&o)
		if _, err := admin.New(o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("without %s: %v", what, err)
		}
	}
}

func TestWritesTellTheirRevision(t *testing.T) {
	s := newServer(t, nil)
	last := ""
	for _, w := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/services", "name=one&url=http://a.example", 201},
		{"PATCH", "/services/one", "retries=1", 200},
		{"PUT", "/services/one", "url=http://b.example", 200},
		{"POST", "/services/one/routes", "name=r&paths[]=/r", 201},
		{"PATCH", "/routes/r/service", "retries=3", 200},
		{"DELETE", "/routes/r", "", 204},
	} {
		r := s.do(w.method, w.path, asForm, w.body).is(w.status)
		got := r.header.Get("X-Sluice-Revision")
		if got == "" || got == "0" || got == last {
			t.Errorf("%s %s: X-Sluice-Revision %q after %q", w.method, w.path, got, last)
		}
		last = got
		if r.header.Get("X-Sluice-Applied") != "" {
			t.Error("X-Sluice-Applied although nobody waits")
		}
	}
	if r := s.do("GET", "/services", nil, ""); r.header.Get("X-Sluice-Revision") != "" {
		t.Error("a read has a revision")
	}
}

func TestWait(t *testing.T) {
	f := &fleet{result: hub.Result{Applied: 1, Total: 3, Missing: []string{"n2"}, Refused: map[string]string{"n3": "no", "n1": "no"}}, err: hub.ErrNotApplied}
	s := newServer(t, func(o *admin.Options) { o.Fleet = f })
	for _, bad := range []headers{
		{"X-Sluice-Wait": "some"},
		{"X-Sluice-Wait": "-1"},
		{"X-Sluice-Wait": "101%"},
		{"X-Sluice-Wait": "all", "X-Sluice-Wait-Timeout": "x"},
		{"X-Sluice-Wait": "all", "X-Sluice-Wait-Timeout": "-1"},
		{"X-Sluice-Wait": "all", "X-Sluice-Wait-Timeout": "NaN"},
		{"X-Sluice-Wait": "all", "X-Sluice-Wait-Timeout": "1000000"},
	} {
		bad["Content-Type"] = asJSON["Content-Type"]
		s.do("POST", "/services", bad, `{"name":"x","host":"h"}`).is(400).says("X-Sluice-Wait")
	}
	s.do("GET", "/services/x", nil, "").is(404) // refused before it was written
	for _, spec := range []string{"all", "quorum", "50%", "2"} {
		r := s.do("POST", "/services", headers{"Content-Type": "application/json", "X-Sluice-Wait": spec, "X-Sluice-Wait-Timeout": "0.5"}, `{"host":"h"}`).is(201)
		for name, want := range map[string]string{"X-Sluice-Applied": "1/3", "X-Sluice-Missing": "n2", "X-Sluice-Refused": "n1, n3"} {
			if got := r.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", spec, name, got, want)
			}
		}
	}
	if len(f.waited) != 4 || f.waited[3].Revision <= f.waited[0].Revision {
		t.Errorf("waited for %v", f.waited)
	}
	f.err = errors.New("hub is gone")
	s.do("POST", "/services", headers{"Content-Type": "application/json", "X-Sluice-Wait": "all"}, `{"host":"h"}`).is(201)
}

func TestBodies(t *testing.T) {
	s := newServer(t, func(o *admin.Options) { o.MaxBody = 2000 })
	s.do("POST", "/services", asJSON, `{"name":"a","host":"`+strings.Repeat("h", 2000)+`"}`).is(413).says("larger than 2000 bytes")
	s.do("POST", "/services", asJSON, `{"name":`).is(400).says("Cannot parse JSON body")
	for _, body := range []string{`[1]`, `"s"`, `5`, `true`, `null`} {
		s.do("POST", "/services", asJSON, body).is(500).says("An unexpected error occurred")
	}
	s.do("POST", "/services", asJSON, `false`).is(400).says("Cannot parse JSON body")
	s.do("POST", "/services", asJSON, `[]`).is(400).says("host: required field missing")
	s.do("POST", "/services", headers{"Content-Type": "multipart/form-data"}, `x`).is(400).says("names no boundary")
	s.do("POST", "/services", headers{"Content-Type": "multipart/form-data; boundary=y"}, `x`).is(400).says("Cannot parse multipart body")
	s.do("POST", "/services", headers{"Content-Type": "text/plain"}, `name=a`).is(415).says("<h1>415 Unsupported Media Type</h1>")
	s.do("POST", "/services", asForm, `name=a&name[b]=c&host=h`).is(400).says("is given both as a value and as a table")
	s.do("POST", "/services", headers{"Content-Type": "APPLICATION/JSON;charset=UTF-8"}, `{"name":"b","host":"h"}`).is(201)
	s.do("DELETE", "/services/b", headers{"Content-Type": "text/plain"}, ``).is(204)
}

func TestNestedAndForeign(t *testing.T) {
	s := newServer(t, nil)
	s.do("POST", "/services", asForm, "name=one&url=http://a.example").is(201)
	s.do("POST", "/services", asForm, "name=two&url=http://b.example").is(201)
	s.do("POST", "/services/one/routes", asForm, "name=r&paths[]=/r").is(201)
	s.do("GET", "/services/two/routes/r", nil, "").is(404).says(`{"message":"Not found"}`)
	s.do("PATCH", "/services/two/routes/r", asForm, "paths[]=/x").is(404).says(`{"message":"Not found"}`)
	s.do("DELETE", "/services/two/routes/r", nil, "").is(404)
	s.do("GET", "/routes/r/service", nil, "").is(200).says(`"name":"one"`)
	s.do("PUT", "/services/two/routes/r", asForm, "paths[]=/r").is(200) // it changes over
	s.do("GET", "/routes/r/service", nil, "").is(200).says(`"name":"two"`)
	s.do("PUT", "/services/one/routes/r", asForm, "paths[]=/r").is(200)
	s.do("DELETE", "/routes/r/service", nil, "").is(405)
	s.do("PATCH", "/services/one/routes/r", asForm, "paths[]=/x").is(200).says(`"paths":["/x"]`)
	var routes struct{ Data []map[string]any }
	s.do("GET", "/services/one/routes", nil, "").is(200).into(&routes)
	if len(routes.Data) != 1 {
		t.Errorf("routes of one: %v", routes.Data)
	}
	s.do("GET", "/services/two/routes", nil, "").is(200).says(`{"data":[],"next":null}`)
	s.do("POST", "/consumers", asForm, "username=a b/c&custom_id=cid").is(201)
	s.do("GET", "/consumers/a%20b%2Fc", nil, "").is(200).says(`"custom_id":"cid"`)
	s.do("GET", "/consumers?custom_id=cid", nil, "").is(200).says(`"username":"a b/c"`)
	s.do("GET", "/consumers?custom_id=nope", nil, "").is(200).says(`{"data":[],"next":null}`)
	s.do("PUT", "/consumers/a%20b%2Fc/key-auth/k", nil, "").is(200).says(`"key":"k"`)
	s.do("GET", "/key-auths/k/consumer", nil, "").is(200).says(`"username":"a b/c"`)
	s.do("GET", "/snis/x/certificate", nil, "").is(404)
	s.do("GET", "/targets", nil, "").is(404)
}

func TestPagesLeadOn(t *testing.T) {
	s := newServer(t, nil)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		s.do("POST", "/services", asForm, "host=h&tags=t&name="+name).is(201)
	}
	seen := map[string]bool{}
	for path, pages := "/services?size=2&tags=t", 0; path != ""; pages++ {
		var page struct {
			Data   []struct{ Name string }
			Next   *string
			Offset *string
		}
		s.do("GET", path, nil, "").is(200).into(&page)
		for _, e := range page.Data {
			seen[e.Name] = true
		}
		if (page.Next == nil) != (page.Offset == nil) || pages > 3 {
			t.Fatalf("page %d: next %v, offset %v", pages, page.Next, page.Offset)
		}
		if path = ""; page.Next != nil {
			path = *page.Next
			if !strings.Contains(path, "size=2") || !strings.Contains(path, "tags=t") {
				t.Errorf("next is %s", path)
			}
		}
	}
	if len(seen) != 5 {
		t.Errorf("saw %v", seen)
	}
	s.do("GET", "/services?tags=t/x", nil, "").is(200).says(`"name":"a"`)
	s.do("GET", "/services?tags=t,x", nil, "").is(200).says(`{"data":[],"next":null}`)
	s.do("GET", "/tags/t?size=2", nil, "").is(200).says(`"next":"/tags/t?offset=`)
	s.do("DELETE", "/tags/t", nil, "").is(400).says("does not support insert/upsert/update/delete operations")
}

func TestOrigins(t *testing.T) {
	s := newServer(t, func(o *admin.Options) { o.AllowedOrigins = []string{"http://gui", "http://other"} })
	for asked, want := range map[string]string{"": "http://gui", "http://other": "http://other", "http://evil": "http://gui"} {
		h := headers{}
		if asked != "" {
			h["Origin"] = asked
		}
		if got := s.do("GET", "/services", h, "").is(200).header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%q: got %q, want %q", asked, got, want)
		}
	}
	r := s.do("OPTIONS", "/services/x", headers{"Access-Control-Request-Headers": "X-A, Kong-Admin-Token"}, "").is(204)
	if got := r.header.Get("Access-Control-Allow-Headers"); got != "X-A, Kong-Admin-Token" {
		t.Errorf("allowed headers: %q", got)
	}
	if got := s.do("DELETE", "/services", nil, "").is(405).header.Get("Allow"); got != "GET, HEAD, OPTIONS, POST" {
		t.Errorf("Allow: %q", got)
	}
	if r := s.do("HEAD", "/services", nil, "").is(200); r.body != "" || r.header.Get("Content-Length") != "23" {
		t.Errorf("HEAD: %q %v", r.body, r.header)
	}
}

func TestPluginEndpoints(t *testing.T) {
	f := &fleet{}
	s := newServer(t, func(o *admin.Options) { o.Fleet = f })
	s.do("GET", "/proxy-cache/x", nil, "").is(404)
	f.replies = func(target, name string) []pdk.NodeReply {
		if target != "proxy-cache" {
			t.Errorf("target is %q", target)
		}
		return []pdk.NodeReply{{NodeID: "n", Result: json.RawMessage(`{"status":200}`)}}
	}
	s.do("GET", "/proxy-cache/x", nil, "").is(200).says(`{"status":200}`)
	s.do("DELETE", "/proxy-cache", nil, "").is(204)
	const none = "00000009-0000-4000-8000-000000000009"
	s.do("GET", "/proxy-cache/"+none+"/caches/x", nil, "").is(404)
	var p struct{ ID string }
	s.do("POST", "/plugins", asForm, "name=proxy-cache&config.strategy=memory").is(201).into(&p)
	s.do("GET", "/proxy-cache/"+p.ID+"/caches/x", nil, "").is(200)
	s.do("POST", "/plugins", asForm, "name=key-auth").is(201).into(&p)
	s.do("GET", "/proxy-cache/"+p.ID+"/caches/x", nil, "").is(404)
}

func TestUpstreamHealth(t *testing.T) {
	f := &fleet{}
	s := newServer(t, func(o *admin.Options) { o.Fleet = f })
	s.do("GET", "/upstreams/nope/health", nil, "").is(404)
	s.do("POST", "/upstreams", asForm, "name=u").is(201)
	s.do("GET", "/upstreams/u/health", nil, "").is(200).says(`"data":[],"next":null,"node_id":"` + nodeID + `"`)
	var target struct{ ID string }
	s.do("POST", "/upstreams/u/targets", asForm, "target=127.0.0.1:1").is(201).into(&target)
	s.do("GET", "/upstreams/u/health", nil, "").is(200).says(`"health":"HEALTHCHECKS_OFF"`)
	f.replies = func(string, string) []pdk.NodeReply {
		reply := func(health string) json.RawMessage {
			return json.RawMessage(`{"` + target.ID + `":{"health":"` + health + `","addresses":[{"ip":"127.0.0.1","port":1,"health":"` + health + `","weight":100}]}}`)
		}
		return []pdk.NodeReply{
			{NodeID: "a", Result: reply("HEALTHY")}, {NodeID: "b", Result: reply("UNHEALTHY")}, {NodeID: "c", Err: errors.New("gone")},
		}
	}
	s.do("GET", "/upstreams/u/health", nil, "").is(200).says(`"health":"UNHEALTHY"`).says(`"ip":"127.0.0.1"`)
	s.do("GET", "/upstreams/u/health", nil, "").is(200).says(`"node_id":"a"`).says(`"health":"HEALTHY","node_id":"a"`)
	s.do("GET", "/upstreams/u/health?balancer_health=1", nil, "").is(200).says(`"balancer_health":"UNHEALTHY"`).
		says(`"details":{"healthy":false`).says(`"health":"HEALTHCHECKS_OFF","id"`).says(`"weight":{"available":0,"total":100,"unavailable":100}`)
	f.replies = nil
	s.do("PATCH", "/upstreams/u", asForm, "healthchecks.active.healthy.interval=1").is(200)
	s.do("POST", "/upstreams/u/targets", asForm, "target=::1&weight=0").is(201)
	s.do("POST", "/upstreams/u/targets", asForm, "target=name.example").is(201)
	s.do("GET", "/upstreams/u/health", nil, "").is(200).
		says(`"addresses":[],"dns":"A","host":"name.example"`).
		says(`"addresses":[{"health":"HEALTHCHECKS_OFF","ip":"[0000:0000:0000:0000:0000:0000:0000:0001]","port":8000,"weight":0}],"dns":"AAAA"`).
		says(`"addresses":[{"health":"HEALTHY","ip":"127.0.0.1","port":1,"weight":100}]`)
	s.do("GET", "/upstreams/u/health?balancer_health=1", nil, "").is(200).says(`"balancer_health":"HEALTHY"`).says(`"health":"HEALTHY"`)
	s.do("GET", "/upstreams/u/health?size=0", nil, "").is(400).says("size must be an integer")
}

func TestSchemasAndValidate(t *testing.T) {
	s := newServer(t, nil)
	s.do("GET", "/schemas/services", nil, "").is(200).says(`"fields":[`)
	s.do("GET", "/schemas/keyauth_credentials", nil, "").is(200).says(`"key"`)
	s.do("GET", "/schemas/consumer_group_plugins", nil, "").is(404).says("No entity named 'consumer_group_plugins'")
	s.do("GET", "/plugins/schema/key-auth", nil, "").is(200).says(`"key_names"`)
	s.do("GET", "/plugins/schema/nope", nil, "").is(404).says("No plugin named 'nope'")
	s.do("POST", "/schemas/services/validate", asJSON, `{"name":"v","host":"h"}`).is(200).says("schema validation successful")
	s.do("POST", "/schemas/plugins/validate", asJSON, `{"name":"key-auth","config":{"garbage":1}}`).is(400).says("schema violation (config.garbage: unknown field)")
	s.do("POST", "/schemas/nope/validate", asJSON, `{}`).is(404)
	s.do("GET", "/schemas/services/validate", nil, "").is(http.StatusMethodNotAllowed)
	s.do("GET", "/services/v", nil, "").is(404)
}

// TestPutCertificate: the list of names of a certificate that is put is whole, and has the
// name of the path.
func TestPutCertificate(t *testing.T) {
	s := newServer(t, nil)
	cert, key := pemPair(t)
	put := func(path string, more schema.Object) []any {
		t.Helper()
		body := schema.Object{"cert": cert, "key": key}
		maps.Copy(body, more)
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			SNIs []any `json:"snis"`
		}
		if err := json.Unmarshal([]byte(s.do("PUT", path, asJSON, string(text)).is(200).body), &out); err != nil {
			t.Fatal(err)
		}
		return out.SNIs
	}
	for _, tt := range []struct {
		path string
		more schema.Object
		want []any
	}{
		{"/certificates/00000000-0000-4000-8000-000000000001", schema.Object{"snis": []any{"a.test"}}, []any{"a.test"}},
		{"/certificates/a.test", schema.Object{"snis": []any{"b.test"}}, []any{"a.test", "b.test"}},
		{"/certificates/a.test", schema.Object{"snis": []any{"a.test"}}, []any{"a.test"}},
		{"/certificates/00000000-0000-4000-8000-000000000001", schema.Object{"tags": []any{"t"}}, []any{}},
	} {
		if got := put(tt.path, tt.more); !slices.Equal(got, tt.want) {
			t.Errorf("%s %v: got %v, want %v", tt.path, tt.more, got, tt.want)
		}
	}
	s.do("GET", "/snis", nil, "").is(200).says(`"data":[]`)
}

// pemPair makes a certificate and its key.
func pemPair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", inner)
}
