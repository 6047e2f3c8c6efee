package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/settings"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rows are the first cells of the tables that begin with a head.
func rows(text, head string, cells int) []string {
	_, table, _ := strings.Cut(text, "\n"+head)
	_, table, _ = strings.Cut(table, "\n|---")
	_, table, _ = strings.Cut(table, "\n")
	var out []string
	for line := range strings.Lines(table) {
		parts := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(parts) < cells {
			break
		}
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		out = append(out, strings.Join(parts[:cells], " "))
	}
	return out
}

// The plugin list has every plugin, in the order in which they run, and no other.
func TestPluginList(t *testing.T) {
	text := readDoc(t, "plugins.md")
	var want, entities []string
	for _, p := range plugins.Bundled().Ordered() {
		want = append(want, fmt.Sprintf("%s %d", p.Name, p.Priority))
		var names []string
		for _, e := range p.Entities {
			names = append(names, e.Schema.Name)
		}
		slices.Sort(names)
		if len(names) > 0 {
			entities = append(entities, p.Name+" "+strings.Join(names, ", "))
		}
	}
	slices.Sort(entities)
	if diff := cmp.Diff(rows(text, "| plugin | priority |", 2), want); diff != "" {
		t.Errorf("docs/plugins.md is not what there is (- page, + registry)\n%s", diff)
	}
	if diff := cmp.Diff(rows(text, "| plugin | entities |", 2), entities); diff != "" {
		t.Errorf("entities in docs/plugins.md are not what there is (- page, + registry)\n%s", diff)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	setting = regexp.MustCompile("`([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?: = [^`]*)?`")
)

// Pages name files and settings that there are.
func TestPages(t *testing.T) {
	known := map[string]bool{}
	for _, k := range settings.Keys(settings.BothPlanes) {
		known[k.Name] = true
	}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || len(pages) < 3 {
		t.Fatalf("%d pages (%v)", len(pages), err)
	}
	for _, path := range pages {
		name := filepath.Base(path)
		text := readDoc(t, name)
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), found[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", name, found[1])
			}
		}
		_, settingsOnly, _ := strings.Cut(text, "## Settings")
		settingsOnly, _, _ = strings.Cut(settingsOnly, "\n## ")
		for _, found := range setting.FindAllStringSubmatch(settingsOnly, -1) {
			if !known[found[1]] {
				t.Errorf("%s names the setting %s, which is not there", name, found[1])
			}
		}
	}
}
