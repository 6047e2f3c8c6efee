package e2e

import (
	"fmt"
	"testing"
	"time"
)

// Point 9: the control plane is killed, a data plane restarted meanwhile, and
// everything goes on.
func TestWalkControlPlaneAway(t *testing.T) {
	c := newCluster(t, 2)
	kept, restarted := c.nodes[0], c.nodes[1]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	before := c.listed()

	c.control.kill()
	for range 20 {
		kept.get("/one")
	}
	restarted.stop()
	restarted.start()
	restarted.ready()
	restarted.get("/one")
	// A crash instead of a stop is no different.
	restarted.kill()
	restarted.start()
	restarted.ready()
	restarted.get("/one")

	c.control.start()
	c.up()
	if got := c.get("/services/one").text("name"); got != "one" {
		t.Errorf("the service is %q after the restart", got)
	}
	c.must("POST", "/services/one/routes", form("name", "two", "paths[]", "/two"), 201)
	kept.serves("/two")
	restarted.serves("/two")
	eventually(t, soon, func() error {
		for name, row := range c.listed() {
			if row["id"] != before[name]["id"] {
				return fmt.Errorf("%s is %v now and was %v", name, row["id"], before[name]["id"])
			}
		}
		if got := len(c.listed()); got != 2 {
			return fmt.Errorf("%d data planes are listed", got)
		}
		return nil
	})
}

// Point 10: three data planes have the same configuration at once, and are listed
// with where they stand.
func TestWalkFleet(t *testing.T) {
	c := newCluster(t, 3)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	for i, n := range c.nodes {
		if got := n.get("/one").echoed(t).Name; got != "up" {
			t.Errorf("node %d is answered by %q", i+1, got)
		}
	}
	eventually(t, soon, func() error {
		rows := c.listed()
		if len(rows) != 3 {
			return fmt.Errorf("%d data planes are listed, want 3: %v", len(rows), rows)
		}
		hashes := map[any]bool{}
		for name, row := range rows {
			for _, field := range []string{
				"id", "ip", "hostname", "version", "config_hash", "last_seen", "updated_at", "sync_status", "labels", "cert_details", "ttl",
				"position", "state", "lag",
			} {
				if _, ok := row[field]; !ok {
					return fmt.Errorf("%s has no %s: %v", name, field, row)
				}
			}
			if id, _ := row["id"].(string); !isUUID.MatchString(id) {
				return fmt.Errorf("%s has id %v", name, row["id"])
			}
			if row["sync_status"] != "normal" || row["version"] != "3.9.3" {
				return fmt.Errorf("%s has sync_status %v, version %v", name, row["sync_status"], row["version"])
			}
			if seen, _ := row["last_seen"].(float64); time.Since(time.Unix(int64(seen), 0)).Abs() > time.Minute {
				return fmt.Errorf("%s was last seen at %v", name, row["last_seen"])
			}
			hashes[row["config_hash"]] = true
		}
		if len(hashes) != 1 {
			return fmt.Errorf("config hashes differ: %v", hashes)
		}
		return nil
	})
	// A node that joins later has everything when it is ready.
	late := c.addNode()
	late.get("/one")
	late.stop()
	if r := c.nodes[0].try("GET", "/one", nil); r.is(200) != nil {
		t.Error(r.is(200))
	}
}
