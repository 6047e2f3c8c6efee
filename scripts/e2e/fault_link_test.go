package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/relay"
)

// A stream that stalls while TCP lives is found by missing heartbeats on both sides, and
// the node comes back on a new connection by itself.
func TestStalledStream(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 0)
	n, link := c.relayed()
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	traffic := n.steady(t, "/one", "up")
	link.Set(relay.Stall)
	began := time.Now()
	c.state(n, noticed, "away")
	n.disconnected(noticed, "")
	t.Logf("both sides had noticed after %v", time.Since(began).Round(time.Second))
	c.must("POST", "/services/one/routes", form("paths[]", "/meanwhile"), 201)
	// The stalled connections stay as they are.
	link.Set(relay.Pass)
	n.serves("/meanwhile")
	traffic.end()
	c.equalRoots()
}

// A node that reads one byte a second holds up nobody, and has everything when it reads
// again. A stream that is this slow ends.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	slow, link := c.relayed()
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	traffic := slow.steady(t, "/one", "up")
	link.Set(relay.Trickle)
	for i := range 20 {
		path := fmt.Sprintf("/slow%d", i)
		c.must("POST", "/services/one/routes", form("paths[]", path), 201, headers{"X-Sluice-Wait", "1", "X-Sluice-Wait-Timeout", "10"})
		if r := c.nodes[0].try("GET", path, nil); r.is(200) != nil {
			t.Fatalf("the other node after a waited write: %v", r.is(200))
		}
	}
	row := c.listed()["node2"]
	if row["state"] == "applied" {
		t.Errorf("a node that reads a byte a second is %v", row["state"])
	}
	link.Set(relay.Pass)
	slow.serves("/slow19")
	traffic.end()
	c.equalRoots()
}

// Links that flap every 2 s let changes through between, and never show a wrong answer.
func TestFlappingLink(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 0)
	n, link := c.relayed()
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	traffic := n.steady(t, "/one", "up")
	writes := 0
	for range 4 {
		link.Set(relay.Refuse)
		until := time.Now().Add(2 * time.Second)
		for ; time.Now().Before(until); writes++ {
			c.must("PUT", fmt.Sprintf("/services/one/routes/f%d", writes%20), object{"paths": []string{fmt.Sprintf("/flap%d", writes)}}, 200)
		}
		n.disconnected(time.Second, "")
		link.Set(relay.Pass)
		n.serves(fmt.Sprintf("/flap%d", writes-1))
		time.Sleep(time.Second) // the rest of the time that the link is up
	}
	traffic.end()
	t.Logf("%d writes", writes)
	c.equalRoots()
}

// A node that is stopped, as by a debugger or a machine that is moved, is listed as away;
// others go on, and it follows when it runs again.
func TestStoppedNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	traffic := c.nodes[0].steady(t, "/one", "up")
	stopped := c.nodes[1]
	pause(t, stopped)
	c.state(stopped, noticed, "away")
	for i := range 300 {
		c.must("PUT", fmt.Sprintf("/services/one/routes/s%d", i%50), object{"paths": []string{fmt.Sprintf("/stopped%d", i)}}, 200)
	}
	c.nodes[0].serves("/stopped299")
	if err := stopped.proc.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	stopped.serves("/stopped299")
	stopped.must("GET", "/stopped200", nil, 404)
	traffic.end()
	c.equalRoots()
}

// namespace is a network of its own with one link to ours, which iptables can break.
type namespace struct {
	t          *testing.T
	name       string
	ours, them string // addresses of the two ends
}

// newNamespace makes one. Without the right to, the test skips, or fails with CI=true.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	number := os.Getpid() % 250
	ns := &namespace{t: t, name: fmt.Sprintf("sluice%d", os.Getpid()), ours: fmt.Sprintf("10.231.%d.1", number), them: fmt.Sprintf("10.231.%d.2", number)}
	near, far := "sl"+strconv.Itoa(os.Getpid())+"a", "sl"+strconv.Itoa(os.Getpid())+"b"
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", near).Run()
		_ = exec.Command("ip", "netns", "del", ns.name).Run()
	})
	for _, args := range [][]string{
		{"ip", "netns", "add", ns.name},
		{"ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", ns.name},
		{"ip", "addr", "add", ns.ours + "/30", "dev", near},
		{"ip", "link", "set", near, "up"},
		{"ip", "-n", ns.name, "addr", "add", ns.them + "/30", "dev", far},
		{"ip", "-n", ns.name, "link", "set", far, "up"},
		{"ip", "-n", ns.name, "link", "set", "lo", "up"},
		{"ip", "netns", "exec", ns.name, "iptables", "-L", "-n"},
	} {
		if err := ns.run(args...); err != nil {
			lacks(t, err)
		}
	}
	return ns
}

