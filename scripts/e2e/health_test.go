package e2e

import (
	"fmt"
	"testing"
)

// healths returns what each node says of the first target of an upstream, by hostname of
// the node's row, as "HEALTH why".
func (c *cluster) healths(upstream string) (merged string, nodes []string, err error) {
	r := c.try("GET", "/upstreams/"+upstream+"/health", nil)
	if err := r.is(200); err != nil {
		return "", nil, err
	}
	rows := r.list("data")
	if len(rows) == 0 {
		return "", nil, fmt.Errorf("no target: %s", r.body)
	}
	merged, _ = rows[0]["health"].(string)
	list, _ := rows[0]["nodes"].([]any)
	for _, v := range list {
		n, _ := v.(map[string]any)
		text := fmt.Sprint(n["health"])
		if n["why"] != nil {
			text += fmt.Sprint(" ", n["why"])
		}
		if n["since"] == nil && n["why"] != nil {
			return "", nil, fmt.Errorf("since when is not said: %s", r.body)
		}
		if n["reported"] == true {
			text += " reported"
		}
		nodes = append(nodes, text)
	}
	return merged, nodes, nil
}

// sees waits until the control plane shows the upstream's target like this.
func (c *cluster) sees(upstream, merged string, nodes ...string) {
	c.t.Helper()
	eventually(c.t, soon, func() error {
		m, n, err := c.healths(upstream)
		if err == nil && (m != merged || fmt.Sprint(n) != fmt.Sprint(nodes)) {
			err = fmt.Errorf("the health is %s, nodes say %q; want %s, %q", m, n, merged, nodes)
		}
		return err
	}, c.control)
}

// A mark that was given by hand reaches every node, also ones that start later or again
// while the control plane is away; each node's view shows what it is and why.
func TestMarksOfTargets(t *testing.T) {
	c := newCluster(t, 2)
	up := newEcho(t, "up")
	c.must("POST", "/upstreams", form("name", "marked", "healthchecks.passive.unhealthy.tcp_failures", "5"), 201)
	c.must("POST", "/upstreams/marked/targets", form("target", up.address()), 201)
	c.must("POST", "/services", form("name", "one", "host", "marked"), 201)
	c.must("POST", "/services/one/routes", form("paths[]", "/one"), 201)
	for _, n := range c.nodes {
		eventually(t, soon, func() error { return n.try("GET", "/one", nil).is(200) }, n.program)
	}
	c.sees("marked", "HEALTHY", "HEALTHY", "HEALTHY")

	marked := c.must("PUT", "/upstreams/marked/targets/"+up.address()+"/unhealthy", nil, 204)
	if marked.header.Get("X-Sluice-Revision") == "" {
		t.Error("a mark is no change of the configuration")
	}
	c.sees("marked", "UNHEALTHY", "UNHEALTHY by hand", "UNHEALTHY by hand")
	for _, n := range c.nodes {
		n.must("GET", "/one", nil, 503)
	}
	if h := c.must("GET", "/upstreams/marked/health?balancer_health=1", nil, 200); h.at("data", "health") != "UNHEALTHY" {
		t.Errorf("the balancer's health: %s", h.body)
	}

	// A node restarts while the control plane is away, another one is new.
	c.control.stop()
	c.nodes[0].stop()
	c.nodes[0].start()
	c.nodes[0].ready()
	c.nodes[0].must("GET", "/one", nil, 503)
	c.control.start()
	c.up()
	third := c.addNode()
	third.must("GET", "/one", nil, 503)
	c.sees("marked", "UNHEALTHY", "UNHEALTHY by hand", "UNHEALTHY by hand", "UNHEALTHY by hand")

	c.must("PUT", "/upstreams/marked/targets/"+up.address()+"/"+up.address()+"/healthy", nil, 204)
	c.sees("marked", "HEALTHY", "HEALTHY by hand", "HEALTHY by hand", "HEALTHY by hand")
	for _, n := range c.nodes {
		n.must("GET", "/one", nil, 200)
	}
	// The mark goes with the target, and stays out of documents.
	c.must("PUT", "/upstreams/marked/targets/"+up.address()+"/127.0.0.1:1/healthy", nil, 404)
	c.must("PUT", "/upstreams/marked/targets/"+up.address()+"/name/healthy", nil, 400)
	c.must("PUT", "/upstreams/marked/targets/10.0.0.1:1/healthy", nil, 404)
	c.must("DELETE", "/upstreams/marked/targets/"+up.address(), nil, 204)
	c.must("POST", "/upstreams/marked/targets", form("target", up.address()), 201)
	c.must("DELETE", "/upstreams/marked", nil, 204)
}

