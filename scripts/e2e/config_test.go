package e2e

import (
	"strings"
	"testing"
)

// POST /config replaces the whole configuration, whatever kind of database the
// control plane reports.
func TestDeclarativeConfig(t *testing.T) {
	for _, database := range []string{"postgres", "off"} {
		t.Run(database, func(t *testing.T) {
			c := newCluster(t, 1, "--database", database)
			n := c.nodes[0]
			up := newEcho(t, "up")
			yaml := strings.ReplaceAll(`
_format_version: "3.0"
services:
- name: one
  url: UP
  routes:
  - name: one
    paths: [/one]
consumers:
- username: luka
  keyauth_credentials:
  - key: luka-key
plugins:
- name: key-auth
`, "UP", up.URL)
			loaded := c.must("POST", "/config", form("config", yaml), 201)
			if loaded.at("services") == nil || loaded.at("routes") == nil {
				t.Errorf("what was loaded: %s", loaded.body)
			}
			n.serves("/one")
			n.must("GET", "/one", nil, 401)
			n.get("/one", headers{"apikey", "luka-key"})

			c.must("POST", "/config", object{
				"_format_version": "3.0", "services": []object{{"name": "two", "url": up.URL, "routes": []object{{"name": "two", "paths": []string{"/two"}}}}},
			}, 201)
			n.serves("/two")
			n.get("/two")
			n.must("GET", "/one", nil, 404)
			if rows := c.get("/consumers").list("data"); len(rows) != 0 {
				t.Errorf("consumers are left: %v", rows)
			}
			head := func() any { return c.get("/history").list("data")[0]["revision"] }
			revision := head()
			preview := c.must("POST", "/config?dry_run=1", object{
				"_format_version": "3.0", "services": []object{{"name": "two", "url": up.URL, "retries": 1}, {"name": "three", "url": up.URL}},
			}, 200)
			for path, want := range map[string]any{
				"created": 1.0, "updated": 1.0, "deleted": 1.0, "changes": 3.0,
			} {
				if got := preview.at(path); got != want {
					t.Errorf("%s of the preview is %v, want %v: %s", path, got, want, preview.body)
				}
			}
			if first := preview.list("entities")[0]; first["operation"] != "delete" || first["kind"] != "routes" || first["name"] != "two" {
				t.Errorf("the first change is %v", first)
			}
			if !strings.Contains(string(preview.body), `{"after":1,"before":5,"field":"retries","secret":false}`) {
				t.Errorf("the preview does not show retries: %s", preview.body)
			}
			c.must("POST", "/config?dry_run=1", object{"_format_version": "3.0", "services": []object{{"name": "x", "port": "y"}}}, 400)
			c.must("GET", "/services/three", nil, 404)
			if now := head(); now != revision {
				t.Errorf("a preview led from revision %v to %v", revision, now)
			}
			for name, bad := range map[string]any{
				"no version":  object{"services": []object{}},
				"unknown key": object{"_format_version": "3.0", "colours": []object{}},
				"bad entity":  object{"_format_version": "3.0", "services": []object{{"name": "x", "port": "y"}}},
			} {
				if r := c.must("POST", "/config", bad, 400); r.at("code") != 14.0 {
					t.Errorf("%s: %s", name, r.body)
				}
			}
			n.get("/two")
			c.must("POST", "/config", `{"_format`, 400)
			if database == "off" {
				c.must("POST", "/services", form("name", "x", "host", "h"), 405)
			}
		})
	}
}
