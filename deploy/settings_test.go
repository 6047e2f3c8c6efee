package deploy

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/settings"
)

var update = flag.Bool("update", false, "write the files that are made from the table of settings")

// TestExampleSettings holds the example files to the table of settings.
func TestExampleSettings(t *testing.T) {
	for name, plane := range map[string]settings.Plane{"controlplane": settings.ControlPlane, "dataplane": settings.DataPlane} {
		path := filepath.Join("settings", name+".conf")
		want := settings.Example(plane, "sluice-"+name)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // for everybody to read
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(got), want); diff != "" {
			t.Errorf("%s is not what the table of settings says: run `go test ./deploy -update` (- file, + table)\n%s", path, diff)
		}
	}
}
