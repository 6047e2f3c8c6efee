package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// in moves changes into a workspace: what they name gets the workspace in front of its
// id, names stay.
func in(space string, changes []config.Change) []config.Change {
	if space == "" {
		return changes
	}
	out := make([]config.Change, len(changes))
	for i, c := range changes {
		c.ID = space + c.ID
		if c.Op == config.Put {
			var body object
			if err := json.Unmarshal(c.Body, &body); err != nil {
				panic(err)
			}
			body["id"], body["ws_id"] = c.ID, space
			for name, v := range body {
				if to, ok := v.(map[string]any); ok && to["id"] != nil {
					body[name] = ref(space + to["id"].(string))
				}
			}
			if paths, ok := body["paths"].([]any); ok {
				body["paths"] = []string{"/" + space + paths[0].(string)}
			}
			c.Body, _ = json.Marshal(body)
		}
		out[i] = c
	}
	return out
}

// view is what requests of a workspace can see of a plan, with ids as they are without it.
func view(p *plan.Plan, kinds *entity.Kinds, space string) map[string]any {
	bare := func(list []string) []string {
		for i := range list {
			list[i] = strings.TrimPrefix(list[i], space)
		}
		return list
	}
	out := map[string]any{}
	v, _ := p.View(space)
	for i := range 8 {
		var m router.Match
		path := fmt.Sprint("/r", i)
		asked := path
		if space != "" {
			asked = "/" + space + path
		}
		r, ok := p.Match(&router.Request{Request: expression.Request{Method: "GET", Path: asked, Header: &pdk.Header{}}}, &m)
		if !ok {
			continue
		}
		if r.Workspace != space {
			out["workspace of "+path] = r.Workspace
		}
		seen := []any{}
		for _, consumer := range []string{"", "c0", "c1"} {
			if consumer != "" {
				consumer = space + consumer
			}
			seen = append(seen, bare(ids(r.Chain, consumer, v.ConsumerGroups(consumer)...)))
		}
		if r.Service != nil {
			seen = append(seen, r.Service.Entity.Name, r.Service.Entity.Host)
		}
		out[path] = seen
	}
	for _, name := range []string{"n0", "n1"} {
		if u, ok := p.UpstreamIn(space, name); ok {
			seen := []string{u.Entity.ID}
			for _, t := range u.Targets {
				seen = append(seen, t.Entity.ID)
			}
			out[name] = bare(seen)
		}
	}
	for i := range 12 {
		name := fmt.Sprintf("s%d-%d", i/3, i%3)
		if s, ok := v.ByKey(kinds.ByKind("services"), "name", name).(*entity.Service); ok {
			out[name] = bare([]string{s.ID})
		}
	}
	for _, kind := range []string{"services", "routes", "plugins", "targets"} {
		var seen []string
		for i := range 8 {
			id := fmt.Sprint(kind[:1], i)
			if v.ByID(kinds.ByKind(kind), space+id) != nil {
				seen = append(seen, id)
			}
			for _, other := range []string{"", "w1", "w2"} {
				if other != space && v.ByID(kinds.ByKind(kind), other+id) != nil {
					seen = append(seen, "also "+other+id)
				}
			}
		}
		out[kind] = seen
	}
	return out
}

// groups makes random changes to the groups of a world and to who is in them.
func (w world) groups(d *rand.Rand) []config.Change {
	var out []config.Change
	for range d.IntN(3) {
		g, c := fmt.Sprint("g", d.IntN(3)), fmt.Sprint("c", d.IntN(2))
		kind, id, body := "consumer_groups", g, object{"name": fmt.Sprint("name", d.IntN(3), g)}
		switch d.IntN(3) {
		case 0:
			kind, id, body = "consumer_group_consumers", "m"+g+c, object{"consumer": ref(c), "consumer_group": ref(g)}
		case 1:
			kind, id = "plugins", fmt.Sprint("p", d.IntN(3), g)
			body = object{"name": "alpha", "consumer_group": ref(g)}
			if id[1] != '0' {
				body["route"] = ref(fmt.Sprint("r", id[1:2]))
			}
		}
		if slices.ContainsFunc(out, func(c config.Change) bool { return c.ID == id }) {
			continue
		}
		if w[kind] == nil {
			w[kind] = map[string]object{}
		}
		if w[kind][id] != nil && d.IntN(3) == 0 {
			delete(w[kind], id)
			out = append(out, remove(kind, id))
			continue
		}
		w[kind][id] = body
		out = append(out, put(kind, id, body))
	}
	return out
}

