package plan_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/dataplane/internal/router"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// seed of all random cases here.
const seed = 20261124

// world is a configuration, by kind and id.
type world map[string]map[string]object

// step makes random changes to w that leave no reference broken.
func (w world) step(d *rand.Rand) []config.Change {
	changed := map[[2]string]config.Change{}
	name := func(prefix string, n int) string { return fmt.Sprint(prefix, d.IntN(n)) }
	set := func(kind, id string, body object) {
		if w[kind] == nil {
			w[kind] = map[string]object{}
		}
		w[kind][id] = body
		changed[[2]string{kind, id}] = put(kind, id, body)
	}
	for range 1 + d.IntN(6) {
		switch d.IntN(7) {
		case 0:
			id := name("s", 4)
			body := object{"host": name("h", 3), "name": name(id+"-", 3)}
			if d.IntN(5) == 0 {
				body["enabled"] = false
			}
			set("services", id, body)
		case 1:
			id := name("r", 8)
			body := object{"paths": []string{"/" + id}}
			if service := name("s", 4); w["services"][service] != nil && d.IntN(4) > 0 {
				body["service"] = ref(service)
			}
			if d.IntN(8) == 0 {
				body["protocols"] = []string{"tcp"}
			}
			set("routes", id, body)
		case 2, 3:
			body := object{"name": []string{"alpha", "beta", "gamma"}[d.IntN(3)], "config": object{"n": d.IntN(3)}}
			if d.IntN(2) == 0 {
				body["route"] = ref(name("r", 8))
			}
			if d.IntN(3) == 0 {
				body["service"] = ref(name("s", 4))
			}
			if d.IntN(3) == 0 {
				body["consumer"] = ref(name("c", 2))
			}
			if d.IntN(6) == 0 {
				body["enabled"] = false
			}
			// There is one config for a combination.
			set("plugins", fmt.Sprint("p", body["name"], body["route"], body["service"], body["consumer"]), body)
		case 4:
			// Names move between upstreams.
			a, b := w["upstreams"]["u0"], w["upstreams"]["u1"]
			if a == nil || b == nil {
				set("upstreams", "u0", object{"name": "n0"})
				set("upstreams", "u1", object{"name": "n1"})
			} else {
				set("upstreams", "u0", b)
				set("upstreams", "u1", a)
			}
		case 5:
			set("targets", name("t", 5), object{"target": fmt.Sprintf("127.0.0.1:%d", 1000+d.IntN(4)), "weight": d.IntN(200), "upstream": ref(name("u", 2))})
		case 6:
			for _, kind := range []string{"routes", "plugins", "targets", "upstreams"} {
				if ids := slices.Sorted(maps.Keys(w[kind])); len(ids) > 0 && d.IntN(2) == 0 {
					id := ids[d.IntN(len(ids))]
					if c, ok := changed[[2]string{kind, id}]; ok && c.Op == config.Put {
						continue
					}
					delete(w[kind], id)
					changed[[2]string{kind, id}] = remove(kind, id)
				}
			}
		}
	}
	return slices.Collect(maps.Values(changed))
}

func (w world) whole() []config.Change {
	var out []config.Change
	for kind, all := range w {
		for id, body := range all {
			out = append(out, put(kind, id, body))
		}
	}
	return out
}

// picture is all that requests can see of a plan.
func picture(p *plan.Plan, kinds *entity.Kinds) map[string]any {
	out := map[string]any{"routes": p.Routes(), "entities": p.Entities(), "global": ids(&p.Global, "")}
	var rewrites []string
	for _, i := range p.Rewrites {
		rewrites = append(rewrites, i.Entity.ID)
	}
	out["rewrites"] = rewrites
	for i := range 8 {
		var m router.Match
		path := fmt.Sprint("/r", i)
		r, ok := p.Match(&router.Request{Request: expression.Request{Method: "GET", Path: path, Header: &pdk.Header{}}}, &m)
		if !ok {
			continue
		}
		seen := []any{r.Entity, m.Route, ids(r.Chain, ""), ids(r.Chain, "c0"), ids(r.Chain, "c1")}
		if r.Service != nil {
			seen = append(seen, r.Service.Entity, r.Service.Base)
		}
		out[path] = seen
	}
	for _, name := range []string{"n0", "n1"} {
		if u, ok := p.Upstream(name); ok {
			seen := []any{u.Entity}
			for _, t := range u.Targets {
				seen = append(seen, t.Entity)
			}
			out[name] = seen
		}
	}
	for i := range 2 {
		id := fmt.Sprint("u", i)
		u, ok := p.UpstreamByID(id)
		out["by id "+id] = ok && u.Entity.ID == id
		out["targets of "+id] = p.ByForeign(kinds.ByKind("targets"), "upstream", id)
		out["routes of s"+id[1:]] = p.ByForeign(kinds.ByKind("routes"), "service", "s"+id[1:])
	}
	for i := range 12 {
		name := fmt.Sprintf("s%d-%d", i/3, i%3)
		if v := p.ByKey(kinds.ByKind("services"), "name", name); v != nil {
			out[name] = v.(*entity.Service).Name
		}
	}
	return out
}

// TestIncrementalEqualsWhole makes the same random configurations in steps and at once.
func TestIncrementalEqualsWhole(t *testing.T) {
	kinds := entity.NewKinds(entity.Options{})
	for _, name := range []uint64{1, 2, 3, 4} {
		d := rand.New(rand.NewPCG(seed, name)) //nolint:gosec // cases, not secrets
		steps, whole := newRoom(t), newRoom(t)
		w := world{}
		for round := range 150 {
			steps.apply(false, w.step(d)...)
			whole.apply(true, w.whole()...)
			if diff := cmp.Diff(picture(whole.Current(), kinds), picture(steps.Current(), kinds)); diff != "" {
				t.Fatalf("seed %d, %d, round %d: in steps the plan differs: %s", seed, name, round, diff)
			}
		}
	}
}
