package catalog_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/schema"
)

func TestOrderingWithoutCircles(t *testing.T) {
	w := newWorld(t)
	before := func(names ...any) schema.Object {
		return schema.Object{"before": schema.Object{"access": names}}
	}
	after := func(names ...any) schema.Object {
		return schema.Object{"after": schema.Object{"access": names}}
	}
	route := func(name string) schema.Object {
		r := w.insert("routes", schema.Object{"name": name, "paths": []any{"/" + name}})
		return schema.Object{"id": r["id"]}
	}
	a, b := route("a"), route("b")
	refused := func(o schema.Object, circle string) {
		t.Helper()
		_, err := w.Insert(t.Context(), w.def("plugins"), o)
		if err == nil || !strings.Contains(err.Error(), "ordering: plugins would wait for each other: "+circle) {
			t.Errorf("%v: got %v, want %s", o, err, circle)
		}
	}
	refused(schema.Object{"name": "cors", "ordering": before("cors")}, "cors before cors")
	w.insert("plugins", schema.Object{"name": "cors", "ordering": before("acl")})
	refused(schema.Object{"name": "acl", "config": schema.Object{"allow": []any{"x"}}, "ordering": before("cors")}, "")
	acl := func(extra schema.Object) schema.Object {
		o := schema.Object{"name": "acl", "config": schema.Object{"allow": []any{"x"}}}
		maps.Copy(o, extra)
		return o
	}
	// On a route, the global cors is there too.
	refused(acl(schema.Object{"route": a, "ordering": before("cors")}), "")
	// A cors of the route's own takes its place.
	w.insert("plugins", schema.Object{"name": "cors", "route": a})
	made := w.insert("plugins", acl(schema.Object{"route": a, "ordering": before("cors")}))
	w.insert("plugins", acl(schema.Object{"route": b, "ordering": after("cors")}))
	// One that does not run is in nobody's way, until it does.
	off := w.insert("plugins", acl(schema.Object{"enabled": false, "ordering": before("cors")}))
	_, err := w.Update(t.Context(), w.def("plugins"), catalog.Key{ID: off["id"].(string)}, catalog.Scope{}, schema.Object{"enabled": true})
	if err == nil || !strings.Contains(err.Error(), "ordering") {
		t.Errorf("enabled a circle: %v", err)
	}
	if _, err := w.Update(t.Context(), w.def("plugins"), catalog.Key{ID: made["id"].(string)}, catalog.Scope{}, schema.Object{"ordering": nil}); err != nil {
		t.Error(err)
	}
	// Whole configurations are checked, too.
	_, err = w.Replace(t.Context(), map[string][]schema.Object{"plugins": {
		{"name": "cors", "ordering": before("acl")}, acl(schema.Object{"ordering": before("cors")}),
	}})
	if err == nil {
		t.Error("a configuration with a circle is taken")
	}
}
