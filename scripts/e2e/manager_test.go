package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// The web UI of a real control plane is walked in a real browser: the walks are in
// controlplane/manager/tests. MANAGER_SHOTS names a folder for their pictures.
func TestManager(t *testing.T) {
	needs(t, "node")
	needs(t, "npm")
	needs(t, "chromium")
	needs(t, "openssl")
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	try := func(limit time.Duration, env []string, dir, name string, args ...string) error {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		command := exec.CommandContext(ctx, name, args...)
		command.Dir, command.Env, command.WaitDelay = dir, append(os.Environ(), env...), 5*time.Second
		out, err := command.CombinedOutput()
		t.Logf("%s %s:\n%s", name, strings.Join(args, " "), out)
		return err
	}
	if err := try(5*time.Minute, nil, root, "scripts/manager.sh", "--packages"); err != nil {
		t.Fatal(err)
	}

	manager := process.FreeAddress()
	c := newCluster(t, 1, "--admin_gui_listen", manager)
	if (&client{t: t, base: "http://" + manager}).try("GET", "/assets/", nil).is(404) != nil {
		t.Skip("skipped: the control plane was built without the web UI (make build)")
	}
	// Another one is below a prefix, and its routes are expressions.
	prefixed := process.FreeAddress()
	other := newCluster(t, 0, "--admin_gui_listen", prefixed, "--admin_gui_path", "/ui", "--router_flavor", "expressions")

	// A third one asks for tokens.
	locked, lockedAPI := process.FreeAddress(), process.FreeAddress()
	third := &cluster{t: t, prefix: filepath.Join(t.TempDir(), "cp"), stream: process.FreeAddress()}
	third.control = &program{t: t, name: "sluice-controlplane", args: []string{
		"--prefix", third.prefix, "--admin_listen", lockedAPI, "--admin_gui_listen", locked, "--cluster_listen", third.stream,
		"--status_listen", "off", "--enforce_rbac", "on",
	}}
	third.control.start()
	eventually(t, soon, func() error { return (&client{t: t, base: "http://" + lockedAPI}).try("GET", "/", nil).is(401) }, third.control)

	// A fourth one has many entities.
	crowded := process.FreeAddress()
	fourth := newCluster(t, 0, "--admin_gui_listen", crowded)

	token := third.run("admin-token", "create", "walker", "role=admin")
	if err := try(10*time.Minute, []string{
		"LOCKED_URL=http://" + locked, "LOCKED_ADMIN_URL=http://" + lockedAPI, "LOCKED_TOKEN=" + token,
		"MANAGER_URL=http://" + manager, "ADMIN_URL=" + c.base, "PROXY_URL=" + c.nodes[0].base, "PREFIXED_URL=http://" + prefixed + "/ui", "PREFIXED_ADMIN_URL=" + other.base,
		"MANY_URL=http://" + crowded, "MANY_ADMIN_URL=" + fourth.base,
	}, filepath.Join(root, "controlplane", "manager"), "npm", "test", "--silent"); err != nil {
		t.Fatal(err)
	}
}
