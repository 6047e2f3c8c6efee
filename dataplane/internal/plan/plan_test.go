package plan_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/dataplane/internal/pluginhost"
	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// object is an entity's body.
type object map[string]any

func ref(id string) object { return object{"id": id} }

func put(kind, id string, body object) config.Change {
	whole := object{"id": id}
	if kind == "services" || kind == "plugins" {
		whole["enabled"] = true
	}
	maps.Copy(whole, body)
	b, err := json.Marshal(whole)
	if err != nil {
		panic(err)
	}
	return config.Change{Op: config.Put, Kind: kind, ID: id, Body: b}
}

func remove(kind, id string) config.Change {
	return config.Change{Op: config.Delete, Kind: kind, ID: id}
}

// room is a builder with plugins that do nothing but end when they should.
type room struct {
	t testing.TB
	*plan.Builder

	host *pluginhost.Host
	// running counts configs that were built and not dropped.
	running atomic.Int64
	built   atomic.Int64
	ended   chan struct{}
}

func (r *room) plugin(name string, priority int, phases pdk.Phases) *pdk.Plugin {
	return &pdk.Plugin{
		Name: name, Priority: priority,
		Schema: &schema.Schema{Name: name, Fields: []schema.Field{schema.ProtocolsHTTP(), schema.PluginConfig()}},
		Build: func(env pdk.Env, raw json.RawMessage) (pdk.Phases, error) {
			switch {
			case strings.Contains(string(raw), "panic"):
				panic("as told")
			case strings.Contains(string(raw), "violation"):
				return pdk.Phases{}, &schema.Violation{Fields: schema.Object{"config": schema.Object{"x": "is wrong", "y": "is wrong, too"}}}
			case strings.Contains(string(raw), "error"):
				return pdk.Phases{}, errors.New("does not work")
			}
			r.running.Add(1)
			r.built.Add(1)
			env.Go(func(ctx context.Context) {
				<-ctx.Done()
				r.running.Add(-1)
				r.ended <- struct{}{}
			})
			return phases, nil
		},
	}
}

func newRoom(t testing.TB) *room {
	r := &room{t: t, ended: make(chan struct{}, 10000)}
	nothing := func(*pdk.Exchange) error { return nil }
	registry := plugins.NewRegistry([]*pdk.Plugin{
		r.plugin("alpha", 10, pdk.Phases{Access: nothing}), r.plugin("beta", 20, pdk.Phases{Rewrite: nothing}), r.plugin("gamma", 10, pdk.Phases{Access: nothing}),
	})
	r.host = pluginhost.New(pluginhost.Options{})
	names := balancer.New(balancer.Options{})
	t.Cleanup(func() {
		names.Close()
		if err := r.host.Close(); err != nil {
			t.Error(err)
		}
	})
	r.Builder = plan.New(plan.Options{
		Kinds: entity.NewKinds(entity.Options{Plugins: registry.Schema}), Host: r.host, Balancer: names,
		Plugin: func(name string) (*pdk.Plugin, bool) { p := registry.ByName(name); return p, p != nil },
	})
	return r
}

func (r *room) apply(whole bool, changes ...config.Change) {
	r.t.Helper()
	if errs, err := r.Apply(r.t.Context(), config.Update{Whole: whole, Changes: changes}); err != nil {
		r.t.Fatalf("%v: %v", err, errs)
	}
}

// route finds the route of a path.
func (r *room) route(path string) *plan.Route {
	var m router.Match
	found, ok := r.Current().Match(&router.Request{Request: expression.Request{Method: "GET", Path: path, Header: &pdk.Header{}}}, &m)
	if !ok {
		return nil
	}
	return found
}

// ids of the configs that run for a consumer in groups, in order.
func ids(c *plan.Chain, consumer string, groups ...*entity.ConsumerGroup) []string {
	var who *entity.Consumer
	if consumer != "" {
		who = &entity.Consumer{ID: consumer}
	}
	out := []string{}
	for i := range c.Steps {
		if inst := c.Steps[i].For(who, groups); inst != nil {
			out = append(out, inst.Entity.ID)
		}
	}
	return out
}

