package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newFaulty starts a control plane and a node whose plugins can break the node.
func newFaulty(t *testing.T) *cluster {
	t.Helper()
	return newClusterOf(t, faultyPrograms(t), 1)
}

// configuration is what the node's /status says of it.
func (n *node) configuration() map[string]any {
	n.program.t.Helper()
	m, _ := n.status.must("GET", "/status", nil, 200).at("configuration").(map[string]any)
	return m
}

// dies waits for the end of the program, which must not be a good one.
func (p *program) dies() {
	p.t.Helper()
	timer := time.NewTimer(soon)
	defer timer.Stop()
	select {
	case <-p.proc.Done():
		if code := p.proc.ExitCode(); code == 0 {
			p.t.Errorf("%s ended with exit code 0", p.name)
		}
	case <-timer.C:
		p.t.Fatalf("%s still runs", p.name)
	}
}

// A configuration that ends the process three times is not applied again: the node starts
// from the one before, says so everywhere, and goes on with the next change.
func TestCrashLoop(t *testing.T) {
	c := newFaulty(t)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	bad := c.must("POST", "/plugins", form("name", "faulty", "config.crash", "build"), 201).text("id")
	for range 3 {
		n.dies()
		n.start()
	}
	n.ready()
	n.get("/one")
	refused := func() error {
		row := c.listed()["node1"]
		if row["state"] != "refused" {
			return fmt.Errorf("state %v, connected %v", row["state"], row["connected"])
		}
		why := fmt.Sprint(row["refused"])
		for _, want := range []string{"ended 3 times within a minute", "panic: as the configuration says"} {
			if !strings.Contains(why, want) {
				return fmt.Errorf("it does not say %q: %s", want, why)
			}
		}
		return nil
	}
	eventually(t, soon, refused, n.program)
	if f := n.configuration(); f["refused"] == nil || !strings.Contains(fmt.Sprint(f["reasons"]), "ended 3 times") {
		t.Errorf("the node says %v", f)
	}
	// It stays so over a restart.
	n.stop()
	n.start()
	n.ready()
	n.get("/one")
	eventually(t, soon, refused, n.program)
	// The next change takes it away.
	c.must("DELETE", "/plugins/"+bad, nil, 204)
	eventually(t, soon, func() error {
		if row := c.listed()["node1"]; row["state"] != "applied" || row["refused"] != nil {
			return fmt.Errorf("state %v, refused %v", row["state"], row["refused"])
		}
		return nil
	}, n.program)
	if f := n.configuration(); f["refused"] != nil {
		t.Errorf("the node says %v", f)
	}
}

// Three kills in a row look like a crash loop. A node that has only what it was killed with
// serves it again after a while, with and without a control plane.
func TestKilledWithOneConfiguration(t *testing.T) {
	for name, control := range map[string]bool{"control plane": true, "no control plane": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 0)
			up := newEcho(t, "up")
			c.serve("one", up.URL, "/one")
			n := c.addNode()
			serves := func() {
				eventually(t, soon, func() error { return n.try("GET", "/one", nil).is(200) }, n.program)
			}
			serves()
			eventually(t, soon, func() error {
				if row := c.listed()["node1"]; fmt.Sprint(row["persisted"]) != fmt.Sprint(row["position"]) {
					return fmt.Errorf("on disk is %v of %v", row["persisted"], row["position"])
				}
				return nil
			}, n.program)
			if !control {
				c.control.stop()
			}
			for i := range 3 {
				n.kill()
				n.start()
				if i < 2 {
					serves()
				}
			}
			eventually(t, soon, func() error {
				r := n.status.try("GET", "/status", nil)
				if err := r.is(200); err != nil {
					return err
				}
				if f := fmt.Sprint(r.at("configuration")); !strings.Contains(f, "ended 3 times") {
					return fmt.Errorf("the node says %s", f)
				}
				return nil
			}, n.program)
			if r := n.try("GET", "/one", nil); r.is(200) == nil {
				t.Error("what is refused is served")
			}
			serves()
			n.ready()
			if f := n.configuration(); f["refused"] != nil || f["source"] != "cache" {
				t.Errorf("the node says %v", f)
			}
			if control {
				c.state(n, soon, "applied")
			}
		})
	}
}

