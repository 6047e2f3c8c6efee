package declarative_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/declarative"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
)

type world struct {
	*declarative.Service
	t     *testing.T
	store *bolt.Store
	c     *catalog.Catalog
	kinds *entity.Kinds
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	kinds := entity.NewKinds(entity.Options{Plugins: plugins.Bundled().Schema, Extra: plugins.Bundled().Entities()})
	c, err := catalog.New(t.Context(), catalog.Options{Store: st, Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Service: declarative.New(declarative.Options{Catalog: c, Kinds: kinds}), store: st, c: c, kinds: kinds}
	w.t, _ = t.(*testing.T)
	return w
}

func (w *world) load(text string) (schema.Object, error) {
	w.t.Helper()
	result, _, err := w.Load(w.t.Context(), "", strings.NewReader(text), "", false)
	o, _ := result.(schema.Object)
	return o, err
}

const nested = `
_format_version: "3.0"
_comment: a whole gateway
_plugin_configs:
  strict: {minute: 5, policy: local}
services:
- name: s
  _comment: not kept
  url: http://up.example/base
  routes:
  - name: r
    paths: [/a]
    plugins:
    - {name: rate-limiting, _config: strict, config: {hour: 7}}
- host: nameless.example
  routes: [{paths: [/b]}]
consumers:
- username: u
  keyauth_credentials: [{key: k}]
  acls: [{group: g}]
upstreams:
- name: up.example
  targets: [{target: "127.0.0.1:80"}, {target: "127.0.0.1:81", weight: 10}]
plugins:
- {name: key-auth, service: s}
`

func TestNesting(t *testing.T) {
	w := newWorld(t)
	result, err := w.load(nested)
	if err != nil {
		t.Fatal(err)
	}
	for kind, n := range map[string]int{"services": 2, "routes": 2, "consumers": 1, "keyauth_credentials": 1, "acls": 1, "upstreams": 1, "targets": 2, "plugins": 2} {
		if got, _ := result[kind].(schema.Object); len(got) != n {
			t.Errorf("%d %s, want %d", len(got), kind, n)
		}
	}
	found := false
	for _, v := range result["plugins"].(schema.Object) {
		p, _ := v.(schema.Object)
		if config, _ := p["config"].(schema.Object); p["name"] == "rate-limiting" {
			found = config["minute"] == int64(5) && config["hour"] == int64(7) && p["route"] != nil
		}
	}
	if !found {
		t.Errorf("the plugin has not what _plugin_configs says: %v", result["plugins"])
	}
}

// TestExportIsWhatWasImported holds that a configuration goes out and comes in again
// without a change: passwords are hashed once.
func TestExportIsWhatWasImported(t *testing.T) {
	w := newWorld(t)
	if _, err := w.load(nested + "\nbasicauth_credentials: [{username: b, password: p, consumer: u}]\n"); err != nil {
		t.Fatal(err)
	}
	text, err := w.Export(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	before, err := w.store.Position()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.load(text); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if after, err := w.store.Position(); err != nil || after != before {
		t.Errorf("position %v after %v, %v", after, before, err)
	}
	other := newWorld(t)
	if _, err := other.load(text); err != nil {
		t.Fatal(err)
	}
	if p, err := other.store.Position(); err != nil || p.Root != before.Root {
		t.Errorf("another store has another root: %v", err)
	}
	if again, err := w.Export(t.Context(), ""); err != nil || again != text {
		t.Errorf("a second export differs: %v", err)
	}
}

func TestForms(t *testing.T) {
	for name, text := range map[string]string{
		"YAML":           "_format_version: '3.0'\nservices: [{name: s, host: h}]",
		"JSON":           `{"_format_version":"3.0","services":[{"name":"s","host":"h"}]}`,
		"YAML in JSON":   `{"config":"_format_version: '3.0'\nservices: [{name: s, host: h}]"}`,
		"number":         "_format_version: 3.0\nservices: [{name: s, host: h}]",
		"anchors":        "_format_version: '3.0'\nx: &x {host: h}\nservices: [{<<: *x, name: s}]",
		"empty document": `{"_format_version":"3.0"}`,
	} {
		w := newWorld(t)
		result, err := w.load(strings.Replace(text, "x: &x {host: h}\n", "_info: &x {host: h}\n", 1))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if services, _ := result["services"].(schema.Object); len(services) != 1 && name != "empty document" {
			t.Errorf("%s: %v", name, result)
		}
	}
	w := newWorld(t)
	result, err := w.load(`{"_format_version":"1.1","routes":[{"name":"r","paths":["/x\\d+","/plain"]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range result["routes"].(schema.Object) {
		r, _ := v.(schema.Object)
		if diff := cmp.Diff([]any{`~/x\d+`, "/plain"}, r["paths"]); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t)
	if _, err := w.load(nested); err != nil {
		t.Fatal(err)
	}
	before, err := w.store.Position()
	if err != nil {
		t.Fatal(err)
	}
	for text, says := range map[string]string{
		`{}`:                                 `declarative config is invalid: {_format_version="required field missing"}`,
		`{"_format_version":"9.0"}`:          `{_format_version="expected one of: 1.1, 2.1, 3.0"}`,
		`{"_format_version":"3.0","foo":[]}`: `{foo="unknown field"}`,
		`{"_format_version":"3.0","services":[{"name":"x"}]}`:                                       `{services={{host="required field missing"}}}`,
		`{"_format_version":"3.0","services":{"a":1}}`:                                              `{services="expected an array"}`,
		`{"_format_version":"3.0","services":[7]}`:                                                  `{services={"expected a record"}}`,
		`{"_format_version":"3.0","services":[{"name":"d","host":"h"},{"name":"d","host":"h"}]}`:    `{services={[2]="uniqueness violation: 'services' entity with name set to 'd' already declared"}}`,
		`{"_format_version":"3.0","routes":[{"name":"r","paths":["/x"],"service":"nope"}]}`:         `{routes={r={"invalid reference 'service: nope' (no such entry in 'services')"}}}`,
		`{"_format_version":"3.0","services":[{"name":"s","host":"h","routes":[{"paths":["x"]}]}]}`: `{services={{routes={{paths={`,
		`{"_format_version":"3.0","plugins":[{"name":"key-auth","_config":"none"}]}`:                `no such entry in _plugin_configs: none`,
		"bad: [yaml": "failed parsing declarative configuration",
		"7":          "expected an object",
		"":           "expected an object",
		"a: 1\na: 2": "is there twice",
	} {
		_, err := w.load(text)
		refused, ok := errors.AsType[*declarative.Error](err)
		if !ok || !strings.Contains(refused.Error(), says) {
			t.Errorf("%s: got %v, want %s", text, err, says)
			continue
		}
		body, _ := refused.Body().(schema.Object)
		if body["code"] != int64(14) || body["name"] != "invalid declarative configuration" || body["fields"] == nil {
			t.Errorf("%s: body %v", text, body)
		}
		if after, err := w.store.Position(); err != nil || after != before {
			t.Errorf("%s: something changed", text)
		}
	}
}

func TestFlattenedErrors(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.Load(t.Context(), "", strings.NewReader(`{"_format_version":"3.0","services":[{"name":"x","tags":["t"],"routes":[{"name":"r","paths":["bad"]}]}],
		"consumers":[{"username":"u","keyauth_credentials":[{"key":1}]}]}`), "", true)
	refused, ok := errors.AsType[*declarative.Error](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	b, err := json.Marshal(refused.Flattened)
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{
			"entity": map[string]any{"name": "r", "paths": []any{"bad"}}, "entity_name": "r", "entity_type": "route",
			"errors": []any{map[string]any{"type": "field", "field": "paths.1", "message": "should start with: / (fixed path) or ~/ (regex path)"}},
		},
		{
			"entity": map[string]any{"name": "x", "tags": []any{"t"}}, "entity_name": "x", "entity_type": "service", "entity_tags": []any{"t"},
			"errors": []any{map[string]any{"type": "field", "field": "host", "message": "required field missing"}},
		},
		{
			"entity": map[string]any{"key": 1.0}, "entity_type": "keyauth_credential",
			"errors": []any{map[string]any{"type": "field", "field": "key", "message": "expected a string"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzLoad holds that no document does anything but load or be refused.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{nested, `{}`, `{"_format_version":"3.0","services":[{"name":"x"}]}`, "a: &a [*a]", "- 1", "_format_version: '3.0'\nservices: {}", "? [a]\n: b", "!!binary x"} {
		f.Add(seed)
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, text string) {
		_, _, err := w.Load(t.Context(), "", strings.NewReader(text), "", true)
		if _, ok := errors.AsType[*declarative.Error](err); err != nil && !ok {
			t.Errorf("error %v is no refusal", err)
		}
	})
}
