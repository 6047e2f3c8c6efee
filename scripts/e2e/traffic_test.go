package e2e

import (
	"fmt"
	"testing"
	"time"
)

// seen waits until the control plane has heard of so many requests.
func (c *cluster) seen(path string, want float64) *response {
	c.t.Helper()
	var r *response
	eventually(c.t, soon, func() error {
		r = c.try("GET", path, nil)
		if err := r.is(200); err != nil {
			return err
		}
		if got := r.at("total", "requests"); got != want {
			return fmt.Errorf("%s: %v requests, want %v", path, got, want)
		}
		return nil
	})
	return r
}

// Every node counts, and the control plane shows all of it: by service, route and node,
// in each workspace; also what happened while it was away, and nothing twice.
func TestTraffic(t *testing.T) {
	c := newCluster(t, 2)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	c.must("POST", "/workspaces", object{"name": "team"}, 201)
	c.must("POST", "/team/services", object{"name": "two", "url": up.URL}, 201)
	c.must("POST", "/team/services/two/routes", object{"name": "two", "paths": []string{"/two"}}, 201, atOnce)
	for i, n := range c.nodes {
		for range 10 + i {
			n.get("/one")
		}
		n.get("/two")
		n.try("GET", "/one", nil, headers{"X-Status", "500"})
	}
	got := c.seen("/clustering/traffic?service=one&by=node", reached(up)-2)
	nodes := got.list("nodes")
	if len(nodes) != 2 || got.at("total", "statuses", "5xx") != 2.0 || got.at("total", "codes", "500") != 2.0 {
		t.Errorf("service one: %s", got.body)
	}
	if got.at("total", "latency", "total", "p99") == nil || got.at("total", "latency", "upstream", "p50") == nil || got.at("total", "bytes_out").(float64) < 1000 {
		t.Errorf("latencies of service one: %s", got.body)
	}
	if groups := got.list("groups"); len(groups) != 2 || groups[0]["points"] == nil {
		t.Errorf("groups: %s", got.body)
	}
	team := c.seen("/team/clustering/traffic", 2)
	if services := team.list("services"); len(services) != 1 || services[0]["name"] != "two" || services[0]["workspace"] != "team" {
		t.Errorf("services of the team: %s", team.body)
	}

	// Away for a while: what happens meanwhile is told later.
	total := reached(up)
	n := c.nodes[0]
	cont := stopped(t, c.control)
	for range 5 {
		n.get("/one")
		time.Sleep(300 * time.Millisecond)
	}
	cont()
	c.seen("/clustering/traffic?service=one", total-2+5)
	// A restarted control plane has forgotten; nodes connect again and tell what they have not
	// been told is there.
	c.control.stop()
	for range 7 {
		n.get("/one")
	}
	time.Sleep(2 * time.Second) // slices end while it is away
	c.control.start()
	c.up()
	eventually(t, soon, func() error {
		r := c.try("GET", "/clustering/traffic?service=one", nil)
		if r.at("total", "requests") != nil && r.at("total", "requests").(float64) >= 7 {
			return nil
		}
		return fmt.Errorf("after the restart: %s", r.body)
	})
}

// reached is how many requests an upstream has had, those of tests that wait for a route
// included.
func reached(up *echo) float64 { return float64(up.calls.Load()) }
