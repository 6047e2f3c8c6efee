package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// TestDashboardMetrics asks real planes for every metric that the dashboard and the alert
// rules of deploy/compose use.
func TestDashboardMetrics(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "compose", "prometheus", "metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.must("POST", "/upstreams", form("name", "u", "healthchecks.active.healthy.interval", "1"), 201)
	c.must("POST", "/upstreams/u/targets", form("target", strings.TrimPrefix(up.URL, "http://")), 201)
	c.must("POST", "/services", form("name", "s", "host", "u"), 201)
	c.must("POST", "/services/s/routes", form("paths[]", "/s"), 201)
	c.must("POST", "/plugins", form("name", "prometheus", "config.status_code_metrics", "true", "config.latency_metrics", "true",
		"config.bandwidth_metrics", "true", "config.upstream_health_metrics", "true"), 201)
	eventually(t, soon, func() error { return n.client.try("GET", "/s", nil).is(200) }, n.program)
	control := &client{t: t, base: c.status}
	eventually(t, soon, func() error {
		n.try("GET", "/s", nil) // the one before may have come before the plugin
		shown := map[string]bool{}
		for _, source := range []*client{n.status, control} {
			families, err := source.metrics()
			if err != nil {
				return err
			}
			for name := range families {
				shown[name] = true
			}
		}
		for name := range strings.FieldsSeq(string(text)) {
			if !shown[name] && !shown[strings.TrimSuffix(name, "_bucket")] {
				return fmt.Errorf("no plane exposes %s", name)
			}
		}
		return nil
	}, n.program, c.control)
}

// Commands that ask a program which runs with the same settings.
func TestHealthAndDrain(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	dir, err := bin()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(p *program, words ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), filepath.Join(dir, p.name), slices.Concat(p.args, words)...).CombinedOutput()
		return string(out), err
	}
	for _, p := range []*program{c.control, n.program} {
		for _, words := range [][]string{{"health"}, {"kong", "health"}} {
			if out, err := ask(p, words...); err != nil || !strings.Contains(out, "ready") {
				t.Errorf("%s %v: %v: %s", p.name, words, err, out)
			}
		}
		if out, err := ask(p, "kong", "migrations", "bootstrap"); err != nil || !strings.Contains(out, "nothing to do") {
			t.Errorf("%s migrations: %v: %s", p.name, err, out)
		}
		if out, err := ask(p, "config"); err != nil || !strings.Contains(out, "\n#status_listen = ") {
			t.Errorf("%s config: %v: %s", p.name, err, out)
		}
	}
	if out, err := ask(n.program, "drain", "0"); err != nil {
		t.Errorf("drain: %v: %s", err, out)
	}
	if out, err := ask(n.program, "health"); err == nil || !strings.Contains(out, "draining") {
		t.Errorf("health of a drained node: %v: %s", err, out)
	}
	// Who comes all the same is served.
	if err := n.client.try("GET", "/", nil).is(404); err != nil {
		t.Error(err)
	}
	n.stop()
	if out, err := ask(n.program, "health"); err == nil {
		t.Errorf("health of a node that has ended: %s", out)
	}
}

// TestQuickstart types what scripts/quickstart.sh prints, and removes it again.
func TestQuickstart(t *testing.T) {
	needs(t, "curl")
	needs(t, "make")
	home := filepath.Join(t.TempDir(), "home")
	environ := append(process.Environ(), "QUICKSTART_HOME="+home, "SLUICE_PROXY_LISTEN=meant for another gateway")
	var addresses []string
	for _, name := range []string{"PROXY", "PROXY_TLS", "ADMIN", "MANAGER", "CLUSTER", "CONTROL_STATUS", "DATA_STATUS", "UPSTREAM"} {
		address := process.FreeAddress()
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, address)
		environ = append(environ, "QUICKSTART_"+name+"_PORT="+port)
	}
	run := func(args ...string) (string, error) {
		t.Helper()
		command := exec.CommandContext(t.Context(), filepath.Join("..", "quickstart.sh"), args...)
		command.Env = environ
		out, err := command.CombinedOutput()
		return string(out), err
	}
	t.Cleanup(func() { _, _ = run("down") })
	out, err := run("--local")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	commands := regexp.MustCompile(`(?m)^  (curl .*)$`).FindAllStringSubmatch(out, -1)
	if len(commands) != 3 || !strings.Contains(out, "quickstart.sh down") {
		t.Fatalf("it prints:\n%s", out)
	}
	for _, command := range commands {
		eventually(t, soon, func() error {
			out, err := exec.Command("sh", "-c", command[1]+" --silent --show-error").CombinedOutput()
			if !regexp.MustCompile(`^HTTP/1\.1 20[01] `).Match(out) {
				return errors.New(command[1] + ": " + string(out))
			}
			return err
		})
	}
	if out, err := run("--local"); err == nil || !strings.Contains(out, "runs already") {
		t.Errorf("a second start: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(home, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run("down"); err != nil || !strings.Contains(out, "not ours") {
		t.Errorf("down: %v\n%s", err, out)
	}
	for _, address := range addresses {
		if err := process.CheckFree(address); err != nil {
			t.Errorf("left behind: %v", err)
		}
	}
	left, err := os.ReadDir(home)
	if err != nil || len(left) != 1 {
		t.Errorf("%d files are left (%v)", len(left), err)
	}
	// Twice is not too often.
	if out, err := run("down"); err != nil {
		t.Errorf("down again: %v\n%s", err, out)
	}
	// A port that is taken is named, and nothing starts.
	taken, err := net.Listen("tcp", addresses[2])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, _ := net.SplitHostPort(addresses[2])
	if out, err := run("--local"); err == nil || !strings.Contains(out, "port "+port+" is taken") {
		t.Errorf("with a taken port: %v\n%s", err, out)
	}
	if err := process.CheckFree(addresses[0]); err != nil {
		t.Error(err)
	}
}
