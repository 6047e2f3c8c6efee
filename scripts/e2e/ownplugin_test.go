package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOwnPlugin builds the example of CONTRIBUTING.md as somebody outside of the tree does,
// runs its tests and drives the programs.
func TestOwnPlugin(t *testing.T) {
	example, err := filepath.Abs(filepath.Join("testdata", "ownplugin"))
	if err != nil {
		t.Fatal(err)
	}
	c := newClusterOf(t, buildOwn(t, example), 1)
	n := c.nodes[0]
	up := newEcho(t, "up")
	c.serve("greeted", up.URL, "/greeted")
	if r := c.try("POST", "/plugins", form("name", "hello", "config.greeting", "Go away")); r.status != 400 || !strings.Contains(string(r.body), "must be polite") {
		t.Errorf("an impolite config: %d %s", r.status, r.body)
	}
	// A node without the plugin goes on with what it has, and says why.
	plain := c.newNode()
	plain.dir = ""
	plain.start()
	plain.ready()
	r := c.must("POST", "/plugins", form("name", "hello", "config.greeting", "Welcome"), 201, headers{"X-Sluice-Wait", "all"})
	c.refusal(r, plain)
	plain.get("/greeted")
	n.applied("/greeted", "X-Hello", "Welcome, stranger!")
	if fields := c.must("GET", "/schemas/plugins/hello", nil, 200).list("fields"); len(fields) != 2 {
		t.Errorf("the schema has the fields %v", fields)
	}
	if r := n.status.get("/metrics"); !strings.Contains(string(r.body), "hello_greetings_total ") {
		t.Errorf("the node has no metrics of hello:\n%s", r.body)
	}
}

// buildOwn tests and builds programs of a module outside of the tree, and returns their
// folder.
func buildOwn(t *testing.T, module string) string {
	t.Helper()
	dir, work := t.TempDir(), ownWorkspace(t, module)
	for _, args := range [][]string{
		{"vet", "./..."},
		{"test", "-count=1", "./..."},
		{"build", "-o", filepath.Join(dir, "sluice-controlplane"), "./cmd/controlplane"},
		{"build", "-o", filepath.Join(dir, "sluice-dataplane"), "./cmd/dataplane"},
	} {
		command := exec.Command("go", args...)
		command.Dir = module
		command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK="+work)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return dir
}

// ownWorkspace writes a go.work of the example and the modules that it needs.
func ownWorkspace(t *testing.T, example string) string {
	t.Helper()
	work, err := workspace(example, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return work
}

// workspace writes it into a folder.
func workspace(example, dir string) (work string, err error) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return "", err
	}
	theirs, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		return "", err
	}
	version, _, _ := strings.Cut(string(theirs), "\n")
	lines := []string{version, "use " + example}
	for _, module := range []string{"proto", "shared", "controlplane", "dataplane"} {
		lines = append(lines, "use "+filepath.Join(root, module))
	}
	work = filepath.Join(dir, "go.work")
	if err := os.WriteFile(work, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return "", err
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.work.sum"))
	if err != nil {
		return "", err
	}
	return work, os.WriteFile(work+".sum", sums, 0o600)
}
