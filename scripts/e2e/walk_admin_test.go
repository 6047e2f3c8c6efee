package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var isUUID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// made are what the control plane adds to an entity.
var made = cmpopts.IgnoreMapEntries(func(name string, _ any) bool {
	return name == "id" || name == "created_at" || name == "updated_at"
})

// Point 1: the root document and what every answer carries.
func TestWalkRoot(t *testing.T) {
	c := newCluster(t, 0)
	get := c.get("/")
	head := c.must("HEAD", "/", nil, 200)
	if len(head.body) > 0 {
		t.Errorf("HEAD / has a body of %d bytes", len(head.body))
	}
	for _, r := range []*response{get, head} {
		for name, want := range map[string]string{
			"Server": `^sluice/\d`, "X-Kong-Admin-Latency": `^\d+$`, "Content-Type": `^application/json; charset=utf-8$`,
			"Access-Control-Allow-Origin": `^\*$`, "Access-Control-Allow-Credentials": `^true$`,
		} {
			if got := r.header.Get(name); !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("%s: header %s = %q, want %s", r.what, name, got, want)
			}
		}
	}
	if get.text("version") != "3.9.3" || get.text("edition") != "community" || get.text("sluice_version") == "" {
		t.Errorf("version %q, edition %q, sluice_version %q", get.text("version"), get.text("edition"), get.text("sluice_version"))
	}
	if !isUUID.MatchString(get.text("node_id")) || get.text("hostname") == "" {
		t.Errorf("node_id %q, hostname %q", get.text("node_id"), get.text("hostname"))
	}
	for _, name := range []string{"key-auth", "rate-limiting", "proxy-cache"} {
		if get.text("plugins", "available_on_server", name, "version") == "" || get.at("plugins", "available_on_server", name, "priority") == nil {
			t.Errorf("plugin %s = %v, want version and priority", name, get.at("plugins", "available_on_server", name))
		}
	}
	if _, ok := get.at("plugins", "enabled_in_cluster").([]any); !ok && get.at("plugins", "enabled_in_cluster") == nil {
		t.Error("no plugins.enabled_in_cluster")
	}
	if got := get.text("configuration", "router_flavor"); got != "traditional_compatible" {
		t.Errorf("configuration.router_flavor = %q", got)
	}
	if listeners := get.list("configuration", "admin_listeners"); len(listeners) != 1 || listeners[0]["ssl"] != false {
		t.Errorf("configuration.admin_listeners = %v", listeners)
	}
	options := c.must("OPTIONS", "/services", nil, 204, headers{"Origin", "http://ui.test", "Access-Control-Request-Headers", "x-a"})
	if got := options.header.Get("Access-Control-Allow-Methods"); !strings.Contains(got, "POST") {
		t.Errorf("OPTIONS /services: Access-Control-Allow-Methods = %q", got)
	}
	if got := c.must("GET", "/nope", nil, 404).text("message"); got != "Not found" {
		t.Errorf("unknown path: %q", got)
	}
}

