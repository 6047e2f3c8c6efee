package dataplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/settings"
)

func TestTicketKey(t *testing.T) {
	folder := t.TempDir()
	file := func(name string, bytes int) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(strings.Repeat(name, bytes)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	keys := map[[32]byte]bool{}
	for _, tt := range []struct{ path, fault string }{
		{"", ""},
		{file("a", 48), ""},
		{file("b", 80), ""},
		{file("c", 32), "nginx_proxy_ssl_session_ticket_key: " + folder + "/c has 32 bytes; it has to have 48 or 80"},
		{folder + "/none", "nginx_proxy_ssl_session_ticket_key: open " + folder + "/none"},
	} {
		var args []string
		if tt.path != "" {
			args = []string{"--nginx_proxy_ssl_session_ticket_key", tt.path}
		}
		s, err := settings.Load(settings.Options{Plane: settings.DataPlane, Args: args})
		if err != nil {
			t.Fatal(err)
		}
		key, err := ticketKey(s)
		switch {
		case tt.fault != "":
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s: %v, want %s", tt.path, err, tt.fault)
			}
		case err != nil || (key == nil) != (tt.path == ""):
			t.Errorf("%s: %v, %v", tt.path, key, err)
		case key != nil:
			keys[*key] = true
		}
	}
	if len(keys) != 2 {
		t.Errorf("%d keys of two files", len(keys))
	}
}

func TestPortMaps(t *testing.T) {
	got, err := portMaps([]string{"80:8000", "443:8443"})
	if diff := cmp.Diff(map[uint16]uint16{8000: 80, 8443: 443}, got); diff != "" || err != nil {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	for _, pair := range []string{"80", "80:", ":80", "0:80", "80:0", "a:80", "80:70000", "80:1:2", "-1:80"} {
		if _, err := portMaps([]string{pair}); err == nil || !strings.Contains(err.Error(), "port_maps: ") {
			t.Errorf("%s: %v", pair, err)
		}
	}
	if _, err := portMaps([]string{"80:8000", "81:8000"}); err == nil || !strings.Contains(err.Error(), "port_maps: port 8000 is mapped twice") {
		t.Errorf("twice: %v", err)
	}
}
