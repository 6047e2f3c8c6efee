package plugins

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Registry finds plugins by name. It is immutable.
type Registry struct {
	ordered []*pdk.Plugin
	byName  map[string]*pdk.Plugin
}

// NewRegistry makes a registry. It panics when two plugins share a name, an entity or
// an endpoint, or when one is incomplete or has a malformed schema: mistakes in code.
func NewRegistry(list []*pdk.Plugin) *Registry {
	r := &Registry{byName: map[string]*pdk.Plugin{}}
	taken := map[string]string{}
	take := func(p *pdk.Plugin, what string) {
		if other, ok := taken[what]; ok {
			panic(fmt.Sprintf("plugins %s and %s both have the %s", other, p.Name, what))
		}
		taken[what] = p.Name
	}
	for _, p := range list {
		if why := incomplete(p); why != "" {
			panic(fmt.Sprintf("plugin %q %s", p.Name, why))
		}
		take(p, "name "+p.Name)
		for _, d := range p.Entities {
			d.Schema.Compile()
			take(p, "entity "+d.Kind())
		}
		for _, e := range p.Endpoints {
			take(p, "endpoint "+e.Method+" "+e.Path)
		}
		p.Schema.Compile()
		r.byName[p.Name] = p
		r.ordered = append(r.ordered, p)
	}
	slices.SortFunc(r.ordered, ByPriority)
	return r
}

// ByPriority orders plugins as they run: higher priorities first, equal ones in
// reverse alphabetical order.
func ByPriority(a, b *pdk.Plugin) int {
	if a.Priority != b.Priority {
		return cmp.Compare(b.Priority, a.Priority)
	}
	return strings.Compare(b.Name, a.Name)
}

func incomplete(p *pdk.Plugin) string {
	switch {
	case p.Name == "":
		return "has no name"
	case p.Build == nil:
		return "has no Build"
	case p.Schema == nil:
		return "has no schema"
	case p.Schema.Name != p.Name:
		return "has a schema named " + p.Schema.Name
	case p.Schema.Field("config") == nil || p.Schema.Field("protocols") == nil:
		return "has a schema without config or protocols"
	}
	for _, d := range p.Entities {
		if d.Schema == nil || d.New == nil || d.Schema.Name == "" {
			return "has an entity without name, schema or New"
		}
	}
	for _, e := range p.Endpoints {
		if e.Handle == nil || !strings.HasPrefix(e.Path, "/") || e.Method != http.MethodGet && e.Method != http.MethodDelete &&
			e.Method != http.MethodPost && e.Method != http.MethodPut && e.Method != http.MethodPatch {
			return "has an endpoint without method, path or Handle"
		}
	}
	return ""
}

// Ordered returns the plugins in the order in which they run.
func (r *Registry) Ordered() []*pdk.Plugin { return r.ordered }

// Names returns the names of the plugins in alphabetical order.
func (r *Registry) Names() []string {
	names := make([]string, 0, len(r.byName))
	for name := range r.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ByName returns the plugin of that name, or nil.
func (r *Registry) ByName(name string) *pdk.Plugin { return r.byName[name] }

// Schema returns the schema of the plugin of that name; see entity.Options.
func (r *Registry) Schema(name string) (*schema.Schema, bool) {
	p := r.byName[name]
	if p == nil {
		return nil, false
	}
	return p.Schema, true
}

// Entities returns the kinds that the plugins bring along; see entity.Options.
func (r *Registry) Entities() []*entity.Def {
	var out []*entity.Def
	for _, name := range r.Names() {
		out = append(out, r.byName[name].Entities...)
	}
	return out
}
