package plan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/shared/entity"
)

// served are entities of some kinds, with what their bodies may have.
func served() []config.Change {
	return []config.Change{
		put("services", "s", object{"name": "s", "host": "h", "port": 80, "protocol": "http", "tags": []string{"a", "b"}, "connect_timeout": 60000}),
		put("routes", "r", object{"name": "r", "paths": []string{"/"}, "headers": object{"x-a": []string{"1", "2"}, "x-b": []string{"3"}}, "service": ref("s"), "methods": nil}),
		put("consumers", "c", object{"username": "c"}),
		put("plugins", "p", object{"name": "alpha", "config": object{"deep": []any{object{"x": 1}}}, "service": ref("s")}),
		put("upstreams", "u", object{"name": "u", "slots": 10}),
		put("targets", "t", object{"target": "127.0.0.1:1", "weight": 10, "upstream": ref("u")}),
	}
}

// TestInspectFindsWhatHasChanged in the memory of what is served, and nothing else.
func TestInspectFindsWhatHasChanged(t *testing.T) {
	r := newRoom(t)
	r.apply(true, served()...)
	prints := map[string]uint64{}
	for range 3 {
		for _, c := range served() {
			mark, err := r.Inspect(c, prints[c.ID])
			if err != nil || mark == 0 || prints[c.ID] != 0 && mark != prints[c.ID] {
				t.Errorf("%s %s: %d after %d, %v", c.Kind, c.ID, mark, prints[c.ID], err)
			}
			prints[c.ID] = mark
		}
	}
	if mark, err := r.Inspect(config.Change{Kind: "novelties", ID: "n"}, 0); mark != 0 || err != nil {
		t.Errorf("an unknown kind: %d, %v", mark, err)
	}
	if _, err := r.Inspect(put("routes", "r2", object{}), 0); err == nil {
		t.Error("what is missing is not found")
	}
	service, _ := r.Current().ByID(entity.Services, "s").(*entity.Service)
	route, _ := r.Current().ByID(entity.NewKinds(entity.Options{}).ByKind("routes"), "r").(*entity.Route)
	for name, flip := range map[string]func(){
		"services s": func() { service.Host = "H" },
		"routes r":   func() { route.Headers["x-b"][0] = "4" },
	} {
		flip()
		for _, c := range served() {
			if name != c.Kind+" "+c.ID {
				continue
			}
			for _, mark := range []uint64{0, prints[c.ID]} {
				if _, err := r.Inspect(c, mark); err == nil {
					t.Errorf("%s was changed, and is not found with mark %d", name, mark)
				}
			}
			// To apply it again is what helps.
			r.apply(false, c)
			if mark, err := r.Inspect(c, prints[c.ID]); err != nil || mark != prints[c.ID] {
				t.Errorf("%s after it was applied again: %v", name, err)
			}
		}
	}
}

// BenchmarkInspect is one entity of a pass that is not the first.
func BenchmarkInspect(b *testing.B) {
	r := newRoom(b)
	var changes []config.Change
	for i := range 1000 {
		changes = append(changes, put("routes", fmt.Sprint(i), object{"name": fmt.Sprint(i), "paths": []string{fmt.Sprint("/", i)}, "headers": object{"x-a": []string{"1"}}}))
	}
	if _, err := r.Apply(b.Context(), config.Update{Whole: true, Changes: changes}); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	prints := make([]uint64, len(changes))
	for i, c := range changes {
		prints[i], _ = r.Inspect(c, 0)
	}
	b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(len(changes)), "ns/first")
	for i := 0; b.Loop(); i++ {
		if _, err := r.Inspect(changes[i%1000], prints[i%1000]); err != nil {
			b.Fatal(err)
		}
	}
}