// lacks skips a test for which this machine lacks something, or fails it with CI=true.
func lacks(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skipf("needs root and what scripts/deps.sh installs: %v", err)
}

func (ns *namespace) run(args ...string) error {
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// must runs iptables in the namespace.
func (ns *namespace) iptables(args ...string) {
	ns.t.Helper()
	if err := ns.run(append([]string{"ip", "netns", "exec", ns.name, "iptables"}, args...)...); err != nil {
		ns.t.Fatal(err)
	}
}

// A connection of which the other end has vanished without a word, as behind a firewall
// that has forgotten it: nothing arrives, nothing is refused, and neither side is told.
func TestHalfOpenConnection(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	c := newCluster(t, 0, "--cluster_listen", ns.ours+":8005")
	n := c.newNode("--cluster_control_plane", ns.ours+":8005", "--proxy_listen", ns.them+":8000", "--status_listen", ns.them+":8100")
	n.base, n.status.base = "http://"+ns.them+":8000", "http://"+ns.them+":8100"
	n.wrap = []string{"ip", "netns", "exec", ns.name}
	n.start()
	n.ready()
	up := newEcho(t, "up")
	// The upstream is at our end of the link.
	upstream := "http://" + ns.ours + ":" + up.address()[strings.LastIndex(up.address(), ":")+1:]
	forward(t, ns.ours, up)
	c.serve("one", upstream, "/one")
	traffic := n.steady(t, "/one", "up")
	ns.iptables("-A", "OUTPUT", "-p", "tcp", "--dport", "8005", "-j", "DROP")
	ns.iptables("-A", "INPUT", "-p", "tcp", "--sport", "8005", "-j", "DROP")
	began := time.Now()
	c.must("POST", "/services/one/routes", form("paths[]", "/dropped"), 201)
	n.disconnected(2*noticed, "")
	c.state(n, noticed, "away")
	t.Logf("both sides had noticed after %v", time.Since(began).Round(time.Second))
	n.must("GET", "/dropped", nil, 404)
	ns.iptables("-F")
	n.serves("/dropped")
	traffic.end()
	c.equalRoots()
}

// forward lets an upstream be reached at another address of this machine, same port.
func forward(t *testing.T, address string, up *echo) {
	t.Helper()
	port := up.address()[strings.LastIndex(up.address(), ":")+1:]
	r, err := relay.NewAt(address+":"+port, up.address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
}

// Whoever ends does it in order: no client of the data plane sees a torn answer, and
// nothing that the Admin API acknowledged is lost.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2)
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	steady := c.nodes[0].steady(t, "/one", "up")
	for round := range 3 {
		written, done := 0, make(chan error, 1)
		go func() {
			for {
				r := c.try("PUT", "/services/counter", object{"host": "h", "path": fmt.Sprintf("/%d", written+1)})
				if r.is(200) != nil {
					done <- r.err
					return
				}
				written++
			}
		}()
		time.Sleep(300 * time.Millisecond) // writes go on
		c.control.stop()
		if err := <-done; err == nil {
			t.Error("a write was answered with an error by a control plane that stops")
		}
		c.control.start()
		c.up()
		got := c.get("/services/counter").text("path")
		if want, after := fmt.Sprintf("/%d", written), fmt.Sprintf("/%d", written+1); got != want && got != after {
			t.Errorf("round %d: %s is there, %s was acknowledged", round, got, want)
		}
		c.must("PUT", "/services/counter", object{"host": "h", "path": "/0"}, 200)
	}
	steady.end()
	// Now the data plane, with clients that keep their connections.
	n := c.nodes[1]
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() { errs <- untilGone(n) }()
	}
	time.Sleep(500 * time.Millisecond) // requests go on
	n.stop()
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	c.nodes = c.nodes[:1]
	c.state(n, soon, "away")
}

// untilGone asks until the node does not answer any more. What it answers is whole.
func untilGone(n *node) error {
	for {
		r := n.try("GET", "/one", nil)
		switch {
		case r.err == nil && r.status == 200 && strings.Contains(string(r.body), `"name":"up"`):
		case r.err == nil:
			return fmt.Errorf("a node that stops answers %d %.100s", r.status, r.body)
		case r.status != 0:
			return fmt.Errorf("a node that stops tears an answer: %w", r.err)
		case errors.Is(r.err, syscall.ECONNREFUSED) || errors.Is(r.err, syscall.ECONNRESET) || strings.Contains(r.err.Error(), "EOF"):
			// Refused, or a connection that was in the queue of a listener that closed.
			return nil
		default:
			return r.err
		}
	}
}
