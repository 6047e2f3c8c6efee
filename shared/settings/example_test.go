package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/settings"
)

// An example file names every key of its plane, is read without a word, changes nothing,
// and each of its lines, without its comment sign, is a valid setting.
func TestExample(t *testing.T) {
	for plane, name := range map[settings.Plane]string{settings.ControlPlane: "sluice-controlplane", settings.DataPlane: "sluice-dataplane"} {
		t.Run(plane.String(), func(t *testing.T) {
			text := settings.Example(plane, name)
			if got := settings.Example(plane, name); got != text {
				t.Error("two examples differ")
			}
			for line := range strings.Lines(text) {
				if len(line) > 140 && !strings.HasPrefix(line, "#ssl_ciphers") { // its default is that long
					t.Errorf("a line is too long: %s", line)
				}
			}
			load := func(text string) *settings.Settings {
				t.Helper()
				path := filepath.Join(t.TempDir(), "sluice.conf")
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				s, err := settings.Load(settings.Options{Plane: plane, Args: []string{"-c", path}})
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			asIs := load(text)
			var active strings.Builder
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") && strings.Contains(line, " =") {
					active.WriteString(line[1:])
				}
			}
			changed := load(active.String())
			for _, k := range settings.Keys(plane) {
				if !strings.Contains(text, "\n#"+k.Name+" =") {
					t.Errorf("%s is missing", k.Name)
				}
				if asIs.IsSet(k.Name) {
					t.Errorf("%s is set by a file of comments", k.Name)
				}
				if k.Default != "" && !changed.IsSet(k.Name) {
					t.Errorf("%s is not set by its own line", k.Name)
				}
			}
			if w := changed.Warnings(); len(w) > 0 {
				t.Error(w)
			}
		})
	}
}
