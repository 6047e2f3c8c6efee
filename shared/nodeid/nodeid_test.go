package nodeid_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/nodeid"
)

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	first, err := nodeid.Load(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := nodeid.Load(dir, ""); err != nil || again != first {
		t.Errorf("second start: %q, %v, want %q", again, err, first)
	}
	const set = "0b9a3ad0-5f1c-4c2b-8a53-8d6c0f8f4c11"
	if id, err := nodeid.Load(dir, set); err != nil || id != set {
		t.Errorf("set: %q, %v", id, err)
	}
	for _, bad := range []string{"x", "{" + set + "}", strings.ReplaceAll(set, "-", "")} {
		if _, err := nodeid.Load(dir, bad); err == nil || !strings.Contains(err.Error(), "node_id") {
			t.Errorf("set to %q: %v, want an error that names node_id", bad, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, nodeid.File), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if id, err := nodeid.Load(dir, ""); err != nil || id == "torn" || len(id) != 36 {
		t.Errorf("after damage: %q, %v", id, err)
	}
	if _, err := nodeid.Load(filepath.Join(dir, "missing"), ""); err == nil {
		t.Error("folder that is not there: no error")
	}
}
