package e2e

import (
	"testing"
)

// Point 8: an upstream with two targets, by weight, and a dead one is tried no
// more than once in a call.
func TestWalkUpstreams(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	first, second := newEcho(t, "first"), newEcho(t, "second")
	c.must("POST", "/upstreams", form("name", "example_upstream"), 201)
	c.must("POST", "/upstreams/example_upstream/targets", form("target", first.address(), "weight", "300"), 201)
	added := c.must("POST", "/upstreams/example_upstream/targets", form("target", second.address()), 201)
	if added.at("weight") != 100.0 || added.text("target") != second.address() {
		t.Errorf("target: %s", added.body)
	}
	if rows := c.get("/upstreams/example_upstream/targets").list("data"); len(rows) != 2 {
		t.Errorf("%d targets are listed", len(rows))
	}
	c.must("POST", "/services", form("name", "one", "host", "example_upstream"), 201)
	c.must("POST", "/services/one/routes", form("paths[]", "/one"), 201)
	eventually(t, soon, func() error { return n.try("GET", "/one", nil).is(200) }, n.program)

	counts := map[string]int{}
	for range 40 {
		counts[n.get("/one").echoed(t).Name]++
	}
	if counts["first"] != 30 || counts["second"] != 10 {
		t.Errorf("calls = %v, want 30 for the one with weight 300 and 10 for the one with 100", counts)
	}
	second.Close()
	for range 20 {
		if got := n.get("/one").echoed(t).Name; got != "first" {
			t.Fatalf("answered by %q, want the target that lives", got)
		}
	}
	first.Close()
	n.must("GET", "/one", nil, 502)
	third := newEcho(t, "third")
	c.must("POST", "/upstreams/example_upstream/targets", form("target", third.address()), 201)
	eventually(t, soon, func() error { return n.try("GET", "/one", nil).is(200) }, n.program)
	c.must("DELETE", "/upstreams/example_upstream/targets/"+third.address(), nil, 204)
	eventually(t, soon, func() error { return n.try("GET", "/one", nil).is(502) }, n.program)
}
