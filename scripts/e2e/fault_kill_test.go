package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// kills is how often TestKilledControlPlane kills: KILLS says so; make chaos sets it.
func kills(t *testing.T) int {
	t.Helper()
	if text := os.Getenv("KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("KILLS: %v", err)
		}
		return n
	}
	return 30
}

// pen writes a number into a service of its own, again and again, and now and then makes
// or removes a consumer with credentials, which is one change set of several entities.
type pen struct {
	name          string
	sent, written int    // the number that was sent last, and the last that was acknowledged
	revision      uint64 // of that
	holder        string // the consumer that may be there
	holds         bool   // it was acknowledged and not removed
	unsure        bool   // what was sent last was not answered
}

// keysEach is how many credentials a consumer has.
const keysEach = 5

func (p *pen) write(c *client) error {
	p.sent++
	r := c.try("PUT", "/services/"+p.name, object{"host": "h", "path": "/" + strconv.Itoa(p.sent), "tags": []string{"v" + strconv.Itoa(p.sent)}})
	if err := r.is(200); err != nil {
		return err
	}
	p.written = p.sent
	var err error
	if p.revision, err = strconv.ParseUint(r.header.Get("X-Sluice-Revision"), 10, 64); err != nil {
		return err
	}
	if p.holds {
		p.unsure = true
		if err := c.try("DELETE", "/consumers/"+p.holder, nil).is(204); err != nil {
			return err
		}
		p.holds, p.unsure = false, false
		return nil
	}
	p.holder = fmt.Sprintf("%s-%d", p.name, p.sent)
	p.unsure = true
	if err := c.try("PUT", "/consumers/"+p.holder, object{}).is(200); err != nil {
		return err
	}
	for i := range keysEach {
		if err := c.try("POST", "/consumers/"+p.holder+"/key-auth", object{"key": fmt.Sprintf("%s-%d", p.holder, i)}).is(201); err != nil {
			return err
		}
	}
	p.holds, p.unsure = true, false
	return nil
}

// check compares what the restarted control plane has with what was acknowledged.
func (p *pen) check(t *testing.T, c *client) {
	t.Helper()
	if p.sent == 0 {
		return
	}
	r := c.try("GET", "/services/"+p.name, nil)
	if r.err == nil && r.status == 404 && p.written == 0 {
		return
	}
	if err := r.is(200); err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	got, _ := strconv.Atoi(r.text("path")[1:])
	if got != p.written && got != p.sent {
		t.Errorf("%s is %d; %d was acknowledged and %d was sent", p.name, got, p.written, p.sent)
	}
	tags, _ := r.at("tags").([]any)
	if len(tags) != 1 || tags[0] != "v"+strconv.Itoa(got) {
		t.Errorf("%s is half of two writes: path %d, tags %v", p.name, got, tags)
	}
	p.sent, p.written = got, got
	p.checkHolder(t, c)
}

// checkHolder looks for the consumer, of which all or nothing is removed.
func (p *pen) checkHolder(t *testing.T, c *client) {
	t.Helper()
	if p.holder == "" {
		return
	}
	there := c.try("GET", "/consumers/"+p.holder, nil).is(200) == nil
	keys := 0
	for i := range keysEach {
		r := c.try("GET", fmt.Sprintf("/key-auths/%s-%d", p.holder, i), nil)
		if r.is(200) == nil {
			keys++
		}
	}
	switch {
	case p.holds && !p.unsure && (!there || keys != keysEach):
		t.Errorf("consumer %s was acknowledged with %d credentials: there %v with %d", p.holder, keysEach, there, keys)
	case !there && keys > 0:
		t.Errorf("consumer %s is gone and %d of its credentials are there", p.holder, keys)
	case !p.holds && !p.unsure && there:
		t.Errorf("consumer %s is there again after its removal", p.holder)
	case p.unsure && p.holds && there && keys != keysEach:
		t.Errorf("consumer %s lost %d of its credentials", p.holder, keysEach-keys)
	}
	if there {
		c.must("DELETE", "/consumers/"+p.holder, nil, 204)
	}
	p.holder, p.holds, p.unsure = "", false, false
}

// TestKilledControlPlane: after kill -9 at random points during writes every acknowledged
// write is there, none is there by half, and the data plane, which went on serving, has
// the same configuration.
func TestKilledControlPlane(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("steady", up.URL, "/steady")
	pens := make([]*pen, 4)
	for i := range pens {
		pens[i] = &pen{name: "pen" + strconv.Itoa(i)}
	}
	acknowledged := 0
	rounds := kills(t)
	for round := range rounds {
		var work sync.WaitGroup
		for _, p := range pens {
			work.Go(func() {
				var err error
				for err == nil {
					err = p.write(c.client)
				}
			})
		}
		// From before the first write of a process to its hundredth or so.
		time.Sleep(rand.N(150 * time.Millisecond)) // the point of the test is when
		c.control.kill()
		work.Wait()
		n.get("/steady")
		c.control.start()
		c.up()
		for _, p := range pens {
			acknowledged += p.written
			p.check(t, c.client)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d kills", rounds)
	if acknowledged == 0 {
		t.Error("nothing was written between the kills")
	}
	c.must("POST", "/services/steady/routes", form("paths[]", "/last"), 201)
	n.serves("/last")
	c.equalRoots()
}

// equalRoots waits until all nodes that are connected serve the same as the control plane.
func (c *cluster) equalRoots() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*soon)
	defer cancel()
	err := process.Poll(ctx, func() error {
		root := ""
		for i, n := range c.nodes {
			r := n.status.try("GET", "/status", nil)
			if err := r.is(200); err != nil {
				return fmt.Errorf("node %d: %w", i+1, err)
			}
			at, head := r.text("configuration", "position", "root"), r.text("configuration", "head", "root")
			switch {
			case at == "" || at != head:
				return fmt.Errorf("node %d serves %s and the head is %s", i+1, at, head)
			case root != "" && root != at:
				return fmt.Errorf("node %d serves %s, another one %s", i+1, at, root)
			}
			root = at
		}
		for name, row := range c.listed() {
			position, _ := row["position"].(map[string]any)
			if row["state"] != "applied" || row["lag"] != 0.0 || root != "" && position["root"] != root {
				return fmt.Errorf("%s is %v with a lag of %v at %v", name, row["state"], row["lag"], position["root"])
			}
		}
		return nil
	}, c.control.proc)
	if err != nil {
		c.t.Fatalf("the roots do not become equal: %v", err)
	}
}
