package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/relay"
)

// Tests of faults hold four things each: no node answers wrongly, proxying goes on, what
// was broken converges when the fault is over, and a status names the fault.

// noticed is how long a fault may take until it is seen: three heartbeats of 5 s and one
// look at them.
const noticed = 30 * time.Second

// relayed starts a data plane whose link passes through a relay.
func (c *cluster) relayed(settings ...string) (*node, *relay.Relay) {
	c.t.Helper()
	r, err := relay.New(c.stream)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = r.Close() })
	return c.addNode(append([]string{"--cluster_control_plane", r.Address()}, settings...)...), r
}

// traffic asks a node for a path all the time; every answer must be the upstream's.
type traffic struct {
	t    testing.TB
	n    *node
	stop chan struct{}
	work sync.WaitGroup

	mu     sync.Mutex
	asked  int
	faults []string
}

// steady starts traffic, which the test's end or end checks.
func (n *node) steady(t testing.TB, path, upstream string) *traffic {
	t.Helper()
	tr := &traffic{t: t, n: n, stop: make(chan struct{})}
	for range 2 {
		tr.work.Go(func() {
			for {
				select {
				case <-tr.stop:
					return
				default:
				}
				r := n.try("GET", path, nil)
				fault := ""
				switch {
				case r.is(200) != nil:
					fault = r.is(200).Error()
				case !strings.Contains(string(r.body), `"name":"`+upstream+`"`):
					fault = fmt.Sprintf("a wrong answer: %.200s", r.body)
				}
				tr.mu.Lock()
				if tr.asked++; fault != "" {
					tr.faults = append(tr.faults, fault)
				}
				tr.mu.Unlock()
				time.Sleep(5 * time.Millisecond) // the rate
			}
		})
	}
	return tr
}

// end stops the traffic and reports what went wrong.
func (tr *traffic) end() {
	tr.t.Helper()
	close(tr.stop)
	tr.work.Wait()
	if len(tr.faults) > 0 {
		tr.t.Errorf("%d of %d requests went wrong; the first: %s", len(tr.faults), tr.asked, tr.faults[0])
	}
	if tr.asked == 0 {
		tr.t.Error("nothing was asked")
	}
}

// disconnected waits until the node says that its link is gone, and why.
func (n *node) disconnected(within time.Duration, why string) {
	n.program.t.Helper()
	eventually(n.program.t, within, func() error {
		r := n.status.try("GET", "/status", nil)
		if err := r.is(200); err != nil {
			return err
		}
		if told := r.text("control_plane", "error"); r.at("control_plane", "connected") != false || told == "" || !strings.Contains(told, why) {
			return fmt.Errorf("the link is %v", r.at("control_plane"))
		}
		return nil
	}, n.program)
}

// state waits until the control plane lists the node in a state.
func (c *cluster) state(n *node, within time.Duration, state string) map[string]any {
	c.t.Helper()
	var row map[string]any
	name := strings.TrimPrefix(n.label, "name:")
	eventually(c.t, within, func() error {
		if row = c.listed()[name]; row["state"] != state {
			return fmt.Errorf("%s is %v, not %s", name, row["state"], state)
		}
		return nil
	})
	return row
}
