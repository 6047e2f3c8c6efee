package admin_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestOpenAPI looks at what a validator does not see: that the description has all there
// is. The end-to-end tests have it validated, and compare calls with it.
func TestOpenAPI(t *testing.T) {
	s := newServer(t, nil)
	first := s.do("GET", "/openapi.json", nil, "").is(200)
	if again := s.do("GET", "/openapi.json", headers{"If-None-Match": first.header.Get("ETag")}, ""); again.status != 304 {
		t.Errorf("the description asked for again: %d", again.status)
	}
	var document map[string]any
	first.into(&document)
	var endpoints struct{ Data []string }
	s.do("GET", "/endpoints", nil, "").is(200).into(&endpoints)
	paths, _ := document["paths"].(map[string]any)
	ids := map[string]bool{}
	for _, path := range endpoints.Data {
		item, _ := paths[path].(map[string]any)
		if item == nil {
			t.Errorf("%s is not described", path)
			continue
		}
		allowed := s.do("OPTIONS", strings.NewReplacer("{", "", "}", "").Replace(path), nil, "").is(204).header.Get("Allow")
		for method := range strings.SplitSeq(allowed, ", ") {
			if method == "HEAD" || method == "OPTIONS" {
				continue
			}
			operation, _ := item[strings.ToLower(method)].(map[string]any)
			id, _ := operation["operationId"].(string)
			if id == "" || ids[id] || operation["summary"] == "" || operation["responses"] == nil {
				t.Errorf("%s %s is described as %v", method, path, operation)
			}
			ids[id] = true
		}
		parameters, _ := item["parameters"].([]any)
		if want := strings.Count(path, "{"); len(parameters) != want {
			t.Errorf("%s has %d parameters in its path, want %d", path, len(parameters), want)
		}
	}
	resolve(t, document, document)

	components, _ := document["components"].(map[string]any)
	schemas, _ := components["schemas"].(map[string]any)
	for _, name := range []string{"error", "services", "services.new", "services.change", "plugins.rate-limiting", "plugins.rate-limiting.new", "plugins.change", "vaults.env", "keyauth_credentials"} {
		if schemas[name] == nil {
			t.Errorf("there is no schema %s", name)
		}
	}
	text, err := json.Marshal(schemas["plugins.rate-limiting.new"])
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"const":"rate-limiting"`, `"fault_tolerant":{"default":true`, `"redis_host":{"deprecated":true`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the schema of rate-limiting does not have %s: %s", part, text)
		}
	}
	s.do("POST", "/openapi.json", nil, "").is(405)
}

// resolve follows all references of a document.
func resolve(t *testing.T, document map[string]any, v any) {
	t.Helper()
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			resolve(t, document, e)
		}
	case map[string]any:
		for name, e := range v {
			ref, ok := e.(string)
			if name != "$ref" || !ok {
				resolve(t, document, e)
				continue
			}
			var at any = document
			for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
				o, _ := at.(map[string]any)
				at = o[part]
			}
			if at == nil {
				t.Errorf("%s leads nowhere", ref)
			}
		}
	}
}
