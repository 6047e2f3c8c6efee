package settings_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/referencetest"
	"github.com/sluice-gateway/sluice/shared/settings"
)

// TestConfigurationIsKongs gives the settings that Kong ran with when its GET / was
// recorded, and compares every key that both have.
func TestConfigurationIsKongs(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(referencetest.Dir(t), "schemas", "root.json"))
	if err != nil {
		t.Fatal(err)
	}
	var root struct {
		Configuration map[string]any `json:"configuration"`
	}
	if err := json.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	const listen = "--proxy_listen=127.0.0.1:28000,127.0.0.1:28443 http2 ssl"
	for _, test := range []struct {
		plane settings.Plane
		args  []string
		// skip are keys that differ because the planes do.
		skip []string
	}{
		{settings.ControlPlane, []string{listen, "--admin_listen=127.0.0.1:28001", "--admin_gui_listen=off", "--status_listen=off", "--prefix=/usr/local/kong/kong-pg"}, nil},
		{settings.DataPlane, []string{listen, "--status_listen=off", "--prefix=/usr/local/kong/kong-pg"}, []string{"role", "database", "ssl_cert", "ssl_cert_key", "lua_ssl_trusted_certificate"}},
	} {
		s := mustLoad(t, test.plane, nil, test.args...)
		data, err := json.Marshal(s.Configuration())
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"admin_ssl_cert_key", "cluster_cert_key", "ssl_cert_key"} {
			delete(root.Configuration, key) // made at start there
		}
		compared := 0
		for key, want := range root.Configuration {
			have, ok := got[key]
			if !ok || slices.Contains(test.skip, key) {
				continue
			}
			compared++
			if headers, ok := have.(map[string]any); ok && key == "enabled_headers" {
				delete(headers, "X-Sluice-Revision")
			}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("%s: %s (-Kong +ours):\n%s", test.plane, key, diff)
			}
		}
		if compared < 12 {
			t.Errorf("%s: only %d keys were compared", test.plane, compared)
		}
	}
}

func TestConfigurationMasksSecrets(t *testing.T) {
	const text = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"
	for _, environ := range [][]string{
		{"KONG_CLUSTER_CERT=" + text, "KONG_CLUSTER_CERT_KEY=" + text, "KONG_SSL_CERT=" + text, "KONG_SSL_CERT_KEY=" + text},
		{"KONG_CLUSTER_CERT=/c", "KONG_CLUSTER_CERT_KEY=/hunter2", "KONG_SSL_CERT=/c", "KONG_SSL_CERT_KEY=/hunter2"},
	} {
		configuration := mustLoad(t, settings.DataPlane, environ).Configuration()
		data, err := json.Marshal(configuration)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "hunter2") {
			t.Errorf("configuration shows a secret: %s", data)
		}
		if configuration["cluster_cert_key"] != "******" {
			t.Errorf("cluster_cert_key = %v, want ******", configuration["cluster_cert_key"])
		}
	}
}

func TestListenersInConfiguration(t *testing.T) {
	c := mustLoad(t, settings.ControlPlane, nil, "--admin_listen=unix:/run/a.sock, [::1]:8444 ssl http2 backlog=5", "--proxy_listen=off").Configuration()
	listeners := c["admin_listeners"].([]any)
	first, second := listeners[0].(map[string]any), listeners[1].(map[string]any)
	if _, ok := first["port"]; ok || first["listener"] != "unix:/run/a.sock" {
		t.Errorf("unix listener = %v", first)
	}
	if second["ip"] != "::1" || second["port"] != 8444 || second["backlog=%d+"] != true || second["listener"] != "[::1]:8444 ssl backlog=5" {
		t.Errorf("second listener = %v", second)
	}
	if c["admin_ssl_enabled"] != true || c["proxy_ssl_enabled"] != false {
		t.Errorf("admin_ssl_enabled = %v, proxy_ssl_enabled = %v", c["admin_ssl_enabled"], c["proxy_ssl_enabled"])
	}
	if diff := cmp.Diff([]any{"off"}, c["proxy_listen"]); diff != "" {
		t.Errorf("proxy_listen: %s", diff)
	}
}
