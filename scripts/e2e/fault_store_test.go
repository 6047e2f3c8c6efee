package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
	"github.com/sluice-gateway/sluice/scripts/e2e/relay"
)

func (c *cluster) storeFile() string { return filepath.Join(c.prefix, "sluice.db") }

func copyFile(t testing.TB, to, from string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// A control plane whose store has a torn or zeroed page refuses to start, says how to get
// it back, and pushes nothing: nodes go on with what they have. A backup that is restored
// is followed.
func TestDamagedStore(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	for i := range 200 {
		c.must("PUT", fmt.Sprintf("/services/filler%d", i), object{"host": strings.Repeat("h", 100)}, 200)
	}
	c.equalRoots()
	c.control.stop()
	backup := filepath.Join(t.TempDir(), "backup")
	c.run("backup", backup)
	good, err := os.ReadFile(c.storeFile())
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	at := strings.Index(string(good), `"name":"filler100"`)
	if at < 0 {
		t.Fatal("the store does not have what was written")
	}
	// Wherever it stands: what is in a free page is not looked at.
	each := func(damage func(b []byte, at int)) func(b []byte) []byte {
		return func(b []byte) []byte {
			for i := range b {
				if strings.HasPrefix(string(good[i:min(len(good), i+32)]), `"name":"filler100"`) {
					damage(b, i)
				}
			}
			return b
		}
	}
	traffic := n.steady(t, "/one", "up")
	for name, damage := range map[string]func(b []byte) []byte{
		"zeroed page": each(func(b []byte, at int) { clear(b[at/page*page : (at/page+1)*page]) }),
		"torn page":   each(func(b []byte, at int) { copy(b[at/page*page+page/2:(at/page+1)*page], b[:page/2]) }),
		"truncated":   func(b []byte) []byte { return b[:at/page*page] },
		"flipped bit": each(func(b []byte, at int) { b[at+10] ^= 4 }),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(c.storeFile(), damage([]byte(string(good))), 0o600); err != nil {
				t.Fatal(err)
			}
			refused := &program{t: t, name: c.control.name, args: c.control.args}
			if out := refused.fails(); !strings.Contains(out, c.storeFile()) || !strings.Contains(out, "restore") {
				t.Errorf("the error names neither the file nor the command:\n%s", out)
			}
			n.get("/one")
		})
	}
	c.run("restore", backup)
	c.control.start()
	c.up()
	c.must("POST", "/services/one/routes", form("paths[]", "/restored"), 201)
	n.serves("/restored")
	traffic.end()
	c.equalRoots()
}

// An old store file that somebody put in place does not take nodes back: they are held,
// say so and go on. A restore, which raises the generation, does.
func TestOldStore(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	c.control.stop()
	old := filepath.Join(t.TempDir(), "old")
	copyFile(t, old, c.storeFile())
	c.control.start()
	c.up()
	c.serve("two", up.URL, "/two")
	traffic := n.steady(t, "/two", "up")
	c.control.kill()
	copyFile(t, c.storeFile(), old)
	c.control.start()
	c.up()
	row := c.state(n, soon, "held")
	if reason, _ := row["reason"].(string); !strings.Contains(reason, "older store") {
		t.Errorf("the reason is %v", row["reason"])
	}
	if r := c.get("/services"); len(r.list("data")) != 1 {
		t.Errorf("the old store has %s", r.body)
	}
	// What is written there does not reach the node either, as long as it is behind.
	c.must("POST", "/services/one/routes", form("paths[]", "/forked"), 201)
	n.must("GET", "/forked", nil, 404)
	traffic.end()
	c.control.stop()
	backup := filepath.Join(t.TempDir(), "backup")
	c.run("backup", backup)
	c.run("restore", backup)
	c.control.start()
	c.up()
	n.serves("/forked")
	n.must("GET", "/two", nil, 404)
	c.equalRoots()
}

// Two control planes on copies of one store are two pasts of the same revisions: a node
// that meets the other one gets its configuration as a whole, never a mixture.
func TestCopiedStore(t *testing.T) {
	c := newCluster(t, 0)
	n, link := c.relayed()
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	traffic := n.steady(t, "/one", "up")
	c.control.stop()
	other := filepath.Join(t.TempDir(), "other")
	if err := os.MkdirAll(other, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sluice.db", process.ClusterCert, process.ClusterKey} {
		copyFile(t, filepath.Join(other, name), filepath.Join(c.prefix, name))
	}
	c.control.start()
	c.up()
	admin, stream := process.FreeAddress(), process.FreeAddress()
	second := &program{t: t, name: c.control.name, args: []string{"--prefix", other, "--admin_listen", admin, "--cluster_listen", stream, "--status_listen", "off"}}
	second.start()
	api := &client{t: t, base: "http://" + admin}
	eventually(t, soon, func() error { return api.try("GET", "/", nil).is(200) }, second)
	c.must("POST", "/services/one/routes", form("name", "mine", "paths[]", "/mine"), 201)
	n.serves("/mine")
	api.must("POST", "/services/one/routes", form("name", "theirs", "paths[]", "/theirs"), 201)
	api.must("POST", "/services/one/routes", form("name", "also", "paths[]", "/also"), 201)
	link.Retarget(stream)
	n.serves("/theirs")
	n.get("/also")
	n.must("GET", "/mine", nil, 404)
	root := func() string { return n.status.get("/status").text("configuration", "position", "root") }
	row := api.get("/clustering/data-planes").list("data")[0]
	position, _ := row["position"].(map[string]any)
	if position["root"] != root() || row["state"] != "applied" {
		t.Errorf("the node has root %s and is listed as %v", root(), row)
	}
	// Back: the first one is a revision behind. It holds the node, which serves on.
	link.Retarget(c.stream)
	c.state(n, soon, "held")
	n.get("/also")
	c.must("PUT", "/routes/mine", object{"service": object{"name": "one"}, "paths": []string{"/mine", "/mine2"}}, 200)
	c.must("PUT", "/routes/mine", object{"service": object{"name": "one"}, "paths": []string{"/mine", "/mine3"}}, 200)
	n.serves("/mine3")
	n.must("GET", "/theirs", nil, 404)
	traffic.end()
	c.equalRoots()
}

