package e2e

import (
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// cluster is a control plane and its data planes, each on ports that it keeps over
// restarts.
type cluster struct {
	*client // of the Admin API
	t       testing.TB
	dir     string // folder of the programs, "" for that of ours
	control *program
	prefix  string // of the control plane
	stream  string // address where nodes connect
	status  string // base URL of the control plane's status listener
	nodes   []*node
}

// node is one data plane.
type node struct {
	*client // of the proxy
	*program
	prefix string
	label  string // that names it in the list of data planes
	tls    string // address of the proxy's TLS listener
	status *client
}

// soon is how long a test waits for what takes milliseconds on an idle machine.
const soon = 20 * time.Second

// newCluster starts a control plane and n data planes that have connected.
func newCluster(t testing.TB, n int, settings ...string) *cluster {
	t.Helper()
	return newClusterOf(t, "", n, settings...)
}

// newClusterOf does the same with the programs in a folder.
func newClusterOf(t testing.TB, dir string, n int, settings ...string) *cluster {
	t.Helper()
	return startCluster(t, dir, filepath.Join(t.TempDir(), "cp"), n, settings...)
}

// newClusterAt starts a control plane with a prefix.
func newClusterAt(t testing.TB, prefix string, settings ...string) *cluster {
	t.Helper()
	return startCluster(t, "", prefix, 0, settings...)
}

func startCluster(t testing.TB, dir, prefix string, n int, settings ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: dir, prefix: prefix, stream: process.FreeAddress()}
	admin, status := process.FreeAddress(), process.FreeAddress()
	c.client = &client{t: t, base: "http://" + admin}
	c.status = "http://" + status
	c.control = &program{t: t, name: "sluice-controlplane", dir: dir, args: append([]string{
		"--prefix", c.prefix, "--admin_listen", admin, "--cluster_listen", c.stream, "--status_listen", status,
	}, settings...)}
	c.control.start()
	c.up()
	for range n {
		c.addNode()
	}
	return c
}

// up waits for the Admin API.
func (c *cluster) up() {
	c.t.Helper()
	eventually(c.t, soon, func() error { return c.try("GET", "/", nil).is(200) }, c.control)
}

// certificate are the settings that let a node trust and be trusted.
func (c *cluster) certificate() []string {
	return []string{
		"--cluster_cert", filepath.Join(c.prefix, process.ClusterCert), "--cluster_cert_key", filepath.Join(c.prefix, process.ClusterKey),
	}
}

// newNode makes a data plane without starting it.
func (c *cluster) newNode(settings ...string) *node {
	c.t.Helper()
	return c.newNodeOf(append([]string{"--cluster_control_plane", c.stream}, c.certificate()...), settings...)
}

// newNodeOf makes one that is known by something else than the cluster's certificate.
func (c *cluster) newNodeOf(identity []string, settings ...string) *node {
	c.t.Helper()
	name := strconv.Itoa(len(c.nodes) + 1)
	proxy, secure, status := process.FreeAddress(), process.FreeAddress(), process.FreeAddress()
	n := &node{
		client: &client{t: c.t, base: "http://" + proxy},
		prefix: filepath.Join(c.t.TempDir(), "dp"+name), label: "name:node" + name, tls: secure,
		status: &client{t: c.t, base: "http://" + status},
	}
	n.program = &program{t: c.t, name: "sluice-dataplane", dir: c.dir, args: append(append([]string{
		"--prefix", n.prefix, "--proxy_listen", proxy + ", " + secure + " ssl http2", "--status_listen", status,
		"--cluster_dp_labels", n.label,
	}, identity...), settings...)}
	c.nodes = append(c.nodes, n)
	return n
}

// addNode starts a data plane and waits until it is ready.
func (c *cluster) addNode(settings ...string) *node {
	c.t.Helper()
	n := c.newNode(settings...)
	n.start()
	n.ready()
	return n
}

// ready waits until the node serves a configuration.
func (n *node) ready() {
	n.program.t.Helper()
	eventually(n.program.t, soon, func() error { return n.status.try("GET", "/status/ready", nil).is(200) }, n.program)
}

// id is what the control plane lists the node as.
func (c *cluster) listed() map[string]map[string]any {
	c.t.Helper()
	out := map[string]map[string]any{}
	for _, row := range c.must("GET", "/clustering/data-planes", nil, 200).list("data") {
		labels, _ := row["labels"].(map[string]any)
		name, _ := labels["name"].(string)
		if _, twice := out[name]; twice {
			c.t.Fatalf("%s is listed twice", name)
		}
		out[name] = row
	}
	return out
}

// serve makes a service with a route on path and waits until every node has it.
func (c *cluster) serve(name, url, path string) {
	c.t.Helper()
	c.must("POST", "/services", form("name", name, "url", url), 201)
	c.must("POST", "/services/"+name+"/routes", form("name", name, "paths[]", path), 201)
	for _, n := range c.nodes {
		n.serves(path)
	}
}

// serves waits until the node has a route for the path.
func (n *node) serves(path string) {
	n.program.t.Helper()
	eventually(n.program.t, soon, func() error {
		r := n.try("GET", path, nil)
		if r.err == nil && r.status == 404 && r.text("message") == "no Route matched with those values" {
			return fmt.Errorf("no route for %s", path)
		}
		return r.err
	}, n.program)
}
