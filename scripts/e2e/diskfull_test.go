package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tmpfs mounts a small file system on a folder, or skips the test where that may not be
// done.
func tmpfs(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("no small file system can be made here: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v %s", dir, err, out)
		}
	})
}

// A node whose disk is full serves on, says so, and catches up by itself when there is
// room again.
func TestDiskFullOnTheNode(t *testing.T) {
	c := newCluster(t, 0)
	n := c.newNode()
	tmpfs(t, n.prefix, "2m")
	n.start()
	n.ready()
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	filler := filepath.Join(n.prefix, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 1<<10))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	// More than what is left of the last page.
	c.must("POST", "/services/one/routes", form("paths[]", "/two", "name", strings.Repeat("x", 9000)), 201)
	n.serves("/two")
	n.get("/two")
	eventually(t, soon, func() error {
		if said := n.status.must("GET", "/status", nil, 200).text("cache", "error"); !strings.Contains(said, "no space left") {
			return fmt.Errorf("the node says %q", said)
		}
		return nil
	}, n.program)
	if r := n.status.get("/metrics"); !strings.Contains(string(r.body), "kong_datastore_reachable 0") {
		t.Error("the node's metrics do not say it")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*soon, func() error {
		row := c.listed()["node1"]
		if fmt.Sprint(row["persisted"]) != fmt.Sprint(row["position"]) {
			return fmt.Errorf("on disk is %v, served %v", row["persisted"], row["position"])
		}
		return nil
	}, n.program)
	c.control.stop()
	n.kill()
	time.Sleep(10 * time.Millisecond)
	n.start()
	n.ready()
	n.get("/two")
}