// What a node sees by its traffic is shown at the control plane with the reason, also
// when the node has gone away since.
func TestNodesTellTheirHealth(t *testing.T) {
	c := newCluster(t, 2)
	dead := deadAddress(t)
	c.must("POST", "/upstreams", form("name", "checked", "healthchecks.passive.unhealthy.tcp_failures", "1"), 201)
	c.must("POST", "/upstreams/checked/targets", form("target", dead), 201)
	c.must("POST", "/services", form("name", "one", "host", "checked", "retries", "0"), 201)
	c.must("POST", "/services/one/routes", form("paths[]", "/one"), 201)
	n := c.nodes[0]
	eventually(t, soon, func() error { return n.try("GET", "/one", nil).is(502) }, n.program)
	n.must("GET", "/one", nil, 503)
	eventually(t, soon, func() error {
		m, nodes, err := c.healths("checked")
		if err == nil && (m != "UNHEALTHY" || len(nodes) != 2 || fmt.Sprint(nodes) != "[HEALTHY UNHEALTHY traffic]" && fmt.Sprint(nodes) != "[UNHEALTHY traffic HEALTHY]") {
			err = fmt.Errorf("the health is %s, nodes say %q", m, nodes)
		}
		return err
	}, c.control)
	if h := n.status.must("GET", "/upstreams/checked/health", nil, 200); h.at("data", "health") != "UNHEALTHY" {
		t.Errorf("the node's own view: %s", h.body)
	}
	n.status.must("GET", "/upstreams/nope/health", nil, 404)
	// Its beats tell it, too.
	eventually(t, soon, func() error {
		for _, row := range c.must("GET", "/clustering/data-planes", nil, 200).list("data") {
			if b, ok := row["balancer"].(map[string]any); ok && b["unhealthy"] == 1.0 {
				return nil
			}
		}
		return fmt.Errorf("no node tells of a target that is unhealthy")
	}, c.control)
	n.stop()
	eventually(t, soon, func() error {
		m, nodes, err := c.healths("checked")
		if err == nil && (m != "HEALTHY" || len(nodes) != 2 || fmt.Sprint(nodes) != "[HEALTHY UNHEALTHY traffic reported]" && fmt.Sprint(nodes) != "[UNHEALTHY traffic reported HEALTHY]") {
			err = fmt.Errorf("the health is %s, nodes say %q", m, nodes)
		}
		return err
	}, c.control)
}

// The status API shows what a node knows of names.
func TestNamesAreShown(t *testing.T) {
	c := newCluster(t, 0)
	n := c.addNode("--dns_order", "A", "--dns_resolver", "127.0.0.1:1", "--dns_hostsfile", "/etc/hosts")
	up := newEcho(t, "up")
	c.serve("local", "http://localhost:"+port(up.address()), "/local")
	n.must("GET", "/local", nil, 200)
	r := n.status.must("GET", "/status/dns", nil, 200)
	names := r.list("names")
	if len(names) != 1 || names[0]["name"] != "localhost" || names[0]["type"] != "hosts" {
		t.Errorf("names: %s", r.body)
	}
	if servers := r.list("servers"); len(servers) != 1 || servers[0]["address"] != "127.0.0.1:1" {
		t.Errorf("servers: %s", r.body)
	}
}
