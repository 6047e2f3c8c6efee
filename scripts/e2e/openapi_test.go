package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	problems "github.com/pb33f/libopenapi-validator/errors"
)

// checkedClient makes calls of which requests and answers must be as the API describes them.
type checkedClient struct {
	t    *testing.T
	base string
	v    validator.Validator
}

// newCheckedClient reads the description that a control plane gives of its API.
func newCheckedClient(t *testing.T, base string) *checkedClient {
	t.Helper()
	c := &client{t: t, base: base}
	document, err := libopenapi.NewDocument(c.get("/openapi.json").body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := document.BuildV3Model(); err != nil {
		t.Fatalf("the description has no model: %v", err)
	}
	v, errs := validator.NewValidator(document, config.WithSchemaCache(nil)) // it would compile all of them
	if len(errs) > 0 {
		t.Fatalf("the description is not valid: %v", errs)
	}
	checked := &checkedClient{t: t, base: base, v: v}
	if ok, errs := v.ValidateDocument(); !ok {
		checked.tell("the description", errs)
	}
	return checked
}

// do makes a call. A request that is wrong on purpose is not checked.
func (c *checkedClient) do(method, path, body string, status int) []byte {
	c.t.Helper()
	newRequest := func() *http.Request {
		request, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
		if err != nil {
			c.t.Fatal(err)
		}
		if body != "" {
			request.Header.Set("Content-Type", "application/json")
		}
		return request
	}
	answer, err := transport.Do(newRequest())
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if answer.StatusCode != status {
		c.t.Fatalf("%s %s: %d %s, want %d", method, path, answer.StatusCode, got, status)
	}
	if status < 300 {
		if ok, errs := c.v.ValidateHttpRequest(newRequest()); !ok {
			c.tell("request "+method+" "+path+" "+body, errs)
		}
	}
	answer.Body = io.NopCloser(bytes.NewReader(got))
	if ok, errs := c.v.ValidateHttpResponse(newRequest(), answer); !ok {
		c.tell("answer to "+method+" "+path+" "+string(got), errs)
	}
	return got
}

// tell reports what is wrong, as far as one wants to read it.
func (c *checkedClient) tell(what string, errs []*problems.ValidationError) {
	c.t.Helper()
	for _, e := range errs {
		c.t.Errorf("%.300s: %s: %s", what, e.Message, e.Reason)
		for _, s := range e.SchemaValidationErrors[:min(3, len(e.SchemaValidationErrors))] {
			c.t.Errorf("  %s at %s", s.Reason, s.FieldPath)
		}
	}
}

// TestOpenAPI asks for the description of the Admin API, has it judged, and makes calls
// that must be as it says.
func TestOpenAPI(t *testing.T) {
	cluster := newCluster(t, 0)
	c := newCheckedClient(t, cluster.base)
	var endpoints struct{ Data []string }
	if err := json.Unmarshal(c.do("GET", "/endpoints", "", 200), &endpoints); err != nil {
		t.Fatal(err)
	}
	var document struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal(cluster.get("/openapi.json").body, &document); err != nil {
		t.Fatal(err)
	}
	if document.OpenAPI != "3.1.0" || len(document.Paths) != len(endpoints.Data) {
		t.Errorf("OpenAPI %s with %d paths of %d", document.OpenAPI, len(document.Paths), len(endpoints.Data))
	}
	c.do("POST", "/services", `{"name":"s","url":"http://h:80/p","tags":["t"]}`, 201)
	c.do("POST", "/services/s/routes", `{"name":"r","paths":["/a"],"headers":{"x":["1"]}}`, 201)
	c.do("PATCH", "/services/s", `{"retries":3,"path":null}`, 200)
	c.do("PUT", "/services/s2", `{"host":"h"}`, 200)
	c.do("GET", "/services?size=1&tags=t&name_contains=s", "", 200)
	c.do("GET", "/routes/r/service", "", 200)
	c.do("GET", "/services/nope", "", 404)
	c.do("POST", "/services", `{"name":"s","host":"h"}`, 409)
	c.do("POST", "/services", `{"name":5}`, 400)
	c.do("POST", "/consumers", `{"username":"u","custom_id":"1"}`, 201)
	c.do("POST", "/consumers/u/key-auth", `{"key":"k","ttl":100}`, 201)
	c.do("POST", "/consumers/u/jwt", `{}`, 201)
	c.do("POST", "/consumers/u/acls", `{"group":"g"}`, 201)
	c.do("GET", "/consumers/u/key-auth", "", 200)
	c.do("POST", "/upstreams", `{"name":"up","healthchecks":{"active":{"http_path":"/h"}}}`, 201)
	c.do("POST", "/upstreams/up/targets", `{"target":"1.2.3.4:80"}`, 201)
	c.do("GET", "/upstreams/up/health", "", 200)
	c.do("POST", "/plugins", `{"name":"rate-limiting","config":{"minute":5,"redis_host":"h"}}`, 201)
	c.do("POST", "/services/s/plugins", `{"name":"key-auth"}`, 201)
	c.do("POST", "/routes/r/plugins", `{"name":"request-transformer","config":{"add":{"headers":["a:b"]}}}`, 201)
	c.do("GET", "/plugins", "", 200)
	c.do("POST", "/vaults", `{"name":"env","prefix":"my-env","config":{"prefix":"X_"}}`, 201)
	c.do("GET", "/vaults/my-env", "", 200)
	c.do("POST", "/key-sets", `{"name":"ks"}`, 201)
	c.do("POST", "/keys", `{"kid":"a","set":{"name":"ks"},"jwk":"{\"kty\":\"OKP\",\"kid\":\"a\",\"crv\":\"Ed25519\",\"x\":\"eHg\"}"}`, 201)
	c.do("GET", "/", "", 200)
	c.do("GET", "/status", "", 200)
	c.do("GET", "/tags", "", 200)
	c.do("GET", "/schemas/plugins/key-auth", "", 200)
	c.do("POST", "/schemas/services/validate", `{"host":"h"}`, 200)
	c.do("DELETE", "/services/s/routes/r", "", 204)
	c.do("GET", "/clustering/data-planes", "", 200)
	c.do("POST", "/consumer_groups", `{"name":"gold"}`, 201)
	c.do("POST", "/consumer_groups/gold/consumers", `{"consumer":"u"}`, 201)
	c.do("POST", "/consumer_groups/gold/consumers", `{}`, 400)
	c.do("GET", "/consumer_groups/gold", "", 200)
	c.do("GET", "/consumer_groups/gold?list_consumers=false", "", 200)
	c.do("GET", "/consumer_groups", "", 200)
	c.do("GET", "/consumer_groups/gold/consumers?size=1", "", 200)
	c.do("GET", "/consumer_groups/gold/consumers/u", "", 200)
	c.do("GET", "/consumers/u/consumer_groups", "", 200)
	c.do("GET", "/consumers/u/consumer_groups/gold", "", 200)
	c.do("DELETE", "/consumers/u/consumer_groups/gold", "", 204)
	c.do("POST", "/consumers/u/consumer_groups", `{"group":"gold"}`, 201)
	c.do("DELETE", "/consumers/u/consumer_groups", "", 204)
	c.do("POST", "/workspaces", `{"name":"team"}`, 201)
	c.do("DELETE", "/workspaces/team?cascade=true", "", 204)
	c.everyGet(endpoints.Data)
}

// everyGet asks for everything that is there to read, with what the calls before have made,
// and has the answers judged.
func (c *checkedClient) everyGet(paths []string) {
	c.t.Helper()
	names := map[string]string{
		"services": "s", "consumers": "u", "upstreams": "up", "targets": "1.2.3.4:80", "vaults": "my-env", "key_sets": "ks", "consumer_groups": "gold",
		"workspaces": "default", "tags": "t", "name": "key-auth", "keyauth_credentials": "k", "routes": "none",
	}
	asked := 0
	for _, path := range paths {
		parts := strings.Split(path, "/")
		for i, part := range parts {
			if kind, ok := strings.CutPrefix(part, "{"); ok {
				parts[i] = "00000000-0000-4000-8000-000000000009"
				if name := names[strings.TrimSuffix(kind, "}")]; name != "" {
					parts[i] = name
				}
			}
		}
		asked += c.get(strings.Join(parts, "/"))
	}
	if asked < 60 {
		c.t.Errorf("only %d paths could be read", asked)
	}
}

// get has the answer to a GET judged, whatever it is, and counts it when there is one.
func (c *checkedClient) get(path string) (found int) {
	c.t.Helper()
	newRequest := func() *http.Request {
		request, err := http.NewRequestWithContext(c.t.Context(), "GET", c.base+path, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		return request
	}
	answer, err := transport.Do(newRequest())
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if answer.StatusCode == http.StatusMethodNotAllowed {
		return 0 // nothing is there to read
	}
	if answer.StatusCode == http.StatusOK {
		found = 1
	}
	answer.Body = io.NopCloser(bytes.NewReader(got))
	if ok, errs := c.v.ValidateHttpResponse(newRequest(), answer); !ok {
		c.tell(fmt.Sprintf("answer %d to GET %s: %s", answer.StatusCode, path, got), errs)
	}
	return found
}