// TestPrecedence tries every set of scopes that a plugin can be configured for: the first
// of Kong's order runs.
func TestPrecedence(t *testing.T) {
	// In Kong's order.
	scopes := []struct {
		name                     string
		route, service, consumer bool
	}{
		{"rsc", true, true, true},
		{"rc", true, false, true},
		{"sc", false, true, true},
		{"rs", true, true, false},
		{"c", false, false, true},
		{"r", true, false, false},
		{"s", false, true, false},
		{"g", false, false, false},
	}
	base := []config.Change{
		put("services", "s1", object{"host": "h"}), put("services", "s2", object{"host": "h"}),
		put("routes", "r1", object{"paths": []string{"/r1"}, "service": ref("s1")}),
		put("routes", "r2", object{"paths": []string{"/r2"}, "service": ref("s1")}),
		put("routes", "r3", object{"paths": []string{"/r3"}, "service": ref("s2")}),
		put("routes", "r4", object{"paths": []string{"/r4"}}),
	}
	r := newRoom(t)
	cases := 0
	for set := range 1 << len(scopes) {
		changes := slices.Clone(base)
		for i, s := range scopes {
			if set>>i&1 == 0 {
				continue
			}
			body := object{"name": "alpha"}
			if s.route {
				body["route"] = ref("r1")
			}
			if s.service {
				body["service"] = ref("s1")
			}
			if s.consumer {
				body["consumer"] = ref("c1")
			}
			changes = append(changes, put("plugins", s.name, body))
		}
		r.apply(true, changes...)
		for route, service := range map[string]string{"r1": "s1", "r2": "s1", "r3": "s2", "r4": ""} {
			for _, consumer := range []string{"", "c1", "c2"} {
				want := []string{}
				for i, s := range scopes {
					if set>>i&1 == 1 && (!s.route || route == "r1") && (!s.service || service == "s1") && (!s.consumer || consumer == "c1") {
						want = append(want, s.name)
						break
					}
				}
				if got := ids(r.route("/"+route).Chain, consumer); !slices.Equal(got, want) {
					t.Fatalf("set %08b, route %s, consumer %q: %v runs, want %v", set, route, consumer, got, want)
				}
				cases++
			}
		}
	}
	t.Logf("%d cases", cases)
}

// TestOrder holds that plugins run by priority, equal ones in reverse alphabetical order.
func TestOrder(t *testing.T) {
	r := newRoom(t)
	r.apply(true, put("plugins", "a", object{"name": "alpha"}), put("plugins", "g", object{"name": "gamma"}), put("plugins", "b", object{"name": "beta"}),
		put("plugins", "off", object{"name": "beta", "enabled": false, "route": ref("r")}), put("routes", "r", object{"paths": []string{"/"}}))
	if got := ids(r.route("/").Chain, ""); !slices.Equal(got, []string{"b", "g", "a"}) {
		t.Errorf("the order is %v", got)
	}
	if got := r.Current().Rewrites; len(got) != 1 || got[0].Entity.ID != "b" {
		t.Errorf("%d plugins have a rewrite phase", len(got))
	}
	if got := ids(&r.Current().Global, ""); !slices.Equal(got, []string{"b", "g", "a"}) {
		t.Errorf("without a route %v run", got)
	}
}

// TestRefusals holds that an update with an entity that can not be honoured changes
// nothing, names what is wrong and leaves nothing running.
func TestRefusals(t *testing.T) {
	good := []config.Change{
		put("services", "s", object{"host": "h", "name": "svc"}), put("routes", "r", object{"paths": []string{"/"}, "service": ref("s")}),
		put("plugins", "p", object{"name": "alpha", "route": ref("r")}),
	}
	unknown := config.Change{Op: config.Put, Kind: "novelties", ID: "n", Body: []byte("{}"), MustUnderstand: true}
	for name, c := range map[string]struct {
		changes []config.Change
		want    []string
	}{
		"unknown kind":      {[]config.Change{unknown}, []string{"novelties n: this node does not know the kind"}},
		"unknown plugin":    {[]config.Change{put("plugins", "x", object{"name": "nope"})}, []string{"plugins x (nope) field name: this node does not have the plugin"}},
		"config violation":  {[]config.Change{put("plugins", "x", object{"name": "alpha", "config": object{"violation": 1}})}, []string{"plugins x (alpha) field config: config.x: is wrong", "plugins x (alpha) field config: config.y: is wrong, too"}},
		"config error":      {[]config.Change{put("plugins", "x", object{"name": "alpha", "config": object{"error": 1}})}, []string{"plugins x (alpha) field config: does not work"}},
		"panic":             {[]config.Change{put("plugins", "x", object{"name": "alpha", "config": object{"panic": 1}})}, []string{"plugins x (alpha) field config: plugin alpha panicked while it was built: as told"}},
		"several":           {[]config.Change{put("plugins", "x", object{"name": "nope"}), put("plugins", "w", object{"name": "nope"}), unknown}, []string{"novelties n: this node does not know the kind", "plugins w (nope) field name: this node does not have the plugin", "plugins x (nope) field name: this node does not have the plugin"}},
		"no service":        {[]config.Change{put("routes", "q", object{"name": "rt", "paths": []string{"/q"}, "service": ref("gone")})}, []string{"routes q (rt) field service: there is no service gone"}},
		"service removed":   {[]config.Change{remove("services", "s")}, []string{"routes r field service: there is no service s"}},
		"bad path":          {[]config.Change{put("routes", "q", object{"paths": []string{"/a", "~/("}})}, []string{`routes q field paths.2: invalid regex: pcre2_compile() failed: missing closing parenthesis in "^/("`}},
		"no certificate":    {[]config.Change{put("snis", "n", object{"name": "a.example", "certificate": ref("gone")})}, []string{"snis n (a.example) field certificate: there is no certificate gone"}},
		"no client cert":    {[]config.Change{put("services", "s", object{"name": "svc", "host": "h", "protocol": "https", "client_certificate": ref("gone")})}, []string{"services s (svc): client_certificate: no certificate gone"}},
		"no ca certificate": {[]config.Change{put("services", "s", object{"name": "svc", "host": "h", "protocol": "https", "ca_certificates": []string{"gone"}})}, []string{"services s (svc): ca_certificates: no usable certificate gone"}},
		"broken body":       {[]config.Change{{Op: config.Put, Kind: "services", ID: "s", Body: []byte(`{"port": "x"}`)}}, []string{"services s: decode: "}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			r.apply(true, good...)
			before := r.Current()
			for _, whole := range []bool{false, true} {
				changes := append([]config.Change{put("plugins", "fine", object{"name": "beta"})}, c.changes...)
				if whole {
					if name == "service removed" {
						continue
					}
					replaced := slices.DeleteFunc(slices.Clone(good), func(g config.Change) bool {
						return slices.ContainsFunc(changes, func(c config.Change) bool { return c.Kind == g.Kind && c.ID == g.ID })
					})
					changes = append(replaced, changes...)
				}
				errs, err := r.Apply(t.Context(), config.Update{Whole: whole, Changes: changes})
				if !errors.Is(err, config.ErrRefused) {
					t.Fatalf("whole %v: %v", whole, err)
				}
				var got []string
				for i, e := range errs {
					text := e.Error()
					if i < len(c.want) && strings.HasSuffix(c.want[i], "decode: ") {
						text = text[:min(len(text), len(c.want[i]))]
					}
					got = append(got, text)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("whole %v: %s", whole, diff)
				}
				if r.Current() != before || r.route("/").Chain.Steps[0].Base.Entity.ID != "p" {
					t.Error("the plan has changed")
				}
				if name != "broken body" {
					<-r.ended // of the fine one
				}
				if n := r.running.Load(); n != 1 {
					t.Errorf("%d configs run, want 1", n)
				}
			}
		})
	}
}

