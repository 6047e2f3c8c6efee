package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/settings"
)

// TestSettingsAreObeyed finds keys that are declared, and so accepted and shown by
// --help, but that no code of the plane reads.
func TestSettingsAreObeyed(t *testing.T) {
	// Kong's files have these; that a program is what it is needs no reading, and GET /
	// shows all settings. What a sandbox has matters where functions run.
	accepted := map[settings.Plane][]string{
		settings.DataPlane:    {"role", "database"},
		settings.ControlPlane: {"role", "proxy_listen", "untrusted_lua_sandbox_requires", "untrusted_lua_sandbox_environment"},
	}
	for plane, folder := range map[settings.Plane]string{settings.ControlPlane: "controlplane", settings.DataPlane: "dataplane"} {
		var source strings.Builder
		err := filepath.WalkDir(filepath.Join("..", "..", folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			source.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range settings.Keys(plane) {
			if slices.Contains(accepted[plane], k.Name) {
				continue
			}
			if !strings.Contains(source.String(), `"`+k.Name+`"`) {
				t.Errorf("nothing in %s reads the setting %s", folder, k.Name)
			}
		}
	}
}
