package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestOrdering(t *testing.T) {
	r := newRoom(t)
	before := func(names ...string) object { return object{"before": object{"access": names}} }
	r.apply(false,
		put("services", "s", object{"host": "a.test", "protocol": "http", "port": 80}),
		put("routes", "r", object{"paths": []string{"/r"}, "service": ref("s"), "protocols": []string{"http"}}),
		put("routes", "q", object{"paths": []string{"/q"}, "service": ref("s"), "protocols": []string{"http"}}),
		put("plugins", "b", object{"name": "beta"}),
		put("plugins", "g", object{"name": "gamma"}),
		put("plugins", "a", object{"name": "alpha"}),
		put("plugins", "a-r", object{"name": "alpha", "route": ref("r"), "ordering": before("beta")}),
	)
	// beta has the highest priority; gamma and alpha run in reverse alphabetical order.
	if diff := cmp.Diff([]string{"b", "g", "a"}, ids(r.route("/q").Chain, "")); diff != "" || r.route("/q").Chain.Ordered {
		t.Error(diff)
	}
	chain := r.route("/r").Chain
	if diff := cmp.Diff([]string{"a-r", "b", "g"}, ids(chain, "")); diff != "" || !chain.Ordered {
		t.Error(diff)
	}
	// The phases after access go by priority.
	var list []*plan.Instance
	for i := range chain.Steps {
		list = append(list, chain.Steps[i].For(nil, nil))
	}
	n := testing.AllocsPerRun(10, func() { plan.ByPriority(list) })
	if list[0].Entity.ID != "b" || list[1].Entity.ID != "g" || list[2].Entity.ID != "a-r" || n != 0 {
		t.Errorf("sorted to %s %s %s with %v allocations", list[0].Entity.ID, list[1].Entity.ID, list[2].Entity.ID, n)
	}
	// A circle, which the control plane lets through for nobody, leaves priorities.
	r.apply(false, put("plugins", "b", object{"name": "beta", "ordering": before("alpha")}))
	if diff := cmp.Diff([]string{"b", "g", "a-r"}, ids(r.route("/r").Chain, "")); diff != "" {
		t.Error(diff)
	}
	// A change of the ordering alone builds nothing again.
	built := r.built.Load()
	r.apply(false, put("plugins", "a-r", object{"name": "alpha", "route": ref("r")}))
	if r.built.Load() != built {
		t.Error("a plugin was built again")
	}
}

func TestConditionsAndProtocols(t *testing.T) {
	r := newRoom(t)
	r.apply(false,
		put("plugins", "a", object{"name": "alpha", "condition": `http.path ^= "/a"`}),
		put("plugins", "b", object{"name": "beta", "protocols": []string{"tcp", "tls"}}),
		put("plugins", "g", object{"name": "gamma", "protocols": []string{"tcp", "grpcs"}}),
	)
	if diff := cmp.Diff([]string{"g", "a"}, ids(&r.Current().Global, "")); diff != "" {
		t.Error(diff)
	}
	inst := r.Current().Global.Steps[1].For(nil, nil)
	q := &expression.Request{Path: "/abc", Header: &pdk.Header{}}
	n := testing.AllocsPerRun(100, func() {
		if !inst.Condition.Match(q) {
			t.Error("no match")
		}
	})
	if n != 0 {
		t.Errorf("a condition allocates %v times", n)
	}
	// A changed condition is compiled, the config is not built again.
	built := r.built.Load()
	r.apply(false, put("plugins", "a", object{"name": "alpha", "condition": `http.path == "/b"`}))
	if r.built.Load() != built || r.Current().Global.Steps[1].For(nil, nil).Condition.Match(q) {
		t.Error("the condition before is still there")
	}
	errs, err := r.Apply(t.Context(), config.Update{Changes: []config.Change{put("plugins", "a", object{"name": "alpha", "condition": "http.path =="})}})
	if err == nil || len(errs) != 1 || errs[0].Field != "condition" || !strings.Contains(errs[0].Message, "-->") {
		t.Errorf("got %v, %v", errs, err)
	}
}
