package e2e

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Both programs end within 15 seconds of SIGTERM and of SIGINT, with exit code 0,
// while a client has an idle connection and another has a request in flight.
func TestGracefulStop(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	c.serve("bin", httpbin(t), "/bin")
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		idle, err := net.Dial("tcp", strings.TrimPrefix(n.base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		answer := make(chan *response, 1)
		go func() { answer <- n.try("GET", "/bin/delay/1", nil) }()
		eventually(t, soon, func() error { return n.try("GET", "/bin/get", nil).is(200) }, n.program)
		for _, p := range []*program{n.program, c.control} {
			if err := p.proc.Signal(s); err != nil {
				t.Fatal(err)
			}
			started := time.Now()
			p.ends(15 * time.Second)
			t.Logf("%s took %v after %v", p.name, time.Since(started).Round(time.Millisecond), s)
		}
		if err := (<-answer).is(200); err != nil {
			t.Errorf("the request in flight: %v", err)
		}
		_ = idle.Close()
		c.control.start()
		c.up()
		n.start()
		n.ready()
	}
}

// A data plane that never had a configuration waits for one without exiting.
func TestNodeWithoutControlPlane(t *testing.T) {
	c := newCluster(t, 0)
	n := c.newNode()
	c.control.stop()
	n.start()
	eventually(t, soon, func() error { return n.status.try("GET", "/status/ready", nil).is(503) }, n.program)
	n.status.get("/status")
	c.control.start()
	n.ready()
	up := newEcho(t, "up")
	c.up()
	c.serve("one", up.URL, "/one")
}

// cached are the files of a node's disk cache.
func (n *node) cached() []string {
	n.program.t.Helper()
	var out []string
	err := filepath.WalkDir(n.prefix, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(filepath.ToSlash(path[len(n.prefix):]), "cache") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		n.program.t.Fatal(err)
	}
	if len(out) == 0 {
		n.program.t.Fatalf("%s has no file of a cache", n.prefix)
	}
	return out
}

// However its cache is damaged, a data plane starts, and has the configuration again
// as soon as there is a control plane.
func TestDamagedCache(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("one", up.URL, "/one")
	for name, damage := range map[string]func(path string) error{
		"deleted":   os.Remove,
		"empty":     func(path string) error { return os.Truncate(path, 0) },
		"truncated": func(path string) error { return truncateHalf(path) },
		"random": func(path string) error {
			noise := make([]byte, 4096)
			_, _ = rand.Read(noise)
			return os.WriteFile(path, noise, 0o600)
		},
		"flipped bit": func(path string) error {
			data, err := os.ReadFile(path)
			if err != nil || len(data) == 0 {
				return err
			}
			data[len(data)/2] ^= 0x10
			return os.WriteFile(path, data, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			n.stop()
			c.control.stop()
			for _, path := range n.cached() {
				if err := damage(path); err != nil {
					t.Fatal(err)
				}
			}
			n.start()
			eventually(t, soon, func() error { return n.status.try("GET", "/status", nil).is(200) }, n.program)
			// It serves what it could read, or nothing; never something else.
			if r := n.try("GET", "/one", nil); r.err != nil || r.status == 200 && r.echoed(t).Name != "up" {
				t.Errorf("answer from a damaged cache: %d %s %v", r.status, r.body, r.err)
			}
			c.control.start()
			c.up()
			n.ready()
			n.serves("/one")
			n.get("/one")
			// The mended cache serves again by itself.
			eventually(t, soon, func() error {
				for _, row := range c.listed() {
					if row["state"] == "" {
						return fmt.Errorf("no state: %v", row)
					}
				}
				return nil
			})
		})
	}
}

func truncateHalf(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, info.Size()/2)
}

// A store that is in use is not opened twice.
func TestOneControlPlanePerStore(t *testing.T) {
	c := newCluster(t, 0)
	second := &program{t: t, name: "sluice-controlplane", args: []string{
		"--prefix", c.prefix, "--admin_listen", "127.0.0.1:0", "--cluster_listen", "127.0.0.1:0", "--status_listen", "off",
	}}
	if out := second.fails(); !strings.Contains(out, c.prefix) {
		t.Errorf("the error does not name the store in %s:\n%s", c.prefix, out)
	}
	c.get("/services")
}

// A port that is taken stops the start, and the error names it.
func TestTakenPort(t *testing.T) {
	c := newCluster(t, 1)
	taken := strings.TrimPrefix(c.nodes[0].base, "http://")
	p := &program{t: t, name: "sluice-dataplane", args: append([]string{
		"--prefix", t.TempDir(), "--proxy_listen", taken, "--status_listen", "off", "--cluster_control_plane", c.stream,
	}, c.certificate()...)}
	if out := p.fails(); !strings.Contains(out, taken) {
		t.Errorf("the error does not name %s:\n%s", taken, out)
	}
}