// Point 2: services, from curl's form and from JSON.
func TestWalkServices(t *testing.T) {
	c := newCluster(t, 0)
	want := map[string]any{
		"name": "example_service", "protocol": "http", "host": "127.0.0.1", "port": 8100.0, "path": "/base", "retries": 5.0,
		"connect_timeout": 60000.0, "write_timeout": 60000.0, "read_timeout": 60000.0, "enabled": true, "tags": nil,
		"client_certificate": nil, "tls_verify": nil, "tls_verify_depth": nil, "ca_certificates": nil,
	}
	post := c.must("POST", "/services", form("name", "example_service", "url", "http://127.0.0.1:8100/base"), 201)
	check := func(r *response) {
		t.Helper()
		if diff := cmp.Diff(want, r.json(), made); diff != "" {
			t.Errorf("%s (-want +got):\n%s", r.what, diff)
		}
	}
	check(post)
	id := post.text("id")
	if !isUUID.MatchString(id) {
		t.Errorf("id = %q", id)
	}
	if created, ok := post.at("created_at").(float64); !ok || created != float64(int64(created)) || created < 1e9 {
		t.Errorf("created_at = %v, want seconds", post.at("created_at"))
	}
	check(c.get("/services/example_service"))
	check(c.get("/services/" + id))
	want["retries"], want["tags"] = 7.0, []any{"a", "b"}
	check(c.must("PATCH", "/services/example_service", form("retries", "7", "tags[]", "a", "tags[]", "b"), 200))
	check(c.get("/services/" + id))
	put := c.must("PUT", "/services/other", object{"url": "https://b.test"}, 200)
	if put.text("name") != "other" || put.text("protocol") != "https" || put.at("port") != 443.0 || put.at("path") != nil {
		t.Errorf("PUT: %s", put.body)
	}
	list := c.get("/services")
	if data, next := list.list("data"), list.at("next"); len(data) != 2 || next != nil {
		t.Errorf("list has %d entries, next %v", len(data), next)
	}
	c.must("DELETE", "/services/other", nil, 204)
	c.must("DELETE", "/services/other", nil, 204)
	c.must("GET", "/services/other", nil, 404)

	for _, test := range []struct {
		name    string
		method  string
		path    string
		body    any
		status  int
		message string
		with    headers
	}{
		{"wrong type", "POST", "/services", object{"name": "x", "host": "h", "port": "http"}, 400, "schema violation (port: expected an integer)", nil},
		{"unknown field", "POST", "/services", form("host", "h", "colour", "red"), 400, "schema violation (colour: unknown field)", nil},
		{"missing field", "POST", "/services", object{}, 400, "schema violation (host: required field missing)", nil},
		{"taken name", "POST", "/services", form("name", "example_service", "host", "h"), 409, `UNIQUE violation detected on '{name="example_service"}'`, nil},
		{"no JSON", "POST", "/services", `{"name`, 400, "Cannot parse JSON body", nil},
		{"no such entity", "PATCH", "/services/nope", form("retries", "1"), 404, `could not find the entity with '{name="nope"}'`, nil},
		{"method", "PATCH", "/services", object{}, 405, "Method not allowed", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := c.must(test.method, test.path, test.body, test.status, test.with).text("message"); got != test.message {
				t.Errorf("message = %q, want %q", got, test.message)
			}
		})
	}
	violation := c.must("POST", "/services", object{"host": "h", "port": "http"}, 400)
	wantBody := map[string]any{
		"code": 2.0, "name": "schema violation", "message": "schema violation (port: expected an integer)",
		"fields": map[string]any{"port": "expected an integer"},
	}
	if diff := cmp.Diff(wantBody, violation.json()); diff != "" {
		t.Errorf("violation (-want +got):\n%s", diff)
	}
	c.must("POST", "/services", "name=x", 415, headers{"Content-Type", "text/plain"})
}

// Point 3: routes under a service and at the top.
func TestWalkRoutes(t *testing.T) {
	c := newCluster(t, 0)
	service := c.must("POST", "/services", form("name", "example_service", "host", "h"), 201).text("id")
	post := c.must("POST", "/services/example_service/routes", form("name", "example_route", "paths[]", "/mock", "tags", "tutorial"), 201)
	want := map[string]any{
		"name": "example_route", "paths": []any{"/mock"}, "tags": []any{"tutorial"}, "service": map[string]any{"id": service},
		"protocols": []any{"http", "https"}, "methods": nil, "hosts": nil, "headers": nil, "snis": nil, "sources": nil,
		"destinations": nil, "regex_priority": 0.0, "strip_path": true, "preserve_host": false, "path_handling": "v0",
		"https_redirect_status_code": 426.0, "request_buffering": true, "response_buffering": true,
	}
	id := post.text("id")
	for _, r := range []*response{
		post, c.get("/routes/example_route"), c.get("/routes/" + id), c.get("/services/example_service/routes/example_route"),
		c.get("/services/" + service + "/routes/" + id),
	} {
		if diff := cmp.Diff(want, r.json(), made); diff != "" {
			t.Errorf("%s (-want +got):\n%s", r.what, diff)
		}
	}
	for _, path := range []string{"/routes", "/services/example_service/routes", "/routes?tags=tutorial"} {
		if data := c.get(path).list("data"); len(data) != 1 || data[0]["id"] != id {
			t.Errorf("GET %s = %v", path, data)
		}
	}
	if data := c.get("/routes?tags=other").list("data"); len(data) != 0 {
		t.Errorf("routes with another tag: %v", data)
	}
	c.must("PATCH", "/services/example_service/routes/example_route", form("strip_path", "false"), 200)
	if got := c.get("/routes/example_route").at("strip_path"); got != false {
		t.Errorf("strip_path = %v after the PATCH", got)
	}
	if data := c.get("/tags/tutorial").list("data"); len(data) != 1 || data[0]["entity_name"] != "routes" || data[0]["entity_id"] != id {
		t.Errorf("/tags/tutorial = %v", data)
	}
	refused := c.must("POST", "/routes", form("name", "r"), 400)
	if refused.at("fields", "@entity") == nil {
		t.Errorf("route without anything to match: %s", refused.body)
	}
	c.must("POST", "/routes", object{"paths": []string{"/x"}, "service": object{"id": "00000000-0000-4000-8000-000000000000"}}, 400)
	restricted := c.must("DELETE", "/services/example_service", nil, 400)
	if got, want := restricted.text("message"), "an existing 'routes' entity references this 'services' entity"; got != want {
		t.Errorf("message = %q, want %q", got, want)
	}
	c.must("DELETE", "/services/example_service/routes/example_route", nil, 204)
	c.must("DELETE", "/services/example_service", nil, 204)
}