// What changes in the memory that requests are served from is found and put right.
func TestFlippedMemory(t *testing.T) {
	c := newFaulty(t)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	c.must("POST", "/plugins", form("name", "faulty"), 201)
	eventually(t, soon, func() error {
		r := n.try("GET", "/one", nil, headers{"X-Flip", "127.0.0.99"})
		if r.err == nil && string(r.body) == "{\"message\":\"flipped\"}" {
			return nil
		}
		return fmt.Errorf("%d %s", r.status, r.body)
	}, n.program)
	flipped := time.Now()
	if r := n.try("GET", "/one", nil); r.status != 502 {
		t.Errorf("the change in memory has no effect: %d %s", r.status, r.body)
	}
	eventually(t, soon, func() error { return n.try("GET", "/one", nil).is(200) }, n.program)
	t.Logf("found and repaired after %v", time.Since(flipped).Round(time.Millisecond))
	f, _ := n.configuration()["integrity"].(map[string]any)
	if fmt.Sprint(f["found"]) != "1" || fmt.Sprint(f["repaired"]) != "1" || !strings.Contains(fmt.Sprint(f["last"]), "services") {
		t.Errorf("the node says %v", f)
	}
	if r := n.status.get("/metrics"); !strings.Contains(string(r.body), "sluice_dataplane_integrity_repaired_total 1") {
		t.Error("the node's metrics do not count it")
	}
	eventually(t, soon, func() error {
		if said := fmt.Sprint(c.listed()["node1"]["integrity"]); !strings.Contains(said, "repaired:1") || !strings.Contains(said, "services") {
			return fmt.Errorf("the control plane says %s", said)
		}
		return nil
	}, n.program)
}

// A store that was put back to an earlier state and has gone another way since has the
// node's revision with another configuration: only what differs is sent.
func TestRepair(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	for i := range 300 {
		c.must("POST", "/consumers", form("username", fmt.Sprint("c", i)), 201)
	}
	c.control.stop()
	store := filepath.Join(c.prefix, "sluice.db")
	copied, err := os.ReadFile(store)
	if err != nil {
		t.Fatal(err)
	}
	c.control.start()
	c.up()
	c.must("POST", "/services/one/routes", form("paths[]", "/this"), 201)
	n.serves("/this")
	c.control.stop()
	if err := os.WriteFile(store, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	c.control.start()
	c.up()
	c.must("POST", "/services/one/routes", form("paths[]", "/that"), 201, headers{"X-Sluice-Wait", "1", "X-Sluice-Wait-Timeout", "15"})
	n.serves("/that")
	n.must("GET", "/this", nil, 404)
	eventually(t, soon, func() error {
		if row := c.listed()["node1"]; row["state"] != "applied" {
			return fmt.Errorf("state %v", row["state"])
		}
		return nil
	}, n.program)
	if out := n.proc.Output(); !strings.Contains(out, "plan=PLAN_REPAIR") {
		t.Error("everything was sent")
	}
}

// A node that has lost its cache starts with the configuration that its operator has put
// there, while no control plane is to be had.
func TestFallbackConfig(t *testing.T) {
	c := newCluster(t, 1)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	n := c.nodes[0]
	n.stop()
	n.start() // what it has in its log becomes a base at the next write
	n.ready()
	c.must("POST", "/services/one/routes", form("paths[]", "/two"), 201)
	n.serves("/two")
	n.stop()
	bases, err := filepath.Glob(filepath.Join(n.prefix, "cache", "*.base"))
	if err != nil || len(bases) == 0 {
		t.Fatalf("bases %v, %v", bases, err)
	}
	c.control.stop()
	for name, test := range map[string]struct {
		file  string
		ready bool
	}{
		"good": {bases[len(bases)-1], true}, "none": {filepath.Join(n.prefix, "nothing"), false},
	} {
		other := c.newNode("--cluster_fallback_config", test.file)
		other.start()
		if !test.ready {
			eventually(t, soon, func() error {
				r := other.status.try("GET", "/status", nil)
				if r.is(200) != nil || !strings.Contains(string(r.body), "cluster_fallback_config") {
					return fmt.Errorf("%d %s", r.status, r.body)
				}
				return nil
			}, other.program)
			if r := other.status.try("GET", "/status/ready", nil); r.status != 503 {
				t.Errorf("%s: ready answers %d", name, r.status)
			}
			continue
		}
		other.ready()
		if f := other.configuration(); f["source"] != "file" {
			t.Errorf("%s: %v", name, f)
		}
	}
}
