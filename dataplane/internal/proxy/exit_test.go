package proxy_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/referencetest"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// marker is a plugin that sets a header in its header filter, and ends the exchange in
// a phase.
func marker(name string, priority int, exitIn string) *pdk.Plugin {
	type config struct{}
	return &pdk.Plugin{
		Name: name, Priority: priority,
		Schema: &schema.Schema{Name: name, Fields: []schema.Field{schema.ProtocolsHTTP(), schema.PluginConfig()}},
		Build: pdk.Build(func(pdk.Env, config) (pdk.Phases, error) {
			return pdk.Phases{
				Access: func(x *pdk.Exchange) error {
					if exitIn == "access" {
						return x.Exit(403, "no")
					}
					return nil
				},
				HeaderFilter: func(x *pdk.Exchange) error {
					x.Response.Header.Set("X-"+name, "here")
					if exitIn == "header" {
						return x.ExitBody(429, "", nil)
					}
					return nil
				},
			}, nil
		}),
	}
}

// All header filters see an answer, whoever made it.
func TestHeaderFiltersAfterAnExit(t *testing.T) {
	up := referencetest.NewUpstream(t, 0)
	for phase, status := range map[string]int{"access": 403, "header": 429, "": 200} {
		g := newGateway(t, nil, marker("first", 3000, ""), marker("second", 2900, phase), marker("third", 2800, ""), marker("fourth", 2700, ""))
		changes := []schema.Object{}
		for i, name := range []string{"first", "second", "third", "fourth"} {
			changes = append(changes, schema.Object{"id": "00000000-0000-4000-8000-00000000000" + string(rune('1'+i)), "name": name})
		}
		all := g.change("services", schema.Object{"id": "00000000-0000-4000-8000-0000000000a0", "url": "http://" + up.Address()})
		route := g.change("routes", schema.Object{
			"id": "00000000-0000-4000-8000-0000000000b0", "paths": []any{"/"}, "service": schema.Object{"id": "00000000-0000-4000-8000-0000000000a0"},
		})
		list := append(g.changes("plugins", changes...), all, route)
		g.serve(list...)
		r := g.do("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if r.StatusCode != status {
			t.Errorf("exit in %q: %d %s", phase, r.StatusCode, r.body)
		}
		for _, name := range []string{"first", "second", "third", "fourth"} {
			if r.Header.Get("X-"+name) != "here" {
				t.Errorf("exit in %q: the header filter of %s has not run: %v", phase, name, r.Header)
			}
		}
		if phase == "header" && r.body != "" {
			t.Errorf("the body is %q", r.body)
		}
	}
}