// TestWorkspacesDoNotSeeEachOther makes random configurations of three workspaces in one
// plan, in steps and at once, and each alone in a plan of its own: the three look the same.
func TestWorkspacesDoNotSeeEachOther(t *testing.T) {
	kinds := entity.NewKinds(entity.Options{})
	spaces := []string{"", "w1", "w2"}
	for _, name := range []uint64{1, 2} {
		d := rand.New(rand.NewPCG(seed, name)) //nolint:gosec // cases, not secrets
		steps, whole := newRoom(t), newRoom(t)
		worlds, alone := map[string]world{}, map[string]*room{}
		for _, space := range spaces {
			worlds[space], alone[space] = world{}, newRoom(t)
		}
		for round := range 100 {
			var all, changes []config.Change
			for _, space := range spaces {
				w := worlds[space]
				if d.IntN(2) == 0 {
					changed := append(w.step(d), w.groups(d)...)
					changes = append(changes, in(space, changed)...)
				}
				all = append(all, in(space, w.whole())...)
				alone[space].apply(true, w.whole()...)
			}
			steps.apply(false, changes...)
			whole.apply(true, all...)
			for _, space := range spaces {
				want := view(alone[space].Current(), kinds, "")
				for how, r := range map[string]*room{"steps": steps, "whole": whole} {
					if diff := cmp.Diff(want, view(r.Current(), kinds, space)); diff != "" {
						t.Fatalf("seed %d, %d, round %d, workspace %q in %s: %s", seed, name, round, space, how, diff)
					}
				}
			}
		}
	}
}

// scoped is a config of a plugin as the slow resolver sees it.
type scoped struct{ id, route, service, consumer, group string }

// resolve is the order that Kong documents, in the most obvious way: each place of the
// order in turn, and in it the groups by name.
func resolve(configs []scoped, route, service, consumer string, groups []string) string {
	find := func(want scoped) string {
		for _, c := range configs {
			if want.route == c.route && want.service == c.service && want.consumer == c.consumer && want.group == c.group {
				return c.id
			}
		}
		return ""
	}
	for _, place := range []string{"crs", "grs", "cr", "cs", "gr", "gs", "rs", "c", "g", "r", "s", ""} {
		has := func(part string) bool { return strings.Contains(place, part) }
		if has("c") && consumer == "" || has("r") && route == "" || has("s") && service == "" {
			continue
		}
		var c scoped
		if has("r") {
			c.route = route
		}
		if has("s") {
			c.service = service
		}
		if has("c") {
			c.consumer = consumer
		}
		for _, group := range groups {
			if c.group = ""; has("g") {
				c.group = group
			}
			if id := find(c); id != "" {
				return id
			}
		}
		if !has("g") {
			if id := find(c); id != "" {
				return id
			}
		}
	}
	return ""
}

// TestPrecedenceWithGroups compares random scopes with the obvious resolver.
func TestPrecedenceWithGroups(t *testing.T) {
	d := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // cases, not secrets
	services := map[string]string{"r0": "s0", "r1": "s0", "r2": "s1", "r3": ""}
	one := func(of string, n int) string {
		if d.IntN(2) == 0 {
			return ""
		}
		return fmt.Sprint(of, d.IntN(n))
	}
	cases, decided := 0, map[string]int{}
	r := newRoom(t)
	for range 600 {
		changes := []config.Change{put("services", "s0", object{"host": "h"}), put("services", "s1", object{"host": "h"})}
		for route, service := range services {
			body := object{"paths": []string{"/" + route}}
			if service != "" {
				body["service"] = ref(service)
			}
			changes = append(changes, put("routes", route, body))
		}
		var configs []scoped
		taken := map[scoped]bool{}
		for range d.IntN(14) {
			s := scoped{"", one("r", 4), one("s", 2), one("c", 2), one("g", 3)}
			if s.consumer != "" && d.IntN(4) > 0 {
				s.group = ""
			}
			if taken[s] {
				continue
			}
			taken[s] = true
			s.id = fmt.Sprint("p", len(configs))
			configs = append(configs, s)
			body := object{"name": "alpha"}
			for field, id := range map[string]string{"route": s.route, "service": s.service, "consumer": s.consumer, "consumer_group": s.group} {
				if id != "" {
					body[field] = ref(id)
				}
			}
			changes = append(changes, put("plugins", s.id, body))
		}
		// Names go the other way than ids half of the time.
		names, members := map[string]string{}, map[string][]string{}
		for i := range 3 {
			g := fmt.Sprint("g", i)
			names[g] = fmt.Sprint("n", []int{i, 9 - i}[d.IntN(2)])
			changes = append(changes, put("consumer_groups", g, object{"name": names[g]}))
			for _, c := range []string{"c0", "c1"} {
				if d.IntN(2) == 0 {
					members[c] = append(members[c], g)
					changes = append(changes, put("consumer_group_consumers", g+c, object{"consumer": ref(c), "consumer_group": ref(g)}))
				}
			}
		}
		r.apply(true, changes...)
		for route, service := range services {
			for _, consumer := range []string{"", "c0", "c1"} {
				groups := slices.Clone(members[consumer])
				slices.SortFunc(groups, func(a, b string) int { return strings.Compare(names[a]+a, names[b]+b) })
				want := resolve(configs, route, service, consumer, groups)
				got := strings.Join(ids(r.route("/"+route).Chain, consumer, r.Current().ConsumerGroups(consumer)...), ",")
				if got != want {
					t.Fatalf("route %s, service %q, consumer %q in %v: %q runs, want %q of %+v", route, service, consumer, groups, got, want, configs)
				}
				cases++
				for _, c := range configs {
					if c.id == want && want != "" {
						decided[fmt.Sprint(c.consumer != "", c.group != "", c.route != "", c.service != "")]++
					}
				}
			}
		}
	}
	if len(decided) != 12 {
		t.Errorf("only %d of the 12 places decided: %v", len(decided), slices.Sorted(maps.Keys(decided)))
	}
	t.Logf("%d cases", cases)
}

