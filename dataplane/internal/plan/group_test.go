package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
)

// TestGroup changes groups of all sizes at random, and compares with a plain list; what
// was before must stay as it was.
func TestGroup(t *testing.T) {
	s := newShape(kinds(t).ByKind("routes"))
	random := rand.New(rand.NewPCG(1, 2))
	var g *group
	var want []string
	for step := range 2000 {
		before, were := g, slices.Clone(want)
		without, with := []string{}, []change{}
		grow := step/400%2 == 0
		for range 1 + random.IntN(6) {
			id := fmt.Sprintf("%04d", random.IntN(600))
			at, there := slices.BinarySearch(want, id)
			if slices.ContainsFunc(with, func(c change) bool { return c.id == id }) || slices.Contains(without, id) {
				continue
			}
			if there {
				without = append(without, id)
				want = slices.Delete(want, at, at+1)
			}
			if there && random.IntN(2) == 0 || !there && (grow || random.IntN(20) == 0) {
				with = append(with, change{id, &entity.Route{ID: id}})
				want = slices.Insert(want, at, id)
			}
		}
		g = g.changed(s, without, with)
		if (g == nil) != (len(want) == 0) {
			t.Fatalf("step %d: group %v of %d", step, g, len(want))
		}
		if step%7 == 0 {
			if got := idsOf(before); !slices.Equal(got, were) {
				t.Fatalf("step %d: what was before is %q, want %q", step, got, were)
			}
		}
		if got := idsOf(g); !slices.Equal(got, want) {
			t.Fatalf("step %d: %q, want %q", step, got, want)
		}
		if g != nil && g.byID.Len() > 0 && g.byID.Len() < largeGroup/2 {
			t.Fatalf("step %d: a map of %d", step, g.byID.Len())
		}
	}
}

func idsOf(g *group) (out []string) {
	for _, v := range g.all() {
		out = append(out, v.(*entity.Route).ID)
	}
	return out
}

func kinds(t testing.TB) *entity.Kinds {
	t.Helper()
	r := plugins.Bundled()
	return entity.NewKinds(entity.Options{Plugins: r.Schema, Extra: r.Entities()})
}

// TestGroupedKindsHaveIDs: a group knows its entities by them.
func TestGroupedKindsHaveIDs(t *testing.T) {
	for _, def := range kinds(t).All() {
		if def.New == nil || def.Hidden {
			continue
		}
		if s := newShape(def); len(s.refs) > 0 && s.id.index < 0 {
			t.Errorf("%s refers to others and has no id", def.Kind())
		}
	}
}

// BenchmarkGroup replaces one route of a service that has 100,000.
func BenchmarkGroup(b *testing.B) {
	s := newShape(kinds(b).ByKind("routes"))
	all := make([]change, 100_000)
	for i := range all {
		id := fmt.Sprintf("%06d", i)
		all[i] = change{id, &entity.Route{ID: id}}
	}
	g := (*group)(nil).changed(s, nil, all)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c := all[i%len(all)]
		g = g.changed(s, []string{c.id}, []change{c})
	}
}
