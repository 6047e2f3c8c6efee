package plugins_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/referencetest"
	"github.com/sluice-gateway/sluice/shared/schema"
)

func TestPrioritiesAsRecorded(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(referencetest.Dir(t), "schemas", "priorities.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]int
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	for _, p := range plugins.All {
		if p.Priority != want[p.Name] {
			t.Errorf("%s has priority %d, want %d", p.Name, p.Priority, want[p.Name])
		}
	}
}

func TestRegistry(t *testing.T) {
	r := plugins.Bundled()
	if len(r.Names()) != len(plugins.All) || len(r.Ordered()) != len(plugins.All) {
		t.Error("plugins are missing")
	}
	for i, p := range r.Ordered() {
		if r.ByName(p.Name) != p {
			t.Errorf("%s is not found", p.Name)
		}
		if s, ok := r.Schema(p.Name); !ok || s != p.Schema {
			t.Errorf("the schema of %s is not found", p.Name)
		}
		if i > 0 && r.Ordered()[i-1].Priority < p.Priority {
			t.Errorf("%s comes too late", p.Name)
		}
	}
	if _, ok := r.Schema("nope"); ok || r.ByName("nope") != nil {
		t.Error("an unknown plugin is found")
	}
	// The kinds go together with the core ones.
	kinds := entity.NewKinds(entity.Options{Plugins: r.Schema, Extra: r.Entities()})
	if kinds.ByCollection("key-auths") == nil {
		t.Error("key-auths is no collection")
	}
}

func TestDescriptions(t *testing.T) {
	for _, p := range plugins.All {
		config := p.Schema.Field("config")
		for i := range config.Fields {
			f := &config.Fields[i]
			if f.Description == "" && f.Type != schema.Record || f.Description != "" && !strings.HasSuffix(f.Description, ".") {
				t.Errorf("%s: config.%s is described as %q, which is no sentence", p.Name, f.Name, f.Description)
			}
		}
	}
}

func TestRegistryPanics(t *testing.T) {
	plugin := func(edit func(p *pdk.Plugin)) *pdk.Plugin {
		p := &pdk.Plugin{
			Name:   "mine",
			Schema: &schema.Schema{Name: "mine", Fields: []schema.Field{schema.ProtocolsHTTP(), schema.PluginConfig()}},
			Build:  func(pdk.Env, json.RawMessage) (pdk.Phases, error) { return pdk.Phases{}, nil },
		}
		edit(p)
		return p
	}
	nothing := func(*pdk.Plugin) {}
	kind := func(p *pdk.Plugin) {
		p.Entities = []*entity.Def{{New: func() any { return nil }, Schema: &schema.Schema{Name: "kinds"}}}
	}
	other := func(edit func(p *pdk.Plugin)) *pdk.Plugin {
		return plugin(func(p *pdk.Plugin) {
			edit(p)
			p.Name, p.Schema.Name = "other", "other"
		})
	}
	for name, list := range map[string][]*pdk.Plugin{
		"same name":           {plugin(nothing), plugin(nothing)},
		"same entity":         {plugin(kind), other(kind)},
		"no name":             {plugin(func(p *pdk.Plugin) { p.Name = "" })},
		"no build":            {plugin(func(p *pdk.Plugin) { p.Build = nil })},
		"no schema":           {plugin(func(p *pdk.Plugin) { p.Schema = nil })},
		"other schema":        {plugin(func(p *pdk.Plugin) { p.Schema.Name = "x" })},
		"no config":           {plugin(func(p *pdk.Plugin) { p.Schema.Fields = p.Schema.Fields[:1] })},
		"entity without New":  {plugin(func(p *pdk.Plugin) { kind(p); p.Entities[0].New = nil })},
		"endpoint without fn": {plugin(func(p *pdk.Plugin) { p.Endpoints = []pdk.Endpoint{{Method: http.MethodGet, Path: "/x"}} })},
		"malformed schema":    {plugin(func(p *pdk.Plugin) { p.Schema.Fields[0].Match = "[" })},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			plugins.NewRegistry(list)
		})
	}
	plugins.NewRegistry([]*pdk.Plugin{plugin(kind), other(nothing)})
}
