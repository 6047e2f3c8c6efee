package dataplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/settings"
)

func TestErrorTemplates(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct{ setting, path, accept, want, fault string }{
		{"error_template_html", write("h", "<b>%s</b>"), "text/html", "<b>m</b>", ""},
		{"error_template_json", write("j", `"%s %s"`), "application/json", `"m id"`, ""},
		{"error_template_xml", write("x", "<m>%s</m>"), "application/xml", "<m>m</m>", ""},
		{"error_template_plain", write("p", "oh: %s"), "text/plain", "oh: m", ""},
		{"error_template_plain", write("bad", "%d"), "", "", "error_template_plain: " + folder + "/bad: may have one %s"},
		{"error_template_json", folder + "/none", "", "", "error_template_json: open " + folder + "/none"},
	} {
		s, err := settings.Load(settings.Options{Plane: settings.DataPlane, Args: []string{"--" + tt.setting, tt.path}})
		if err != nil {
			t.Fatal(err)
		}
		templates, err := errorTemplates(s)
		if tt.fault != "" {
			if err == nil || !strings.HasPrefix(err.Error(), tt.fault) {
				t.Errorf("%s %s: %v, want %s", tt.setting, tt.path, err, tt.fault)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		x := pdk.Exchange{ID: "id", Errors: templates}
		x.Request.Header.Add("Accept", tt.accept)
		_ = x.Fail(502, "m")
		if got := string(x.Response.Buffered); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.setting, got, tt.want)
		}
	}
}