// TestUnknownKindsAreIgnored when nothing says that they must be understood.
func TestUnknownKindsAreIgnored(t *testing.T) {
	r := newRoom(t)
	r.apply(true, config.Change{Op: config.Put, Kind: "novelties", ID: "n", Body: []byte("{}")}, put("routes", "r", object{"paths": []string{"/"}}))
	// The node says so for as long as they are there.
	left, err := r.Apply(t.Context(), config.Update{Changes: []config.Change{put("routes", "r2", object{"paths": []string{"/2"}})}})
	if err != nil || len(left) != 1 || left[0].Kind != "novelties" || left[0].ID != "n" {
		t.Errorf("left out: %v, %v", left, err)
	}
	r.apply(false, remove("routes", "r2"))
	left, err = r.Apply(t.Context(), config.Update{Changes: []config.Change{remove("novelties", "n")}})
	if err != nil || len(left) != 0 {
		t.Errorf("left out without them: %v, %v", left, err)
	}
	r.apply(false, config.Change{Op: config.Delete, Kind: "novelties", ID: "n"})
	if r.route("/") == nil || r.Current().Entities() != 1 {
		t.Errorf("%d entities", r.Current().Entities())
	}
}

func TestContextEnds(t *testing.T) {
	r := newRoom(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Apply(ctx, config.Update{Whole: true, Changes: []config.Change{put("routes", "r", object{"paths": []string{"/"}})}}); !errors.Is(err, context.Canceled) {
		t.Errorf("Apply() = %v", err)
	}
	if r.route("/") != nil {
		t.Error("the plan has changed")
	}
}

// TestConfigsLive holds that an equal config is kept, with all that it has, and that
// others end.
func TestConfigsLive(t *testing.T) {
	r := newRoom(t)
	one := object{"name": "alpha", "config": object{"n": 1}}
	routes := []config.Change{put("routes", "r", object{"paths": []string{"/"}})}
	r.apply(true, append(routes, put("plugins", "p", one))...)
	for i, c := range []struct {
		whole   bool
		changes []config.Change
		built   int64
		ended   int
		running int64
	}{
		{true, append(routes, put("plugins", "p", one)), 1, 0, 1},
		{false, []config.Change{put("plugins", "p", object{"name": "alpha", "config": object{"n": 1}, "tags": []string{"t"}})}, 1, 0, 1},
		{false, []config.Change{put("plugins", "p", object{"name": "alpha", "config": object{"n": 2}})}, 2, 1, 1},
		{false, []config.Change{put("plugins", "p", object{"name": "alpha", "config": object{"n": 2}, "enabled": false})}, 2, 1, 0},
		{false, []config.Change{put("plugins", "p", one), put("plugins", "q", object{"name": "beta"})}, 4, 0, 2},
		{true, append(routes, put("plugins", "q", object{"name": "beta"})), 4, 1, 1},
		{false, []config.Change{remove("plugins", "q")}, 4, 1, 0},
	} {
		r.apply(c.whole, c.changes...)
		for range c.ended {
			<-r.ended
		}
		if r.built.Load() != c.built || r.running.Load() != c.running {
			t.Fatalf("step %d: %d built and %d run, want %d and %d", i, r.built.Load(), r.running.Load(), c.built, c.running)
		}
	}
	if r.route("/") == nil || len(r.route("/").Chain.Steps) != 0 {
		t.Error("the route is not as it was")
	}
}