func TestGroupsOfConsumers(t *testing.T) {
	r := newRoom(t)
	names := func(consumer string) (out []string) {
		for _, g := range r.Current().ConsumerGroups(consumer) {
			out = append(out, g.Name)
		}
		return out
	}
	r.apply(true, put("consumers", "c", object{"username": "u"}), put("consumer_groups", "1", object{"name": "silver"}), put("consumer_groups", "2", object{"name": "gold"}),
		put("consumer_group_consumers", "a", object{"consumer": ref("c"), "consumer_group": ref("1")}), put("consumer_group_consumers", "b", object{"consumer": ref("c"), "consumer_group": ref("2")}))
	for _, step := range []struct {
		change config.Change
		want   []string
	}{
		{put("consumers", "c", object{"username": "v"}), []string{"gold", "silver"}},
		{put("consumer_groups", "2", object{"name": "zinc"}), []string{"silver", "zinc"}},
		{remove("consumer_group_consumers", "a"), []string{"zinc"}},
		{put("consumer_group_consumers", "b", object{"consumer": ref("d"), "consumer_group": ref("2")}), nil},
	} {
		r.apply(false, step.change)
		if got := names("c"); !slices.Equal(got, step.want) {
			t.Fatalf("%s %s: in %v, want %v", step.change.Kind, step.change.ID, got, step.want)
		}
	}
	if got := names("d"); !slices.Equal(got, []string{"zinc"}) {
		t.Errorf("the other is in %v", got)
	}
	r.apply(false, remove("consumer_groups", "2"))
	if got := names("d"); got != nil {
		t.Errorf("a group that is gone: %v", got)
	}
}

// TestChoosingDoesNotAllocate holds that consumers, groups and workspaces cost requests no
// memory.
func TestChoosingDoesNotAllocate(t *testing.T) {
	r := newRoom(t)
	changes := []config.Change{
		put("routes", "r", object{"paths": []string{"/r"}}), put("plugins", "p", object{"name": "alpha"}),
		put("plugins", "q", object{"name": "alpha", "consumer_group": ref("g")}), put("plugins", "o", object{"name": "beta", "consumer_group": ref("g"), "route": ref("r")}),
		put("consumers", "c", object{"username": "u"}), put("consumer_groups", "g", object{"name": "gold"}), put("upstreams", "u", object{"name": "up"}),
		put("consumer_group_consumers", "m", object{"consumer": ref("c"), "consumer_group": ref("g")}),
	}
	r.apply(true, append(slices.Clone(changes), in("w", changes)...)...)
	kinds := entity.NewKinds(entity.Options{})
	consumers := kinds.ByKind("consumers")
	for _, space := range []string{"", "w"} {
		p := r.Current()
		path := "/r"
		if space != "" {
			path = "/" + space + path
		}
		route := r.route(path)
		if n := testing.AllocsPerRun(100, func() {
			v, _ := p.View(space)
			c, _ := v.ByKey(consumers, "username", "u").(*entity.Consumer)
			groups := v.ConsumerGroups(c.ID)
			if v.ByID(consumers, c.ID) == nil || len(groups) != 1 {
				t.Fatal("not found")
			}
			for i := range route.Chain.Steps {
				if inst := route.Chain.Steps[i].For(c, groups); inst == nil || inst.Entity.ConsumerGroup == nil {
					t.Fatal("not the group's")
				}
			}
			if _, ok := p.UpstreamIn(route.Workspace, "up"); !ok {
				t.Fatal("no upstream")
			}
		}); n > 0 {
			t.Errorf("workspace %q: %v allocations", space, n)
		}
	}
}

// TestBadWorkspace holds that a body whose workspace is no text refuses the update.
func TestBadWorkspace(t *testing.T) {
	r := newRoom(t)
	errs, err := r.Apply(t.Context(), config.Update{Changes: []config.Change{{Op: config.Put, Kind: "routes", ID: "r", Body: []byte(`{"id":"r","ws_id":{}}`)}}})
	if err == nil || len(errs) != 1 || errs[0].ID != "r" {
		t.Errorf("got %v, %v", errs, err)
	}
}

func TestNamesOfWorkspaces(t *testing.T) {
	r := newRoom(t)
	name := func() string {
		_, name := r.Current().View("w")
		return name
	}
	for _, step := range []struct {
		change config.Change
		want   string
	}{
		{put("workspace_names", "w", object{"name": "early"}), ""},
		{in("w", []config.Change{put("routes", "r", object{"paths": []string{"/r"}})})[0], "early"},
		{put("workspace_names", "w", object{"name": "team"}), "team"},
		{remove("workspace_names", "w"), ""},
	} {
		r.apply(false, step.change)
		if got := name(); got != step.want {
			t.Errorf("after %s %s the name is %q, want %q", step.change.Kind, step.change.ID, got, step.want)
		}
	}
}
