package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// faultyBuilt is where faulty built, "" without a need.
var faultyBuilt string

// faulty are both programs with the plugin of testdata/faulty, built once.
var faulty = sync.OnceValues(func() (dir string, err error) {
	example, err := filepath.Abs(filepath.Join("testdata", "faulty"))
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "e2e-faulty"); err != nil {
		return "", err
	}
	faultyBuilt = dir
	work, err := workspace(example, dir)
	if err != nil {
		return "", err
	}
	for _, plane := range []string{"controlplane", "dataplane"} {
		// As make builds, so that nothing is compiled twice.
		command := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "sluice-"+plane), "./cmd/"+plane)
		command.Dir = example
		command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK="+work)
		if out, err := command.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s of faulty: %w\n%s", plane, err, out)
		}
	}
	return dir, nil
})

func faultyPrograms(t *testing.T) string {
	t.Helper()
	dir, err := faulty()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// A configuration that the control plane takes and the node does not: the old one serves,
// the control plane knows why, it is not sent again and again, and the next one is taken.
func TestConfigurationThatFailsTheNode(t *testing.T) {
	t.Parallel()
	c := newClusterOf(t, faultyPrograms(t), 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	c.serve("other", up.URL, "/other")
	traffic := n.steady(t, "/one", "up")
	for _, where := range []string{"error", "build"} {
		c.must("POST", "/services/other/plugins", object{"name": "faulty", "config": object{"where": where}}, 201)
		row := c.state(n, soon, "refused")
		if told := fmt.Sprint(row["refused"]); !strings.Contains(told, "faulty") {
			t.Errorf("%s: the refusal is %s", where, told)
		}
		if r := n.status.get("/status"); len(r.list("configuration", "reasons")) == 0 {
			t.Errorf("%s: the node does not say why: %s", where, r.body)
		}
		time.Sleep(2 * time.Second) // in which it would be sent again
		if times := strings.Count(n.proc.Output(), "configuration refused"); times > 2 {
			t.Errorf("%s: it was refused %d times", where, times)
		}
		n.get("/other")
		// A good change does not help as long as the bad entity is there; its removal does.
		c.must("DELETE", "/plugins/"+c.get("/services/other/plugins").list("data")[0]["id"].(string), nil, 204)
		c.must("POST", "/services/one/routes", form("paths[]", "/after-"+where), 201)
		n.serves("/after-" + where)
	}
	traffic.end()
	c.equalRoots()
}

// A configuration that panics the node under traffic costs the requests that it touches
// and no other, and shows in the log.
func TestConfigurationThatPanics(t *testing.T) {
	t.Parallel()
	c := newClusterOf(t, faultyPrograms(t), 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	c.serve("other", up.URL, "/other")
	traffic := n.steady(t, "/one", "up")
	pid := n.proc.PID()
	for _, where := range []string{"access", "header_filter", "log"} {
		r := c.must("POST", "/services/other/plugins", object{"name": "faulty", "config": object{"where": where}}, 201, headers{"X-Sluice-Wait", "all"})
		for range 50 {
			got := n.try("GET", "/other", nil)
			if want := map[bool]int{true: 200, false: 500}[where == "log"]; got.status != want || got.err != nil {
				t.Fatalf("panic in %s: %d %s %v", where, got.status, got.body, got.err)
			}
		}
		c.must("DELETE", "/plugins/"+r.text("id"), nil, 204, headers{"X-Sluice-Wait", "all"})
		n.get("/other")
	}
	traffic.end()
	if n.proc.PID() != pid || !strings.Contains(n.proc.Output(), "faulty was told to") {
		t.Error("the log does not tell of the panic")
	}
	if r := n.status.get("/metrics"); !strings.Contains(string(r.body), "panics") {
		t.Errorf("no metric tells of panics")
	}
	c.equalRoots()
}

// Large entities and large wholes arrive as they are.
func TestLargeEntities(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	traffic := n.steady(t, "/one", "up")
	// 3 MB that do not compress to nothing.
	large := noise(3 << 20)
	c.must("POST", "/services", object{"name": "large", "host": "h"}, 201)
	c.must("POST", "/services/large/routes", form("paths[]", "/large"), 201)
	c.must("POST", "/services/large/plugins", object{"name": "request-termination", "config": object{"status_code": 200, "body": large, "content_type": "text/plain"}}, 201, headers{"X-Sluice-Wait", "all"})
	if got := n.get("/large"); string(got.body) != large {
		t.Errorf("%d bytes arrived of %d", len(got.body), len(large))
	}
	// Together more than 20 MB, for a node that comes later, and for one that starts from disk.
	for i := range 7 {
		c.must("POST", "/services", object{"name": fmt.Sprintf("large%d", i), "host": "h"}, 201)
		c.must("POST", fmt.Sprintf("/services/large%d/plugins", i), object{"name": "request-termination", "config": object{"status_code": 200, "body": noise(3 << 20)}}, 201)
	}
	late := c.addNode()
	if got := late.get("/large"); string(got.body) != large {
		t.Errorf("%d bytes arrived at the later node of %d", len(got.body), len(large))
	}
	traffic.end()
	c.equalRoots()
	eventually(t, soon, func() error {
		row := c.listed()["node2"]
		if fmt.Sprint(row["persisted"]) != fmt.Sprint(row["position"]) {
			return fmt.Errorf("the later node has %v on disk of %v", row["persisted"], row["position"])
		}
		return nil
	})
	c.control.kill()
	late.kill()
	late.start()
	late.ready()
	if got := late.get("/large"); string(got.body) != large {
		t.Errorf("%d bytes are served from disk of %d", len(got.body), len(large))
	}
}

// noise is text of a size that compression does not make small.
func noise(size int) string {
	b := make([]byte, size)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = 'a' + byte(x%26)
	}
	return string(b)
}

// A service with thousands of routes goes as Kong has it: not as long as they are there,
// all at once with a document that lacks it. What one removal takes along is one change.
func TestCascades(t *testing.T) {
	t.Parallel()
	const many = 5000
	c := newCluster(t, 2)
	up := newEcho(t, "up")
	routes := make([]object, many)
	for i := range routes {
		routes[i] = object{"name": fmt.Sprintf("r%d", i), "paths": []string{fmt.Sprintf("/many%d", i)}}
	}
	keys := make([]object, many)
	for i := range keys {
		keys[i] = object{"key": fmt.Sprintf("key%d", i)}
	}
	kept := object{"name": "one", "url": up.URL, "routes": []object{{"name": "one", "paths": []string{"/one"}}}}
	document := object{
		"_format_version": "3.0", "services": []object{kept, {"name": "large", "url": up.URL, "routes": routes}},
		"consumers": []object{{"username": "holder", "keyauth_credentials": keys}},
	}
	c.must("POST", "/config", document, 201)
	for _, n := range c.nodes {
		n.serves("/many4999")
	}
	traffic := c.nodes[0].steady(t, "/one", "up")
	c.must("DELETE", "/services/large", nil, 400)
	c.nodes[0].get("/many4999")
	before := c.must("PATCH", "/services/one", object{"retries": 4}, 200).header.Get("X-Sluice-Revision")
	after := c.must("DELETE", "/consumers/holder", nil, 204, headers{"X-Sluice-Wait", "all"}).header.Get("X-Sluice-Revision")
	if a, b := number(before), number(after); b != a+1 {
		t.Errorf("a consumer with %d credentials took revisions %d to %d", many, a, b)
	}
	c.must("GET", "/key-auths/key17", nil, 404)
	c.must("POST", "/config", object{"_format_version": "3.0", "services": []object{kept}}, 201)
	for _, n := range c.nodes {
		eventually(t, soon, func() error { return n.try("GET", "/many4999", nil).is(404) }, n.program)
		n.must("GET", "/many0", nil, 404)
		n.get("/one")
	}
	traffic.end()
	c.equalRoots()
}

func number(text string) (n int) {
	_, _ = fmt.Sscan(text, &n)
	return n
}

// Of two nodes with one id the first stays and the second is told; when the first has
// gone the second takes over.
func TestOneNodeIDTwice(t *testing.T) {
	t.Parallel()
	const id = "5d9cd2e4-0a4f-4d3f-9c39-1f1f5f0f3a11"
	c := newCluster(t, 0)
	first := c.addNode("--node_id", id)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	traffic := first.steady(t, "/one", "up")
	second := c.newNode("--node_id", id)
	second.start()
	second.disconnected(soon, "node id")
	c.must("POST", "/services/one/routes", form("paths[]", "/first"), 201)
	first.serves("/first")
	if rows := c.listed(); len(rows) != 1 || rows["node1"]["state"] != "applied" {
		t.Errorf("listed are %v", rows)
	}
	traffic.end()
	first.stop()
	second.ready()
	second.get("/first")
	c.nodes = c.nodes[1:]
	c.equalRoots()
}
