package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var atOnce = headers{"X-Sluice-Wait", "all"}

// Two teams have workspaces of their own: the same names, keys, upstreams and plugins,
// which mean something else in each, on one data plane.
func TestWalkWorkspaces(t *testing.T) {
	c := newCluster(t, 2)
	spaces := []string{"", "/red", "/blue"}
	keys := map[string]string{}
	for i, space := range spaces {
		if space != "" {
			c.must("POST", "/workspaces", object{"name": space[1:]}, 201)
		}
		up := newEcho(t, "up"+space)
		// The service's host is an upstream, of the same name in each workspace.
		c.must("POST", space+"/upstreams", object{"name": "machines"}, 201)
		c.must("POST", space+"/upstreams/machines/targets", object{"target": up.address()}, 201)
		c.must("POST", space+"/services", object{"name": "api", "host": "machines"}, 201)
		c.must("POST", space+"/services/api/routes", object{"name": "api", "paths": []string{"/api" + space}}, 201)
		c.must("POST", space+"/plugins", object{"name": "key-auth"}, 201)
		c.must("POST", space+"/plugins", object{"name": "request-transformer", "config": object{"add": object{"headers": []string{"x-space:in" + space}}}}, 201)
		consumer := c.must("POST", space+"/consumers", object{"username": "luka"}, 201)
		keys[space] = consumer.text("id")
		c.must("POST", space+"/consumers/luka/key-auth", object{"key": "same"}, 201)
		c.must("POST", space+"/consumers/luka/key-auth", object{"key": "only" + strconv.Itoa(i)}, 201, atOnce)
	}
	for _, n := range c.nodes {
		for i, space := range spaces {
			n.must("GET", "/api"+space, nil, 401)
			got := n.must("GET", "/api"+space, nil, 200, headers{"apikey", "same"}).echoed(t)
			if got.Name != "up"+space || got.Headers["X-Space"][0] != "in"+space || got.Headers["X-Consumer-Id"][0] != keys[space] {
				t.Errorf("workspace %q: %+v", space, got)
			}
			for j := range spaces {
				want := 401
				if i == j {
					want = 200
				}
				n.must("GET", "/api"+space, nil, want, headers{"apikey", "only" + strconv.Itoa(j)})
			}
		}
	}
	// Logs say which workspace a request was of.
	log := filepath.Join(t.TempDir(), "red.log")
	c.must("POST", "/red/plugins", object{"name": "file-log", "config": object{"path": log}}, 201, atOnce)
	for _, space := range spaces {
		c.nodes[0].must("GET", "/api"+space, nil, 200, headers{"apikey", "same"})
	}
	eventually(t, soon, func() error {
		text, err := os.ReadFile(log)
		if lines := strings.Count(string(text), "\n"); err == nil && (lines != 1 || !strings.Contains(string(text), `"workspace_name":"red"`)) {
			return fmt.Errorf("%d lines: %s", lines, text)
		}
		return err
	}, c.nodes[0].program)
	// What a team changes changes nothing for the others, and survives a node's restart
	// without the control plane.
	for _, p := range c.get("/red/plugins").list("data") {
		if p["name"] == "key-auth" {
			c.must("DELETE", "/red/plugins/"+p["id"].(string), nil, 204)
		}
	}
	c.must("PATCH", "/red/services/api", object{"enabled": true}, 200, atOnce)
	check := func(n *node) {
		t.Helper()
		n.must("GET", "/api/red", nil, 200)
		n.must("GET", "/api/blue", nil, 401)
		n.must("GET", "/api", nil, 401)
	}
	for _, n := range c.nodes {
		check(n)
	}
	c.control.kill()
	c.nodes[0].stop()
	c.nodes[0].start()
	c.nodes[0].ready()
	check(c.nodes[0])
	c.control.start()
	c.up()
	// A document of one workspace, and its end.
	c.must("POST", "/blue/config", `{"_format_version":"3.0","services":[{"name":"api","url":"http://127.0.0.1:1","routes":[{"name":"api","paths":["/new"]}]}]}`, 201, atOnce)
	for _, n := range c.nodes { // they may not be back yet
		eventually(t, soon, func() error { return n.try("GET", "/new", nil).is(502) }, n.program)
		// The path is now one of the default workspace, where the key means something else.
		if got := n.must("GET", "/api/blue", nil, 200, headers{"apikey", "only0"}).echoed(t); got.Name != "up" {
			t.Errorf("%+v", got)
		}
	}
	if text := c.get("/blue/config").text("config"); !strings.Contains(text, "_workspace: blue\n") || strings.Contains(text, "machines") {
		t.Errorf("the document of blue is %s", text)
	}
	c.must("DELETE", "/workspaces/red", nil, 400)
	c.must("DELETE", "/workspaces/red?cascade=true", nil, 204, atOnce)
	for _, n := range c.nodes {
		n.must("GET", "/api/red", nil, 401)
		n.must("GET", "/api/red", nil, 200, headers{"apikey", "same"})
	}
}