// smallDisk mounts a file system of some bytes. Without the right to, the test skips.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		lacks(t, fmt.Errorf("mount a small disk: %w", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes what is left of a disk and returns what gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for size := len(block); size > 0; size /= 2 {
		for {
			if n, err := f.Write(block[:size]); err != nil || n < size {
				break
			}
		}
	}
	_ = f.Close()
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// A full disk of the control plane refuses writes, says so and changes nothing; reads and
// the stream go on, and so do writes when there is room again.
func TestControlPlaneDiskFull(t *testing.T) {
	dir := smallDisk(t, 8<<20)
	c := newClusterAt(t, filepath.Join(dir, "cp"))
	n := c.addNode()
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	traffic := n.steady(t, "/one", "up")
	free := fill(t, dir)
	refused, written := 0, 0
	for i := range 200 {
		r := c.try("PUT", fmt.Sprintf("/services/big%d", i), object{"host": "h", "tags": []string{strings.Repeat("x", 4000)}})
		switch {
		case r.err != nil:
			t.Fatalf("a full disk ends the connection: %v", r.err)
		case r.status == 200:
			written++
		case r.status >= 500:
			refused++
			if c.try("GET", fmt.Sprintf("/services/big%d", i), nil).status != 404 {
				t.Errorf("service %d was refused and is there", i)
			}
		default:
			t.Fatalf("status %d: %s", r.status, r.body)
		}
	}
	if refused == 0 {
		t.Fatalf("%d writes fit on a full disk", written)
	}
	t.Logf("%d writes refused, %d made in what the store had left", refused, written)
	c.get("/services/one")
	late := c.addNode()
	late.get("/one")
	free()
	c.must("PUT", "/services/after", object{"host": "h"}, 200)
	c.must("POST", "/services/one/routes", form("paths[]", "/after"), 201)
	n.serves("/after")
	traffic.end()
	c.equalRoots()
	c.control.kill()
	c.control.start()
	c.up()
	c.get("/services/after")
	c.equalRoots()
}

// A full disk of a data plane stops the cache, which it says, and nothing else.
func TestDataPlaneDiskFull(t *testing.T) {
	dir := smallDisk(t, 4<<20)
	c := newCluster(t, 0)
	n := c.newNode("--prefix", filepath.Join(dir, "dp"))
	n.prefix = filepath.Join(dir, "dp")
	n.start()
	n.ready()
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	traffic := n.steady(t, "/one", "up")
	free := fill(t, dir)
	c.must("PUT", "/services/big", object{"host": "h", "tags": []string{strings.Repeat("x", 100_000)}}, 200)
	c.must("POST", "/services/one/routes", form("paths[]", "/full"), 201)
	n.serves("/full")
	eventually(t, soon, func() error {
		if told := n.status.get("/status").text("cache", "error"); !strings.Contains(told, "no space left") {
			return fmt.Errorf("the cache's error is %q", told)
		}
		return nil
	})
	free()
	c.must("POST", "/services/one/routes", form("paths[]", "/room"), 201)
	n.serves("/room")
	eventually(t, soon, func() error {
		if told := n.status.get("/status").text("cache", "error"); told != "" {
			return fmt.Errorf("the cache's error is %q", told)
		}
		return nil
	})
	traffic.end()
	c.control.kill()
	n.kill()
	n.start()
	n.ready()
	n.get("/room")
}

// A control plane with a store that is merely new takes nothing from nodes: that nothing
// is there was never said by anyone. When somebody says it, nodes follow.
func TestEmptyConfiguration(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	for i := range 4 {
		c.must("PUT", fmt.Sprintf("/services/s%d", i), object{"host": "h"}, 200)
	}
	c.equalRoots()
	traffic := n.steady(t, "/one", "up")
	c.control.stop()
	if err := os.Remove(c.storeFile()); err != nil {
		t.Fatal(err)
	}
	c.control.start()
	c.up()
	row := c.state(n, soon, "refused")
	if !strings.Contains(fmt.Sprint(row["refused"]), "takes most entities away") {
		t.Errorf("refused with %v", row["refused"])
	}
	n.get("/one")
	traffic.end()
	c.must("POST", "/config", object{"_format_version": "3.0"}, 201)
	eventually(t, soon, func() error { return n.try("GET", "/one", nil).is(404) }, n.program)
	c.equalRoots()
}

// A control plane of another cluster is not listened to, and the node says why.
func TestWrongCluster(t *testing.T) {
	c := newCluster(t, 0)
	foreign := newCluster(t, 0)
	n, link := c.relayed()
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	foreign.must("POST", "/config", object{"_format_version": "3.0"}, 201)
	traffic := n.steady(t, "/one", "up")
	link.Retarget(foreign.stream)
	n.disconnected(soon, "certificate")
	if rows := foreign.listed(); len(rows) != 0 {
		t.Errorf("the other cluster lists %v", rows)
	}
	time.Sleep(time.Second) // further tries
	link.Retarget(c.stream)
	c.must("POST", "/services/one/routes", form("paths[]", "/back"), 201)
	eventually(t, 2*soon, func() error { return n.try("GET", "/back", nil).is(200) }, n.program)
	traffic.end()
	link.Set(relay.Pass)
	c.equalRoots()
}
