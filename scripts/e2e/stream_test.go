package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"
)

// Every write says which revision it made.
func TestRevisions(t *testing.T) {
	c := newCluster(t, 0)
	last := int64(-1)
	for i, r := range []*response{
		c.must("POST", "/services", form("name", "one", "host", "h"), 201),
		c.must("PATCH", "/services/one", form("retries", "1"), 200),
		c.must("PUT", "/services/two", form("host", "h"), 200),
		c.must("DELETE", "/services/two", nil, 204),
	} {
		revision, err := strconv.ParseInt(r.header.Get("X-Sluice-Revision"), 10, 64)
		if err != nil || revision <= last {
			t.Errorf("write %d: X-Sluice-Revision = %q after %d", i+1, r.header.Get("X-Sluice-Revision"), last)
		}
		last = revision
	}
}

// After a write that waited for all nodes, no node answers from before it.
func TestWritesThatWait(t *testing.T) {
	c := newCluster(t, 2)
	up := newEcho(t, "up")
	c.must("POST", "/services", form("name", "one", "url", up.URL), 201)
	for i := range 20 {
		path := fmt.Sprintf("/wait%d", i)
		r := c.must("POST", "/services/one/routes", form("paths[]", path), 201, headers{"X-Sluice-Wait", "all"})
		if got := r.header.Get("X-Sluice-Applied"); got != "2/2" {
			t.Fatalf("X-Sluice-Applied = %q, want 2/2", got)
		}
		for j, n := range c.nodes {
			if r := n.try("GET", path, nil); r.is(200) != nil {
				t.Fatalf("node %d after a waited write: %v", j+1, r.is(200))
			}
		}
	}
	// A node that is stopped is missing: the write is made, and the answer says so.
	pause(t, c.nodes[1])
	r := c.must("POST", "/services/one/routes", form("paths[]", "/late"), 201, headers{"X-Sluice-Wait", "all", "X-Sluice-Wait-Timeout", "1"})
	if got := r.header.Get("X-Sluice-Applied"); got != "1/2" {
		t.Errorf("X-Sluice-Applied with a stopped node = %q, want 1/2", got)
	}
	if r := c.must("POST", "/services/one/routes", form("paths[]", "/one"), 201, headers{"X-Sluice-Wait", "1"}); r.header.Get("X-Sluice-Applied") == "" {
		t.Error("no X-Sluice-Applied when one node is enough")
	}
	c.must("POST", "/services/one/routes", form("paths[]", "/x"), 400, headers{"X-Sluice-Wait", "some"})
}

// Writes while the node is away arrive in order when it is back.
func TestManyWrites(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.must("POST", "/services", form("name", "one", "url", up.URL), 201)
	n.stop()
	for i := range 50 {
		c.must("PUT", fmt.Sprintf("/services/one/routes/r%d", i%10), object{"paths": []string{fmt.Sprintf("/v%d", i)}}, 200)
	}
	n.start()
	n.ready()
	for i := 40; i < 50; i++ {
		n.serves(fmt.Sprintf("/v%d", i))
		n.get(fmt.Sprintf("/v%d", i))
	}
	n.must("GET", "/v39", nil, 404)
}

// TestPropagation measures how long after the answer of the Admin API a route
// serves. The goal is a median of 20 ms on an idle machine; the bound here only
// finds what is broken.
func TestPropagation(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	var took []time.Duration
	for i := range 40 {
		path := fmt.Sprintf("/fresh%d", i)
		c.must("POST", "/services/one/routes", form("paths[]", path), 201)
		written := time.Now()
		eventually(t, soon, func() error { return n.try("GET", path, nil).is(200) }, n.program)
		took = append(took, time.Since(written))
	}
	slices.Sort(took)
	t.Logf("Admin answer to served: median %v, longest %v of %d", took[len(took)/2].Round(100*time.Microsecond), took[len(took)-1].Round(100*time.Microsecond), len(took))
	if median := took[len(took)/2]; median > time.Second {
		t.Errorf("median %v", median)
	}
}