// Groups of consumers have limits of their own, and may be let in by acl.
func TestWalkConsumerGroups(t *testing.T) {
	c := newCluster(t, 1)
	up := newEcho(t, "up")
	c.serve("api", up.URL, "/api")
	c.must("POST", "/plugins", object{"name": "key-auth"}, 201)
	limit := func(path string, minute int) {
		c.must("POST", path, object{"name": "rate-limiting", "config": object{"minute": minute, "policy": "local"}}, 201)
	}
	limit("/plugins", 100)
	for name, minute := range map[string]int{"gold": 400, "silver": 200} {
		c.must("POST", "/consumer_groups", object{"name": name}, 201)
		limit("/consumer_groups/"+name+"/plugins", minute)
	}
	for name, groups := range map[string][]string{"ana": {"gold"}, "ida": {"silver", "gold"}, "luka": nil, "own": {"gold"}} {
		c.must("POST", "/consumers", object{"username": name}, 201)
		c.must("POST", "/consumers/"+name+"/key-auth", object{"key": name}, 201)
		for _, g := range groups {
			c.must("POST", "/consumers/"+name+"/consumer_groups", object{"group": g}, 201)
		}
	}
	limit("/consumers/own/plugins", 700)
	c.must("POST", "/services/api/plugins", object{"name": "acl", "config": object{"deny": []string{"barred"}, "include_consumer_groups": true}}, 201, atOnce)
	n := c.nodes[0]
	limits := func(want map[string]int) {
		t.Helper()
		for name, minute := range want {
			r := n.must("GET", "/api", nil, 200, headers{"apikey", name})
			if got := r.header.Get("X-RateLimit-Limit-Minute"); got != strconv.Itoa(minute) {
				t.Errorf("%s has %s a minute, want %d", name, got, minute)
			}
		}
	}
	// Of the two groups that ida is in the first one by name counts.
	limits(map[string]int{"luka": 100, "ana": 400, "ida": 400, "own": 700})
	got := n.must("GET", "/api", nil, 200, headers{"apikey", "ida"}).echoed(t)
	if g := got.Headers["X-Consumer-Groups"]; len(g) != 1 || g[0] != "gold, silver" {
		t.Errorf("the upstream is told of the groups %v", g)
	}
	// A config for the route goes before one for a group, and one for both before it.
	limit("/routes/api/plugins", 50)
	route := c.must("GET", "/routes/api", nil, 200).text("id")
	c.must("POST", "/plugins", object{
		"name": "rate-limiting", "config": object{"minute": 300, "policy": "local"},
		"consumer_group": object{"name": "silver"}, "route": object{"id": route},
	}, 201, atOnce)
	limits(map[string]int{"luka": 50, "ana": 400, "ida": 300, "own": 700})
	// Who leaves a group is treated as others are at once.
	c.must("DELETE", "/consumer_groups/silver/consumers/ida", nil, 204)
	c.must("DELETE", "/consumers/ana/consumer_groups", nil, 204, atOnce)
	limits(map[string]int{"ida": 400, "ana": 50})
	c.must("POST", "/consumer_groups", object{"name": "barred"}, 201)
	c.must("POST", "/consumer_groups/barred/consumers", object{"consumer": "luka"}, 201, atOnce)
	n.must("GET", "/api", nil, 403, headers{"apikey", "luka"})
	c.must("DELETE", "/consumer_groups/gold", nil, 204, atOnce)
	limits(map[string]int{"ida": 50})
	limits(map[string]int{"own": 700})
}
