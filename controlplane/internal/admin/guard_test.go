package admin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
)

// guarded is an Admin API that asks for tokens.
type guarded struct {
	*testing.T
	api    *admin.API
	tokens *access.Tokens
	log    *audit.Log
}

func newGuarded(t *testing.T, change func(*admin.Options)) *guarded {
	t.Helper()
	kinds := entity.NewKinds(entity.Options{Plugins: plugins.Bundled().Schema, Extra: plugins.Bundled().Entities()})
	st, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "s.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	g := &guarded{T: t}
	if g.log, err = audit.New(audit.Options{Store: st, Kinds: kinds, IgnoreMethods: []string{"GET", "HEAD"}}); err != nil {
		t.Fatal(err)
	}
	if g.tokens, err = access.NewTokens(g.log.Store(), nil); err != nil {
		t.Fatal(err)
	}
	c, err := catalog.New(t.Context(), catalog.Options{Store: g.log.Store(), Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	o := admin.Options{
		Catalog: c, Kinds: kinds, Plugins: plugins.Bundled(), Fleet: &fleet{}, LogLevel: &level{now: "notice"}, Position: st.Position,
		Tokens: g.tokens, EnforceTokens: true, Audit: g.log, History: newHistory(t, st, kinds),
	}
	if change != nil {
		change(&o)
	}
	if g.api, err = admin.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.api.Close)
	return g
}

func (g *guarded) token(r access.Request) string {
	g.Helper()
	if r.Name == "" {
		r.Name = string(r.Role) + r.Workspace
	}
	_, token, err := g.tokens.Create(g.Context(), r)
	if err != nil {
		g.Fatal(err)
	}
	return token
}

func (g *guarded) ask(method, path, token, body string) *httptest.ResponseRecorder {
	g.Helper()
	return g.from("192.0.2.1:1234", method, path, token, body)
}

func (g *guarded) from(address, method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body))
	r.RemoteAddr = address
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Kong-Admin-Token", token)
	}
	w := httptest.NewRecorder()
	g.api.ServeHTTP(w, r)
	return w
}

func TestTokensAreAskedFor(t *testing.T) {
	g := newGuarded(t, nil)
	good := g.token(access.Request{Role: access.Admin})
	revoked := g.token(access.Request{Name: "gone", Role: access.Admin})
	if _, err := g.tokens.Revoke(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"none": "", "wrong": good + "x", "revoked": revoked, "word": "secret"} {
		for i, path := range []string{"/", "/services", "/status", "/admin-tokens", "/nothing", "/schemas/services"} {
			w := g.from(fmt.Sprintf("192.0.2.%d:1", i), "GET", path, token, "")
			if w.Code != 401 || w.Body.String() != `{"message":"Invalid RBAC credentials"}` || w.Header().Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s: GET %s: %d %s", name, path, w.Code, w.Body)
			}
		}
	}
	if w := g.ask("GET", "/nothing", good, ""); w.Code != 404 {
		t.Errorf("a path that is not there: %d", w.Code)
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/services", nil)
	r.Header.Set("Authorization", "bearer "+good)
	w := httptest.NewRecorder()
	g.api.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Errorf("as a bearer: %d %s", w.Code, w.Body)
	}
	r = httptest.NewRequestWithContext(t.Context(), "OPTIONS", "/services", nil)
	r.Header.Set("Origin", "https://manager.example")
	r.Header.Set("Access-Control-Request-Headers", "Kong-Admin-Token")
	w = httptest.NewRecorder()
	g.api.ServeHTTP(w, r)
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Headers") != "Kong-Admin-Token" || w.Header().Get("Access-Control-Allow-Origin") != "https://manager.example" {
		t.Errorf("a preflight: %d %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	g.api.Status().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/status/ready", nil))
	if w.Code != 200 {
		t.Errorf("the status listener: %d", w.Code)
	}
}

func TestAnotherHeader(t *testing.T) {
	g := newGuarded(t, func(o *admin.Options) { o.TokenHeader = "X-Token" })
	token := g.token(access.Request{Role: access.ReadOnly})
	if w := g.ask("GET", "/", token, ""); w.Code != 401 {
		t.Errorf("in Kong-Admin-Token: %d", w.Code)
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.Header.Set("X-Token", token)
	w := httptest.NewRecorder()
	g.api.ServeHTTP(w, r)
	if w.Code != 200 {
		t.Errorf("in X-Token: %d", w.Code)
	}
}

func TestRolesByMethodAndPath(t *testing.T) {
	g := newGuarded(t, nil)
	tokens := map[string]string{
		"r": g.token(access.Request{Role: access.ReadOnly}), "e": g.token(access.Request{Role: access.Editor}), "a": g.token(access.Request{Role: access.Admin}),
		"d": g.token(access.Request{Role: access.Editor, Workspace: "default"}), "o": g.token(access.Request{Role: access.Admin, Workspace: "other"}),
	}
	for _, test := range []struct {
		method, path, body, may string
	}{
		{"GET", "/", "", "reado"},
		{"GET", "/status", "", "reado"},
		{"GET", "/schemas/services", "", "reado"},
		{"POST", "/schemas/services/validate", `{"host":"h"}`, "reado"},
		{"GET", "/plugins/enabled", "", "reado"},
		{"GET", "/services", "", "read"},
		{"HEAD", "/services", "", "read"},
		{"POST", "/services", `{"host":"h"}`, "ead"},
		{"PUT", "/services/x", `{"host":"h"}`, "ead"},
		{"PATCH", "/services/x", `{"host":"h"}`, "ead"},
		{"DELETE", "/services/x", "", "ead"},
		{"DELETE", "/services", "", "ead"}, // who may is then told 405
		{"GET", "/default/services", "", "read"},
		{"GET", "/other/services", "", "reao"},
		{"POST", "/other/services", `{"host":"h"}`, "eao"},
		{"GET", "/other/workspaces/other", "", "reao"},
		{"GET", "/other/workspaces/default", "", "rea"},
		{"PATCH", "/other/workspaces/other", `{}`, "a"},
		{"GET", "/workspaces", "", "rea"},
		{"POST", "/workspaces", `{"name":"schemas"}`, "a"},
		{"GET", "/ca_certificates", "", "read"},
		{"POST", "/ca_certificates", `{}`, "ea"}, // they belong to all workspaces
		{"POST", "/other/ca_certificates", `{}`, "ea"},
		{"POST", "/other/config", `{}`, "ea"},
		{"GET", "/config", "", "rea"},
		{"POST", "/config", `{"_format_version":"3.0"}`, "ea"},
		{"DELETE", "/cache", "", "ea"},
		{"GET", "/clustering/data-planes", "", "rea"},
		{"GET", "/debug/node/log-level", "", "rea"},
		{"PUT", "/debug/node/log-level/notice", "", "a"},
		{"GET", "/admin-tokens", "", "a"},
		{"POST", "/admin-tokens", `{}`, "a"},
		{"DELETE", "/admin-tokens/x", "", "a"},
		{"GET", "/audit/requests", "", "a"},
		{"GET", "/audit/objects", "", "a"},
	} {
		may := ""
		for _, who := range "reado" {
			w := g.ask(test.method, test.path, tokens[string(who)], test.body)
			switch {
			case w.Code == 401:
				t.Errorf("%c is not known", who)
			case w.Code != 403:
				may += string(who)
			case test.method != "HEAD" && !strings.Contains(w.Body.String(), "you do not have permissions to "):
				t.Errorf("%c %s %s: %s", who, test.method, test.path, w.Body)
			}
		}
		if may != test.may {
			t.Errorf("%s %s: %q may, want %q", test.method, test.path, may, test.may)
		}
	}
	w := g.ask("DELETE", "/services/x", tokens["r"], "")
	if want := `{"message":"read-only, you do not have permissions to delete this resource"}`; w.Body.String() != want {
		t.Errorf("got %s", w.Body)
	}
}

// TestEveryEndpointHasAnArea keeps the list of what is not entities in sight: a new path
// at the top is writable by editors unless it is put elsewhere.
func TestEveryEndpointHasAnArea(t *testing.T) {
	g := newGuarded(t, nil)
	admin := g.token(access.Request{Role: access.Admin})
	editor := g.token(access.Request{Role: access.Editor})
	var endpoints struct{ Data []string }
	into(t, g.ask("GET", "/endpoints", admin, ""), &endpoints)
	if len(endpoints.Data) < 50 {
		t.Fatalf("%d endpoints", len(endpoints.Data))
	}
	for _, pattern := range endpoints.Data {
		path := strings.NewReplacer("{", "", "}", "").Replace(pattern)
		secured := strings.HasPrefix(pattern, "/admin-tokens") || strings.HasPrefix(pattern, "/audit")
		if got := g.ask("GET", path, editor, "").Code == 403; got != secured {
			t.Errorf("GET %s by an editor: refused is %v", pattern, got)
		}
	}
}

func into(t *testing.T, w *httptest.ResponseRecorder, v any) {
	t.Helper()
	r := &response{t: t, body: w.Body.String()}
	r.into(v)
}

func TestTokensByAPI(t *testing.T) {
	g := newGuarded(t, nil)
	first := g.token(access.Request{Name: "first", Role: access.Admin})
	for body, want := range map[string]string{
		`{"role":"admin"}`:           `"name":"required field missing"`,
		`{"name":"x"}`:               `"role":"required field missing"`,
		`{"name":"x","role":"root"}`: `"role":"expected one of: read-only, editor, admin"`,
		`{"name":"x","role":"admin","workspace":"nowhere"}`:  `"workspace":"there is no workspace 'nowhere'"`,
		`{"name":"x","role":"admin","ttl":0}`:                `"ttl":"value must be greater than 0"`,
		`{"name":"x","role":"admin","ttl":1,"expires_at":9}`: `only one or none of these fields must be set`,
		`{"name":"x","role":"admin","expires_at":9}`:         `"expires_at":"must be in the future"`,
		`{"name":"a b","role":"admin"}`:                      `"name":"expected letters`,
		`{"name":"x","role":"admin","colour":"red"}`:         `"colour":"unknown field"`,
	} {
		if w := g.ask("POST", "/admin-tokens", first, body); w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	w := g.ask("POST", "/admin-tokens", first, `{"name":"ci","role":"editor","workspace":"default","ttl":3600,"comment":"pipeline"}`)
	var made map[string]any
	into(t, w, &made)
	token, _ := made["token"].(string)
	if w.Code != 201 || made["created_by"] != "first" || made["workspace"] != "default" || made["expires_at"] == nil || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := g.ask("POST", "/admin-tokens", first, `{"name":"ci","role":"editor"}`); w.Code != 409 || !strings.Contains(w.Body.String(), `UNIQUE violation`) {
		t.Errorf("a name twice: %d %s", w.Code, w.Body)
	}
	if w := g.ask("POST", "/services", token, `{"host":"h"}`); w.Code != 201 {
		t.Errorf("the new token: %d %s", w.Code, w.Body)
	}
	for _, path := range []string{"/admin-tokens", "/admin-tokens/ci", "/audit/objects", "/audit/requests"} {
		if w := g.ask("GET", path, first, ""); w.Code != 200 || strings.Contains(w.Body.String(), token) || strings.Contains(w.Body.String(), "hash\":") && strings.Contains(path, "tokens") {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := g.ask("GET", "/admin-tokens/none", first, ""); w.Code != 404 {
		t.Errorf("a token that is not there: %d", w.Code)
	}
	if w := g.ask("DELETE", "/admin-tokens/first", first, ""); w.Code != 400 || !strings.Contains(w.Body.String(), "last token") {
		t.Errorf("the last admin: %d %s", w.Code, w.Body)
	}
	for range 2 {
		if w := g.ask("DELETE", "/admin-tokens/ci", first, ""); w.Code != 204 {
			t.Errorf("revoke: %d %s", w.Code, w.Body)
		}
	}
	if w := g.ask("GET", "/services", token, ""); w.Code != 401 {
		t.Errorf("the revoked token: %d", w.Code)
	}
}

func TestExpiredTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, nil)
		token := g.token(access.Request{Name: "short", Role: access.Admin, ExpiresAt: time.Now().Add(time.Hour)})
		if w := g.ask("GET", "/services", token, ""); w.Code != 200 {
			t.Fatalf("before: %d", w.Code)
		}
		time.Sleep(time.Hour)
		if w := g.ask("GET", "/services", token, ""); w.Code != 401 || !strings.Contains(w.Body.String(), "Invalid RBAC credentials") {
			t.Errorf("after: %d %s", w.Code, w.Body)
		}
	})
}

func TestGuessingIsSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, nil)
		good := g.token(access.Request{Role: access.Admin})
		start := time.Now()
		for range 5 {
			g.ask("GET", "/", "guess", "")
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the first five took %v", d)
		}
		for range 3 {
			g.ask("GET", "/", "guess", "")
		}
		if d := time.Since(start); d != 1750*time.Millisecond {
			t.Errorf("the next three took %v", d)
		}
		start = time.Now()
		if w := g.ask("GET", "/", "", ""); w.Code != 401 || time.Since(start) != 0 {
			t.Errorf("without a token: %d after %v", w.Code, time.Since(start))
		}
		if w := g.ask("GET", "/", good, ""); w.Code != 200 || time.Since(start) != 0 {
			t.Errorf("a good token: %d after %v", w.Code, time.Since(start))
		}
		if w := g.from("192.0.2.2:1", "GET", "/", "guess", ""); w.Code != 401 || time.Since(start) != 0 {
			t.Errorf("another address: %d after %v", w.Code, time.Since(start))
		}
		codes := make(chan int, 20)
		var wait sync.WaitGroup
		for range 20 {
			wait.Go(func() { codes <- g.ask("GET", "/", "guess", "").Code })
		}
		wait.Wait()
		close(codes)
		count := map[int]int{}
		for code := range codes {
			count[code]++
		}
		if count[401] != 4 || count[429] != 16 {
			t.Errorf("of 20 at once: %v", count)
		}
	})
}

func TestAuditOverHTTP(t *testing.T) {
	g := newGuarded(t, nil)
	adminToken := g.token(access.Request{Name: "boss", Role: access.Admin})
	reader := g.token(access.Request{Name: "reader", Role: access.ReadOnly})
	written := g.ask("POST", "/services", adminToken, `{"name":"one","host":"h"}`)
	g.ask("GET", "/services", adminToken, "")
	g.ask("POST", "/services", adminToken, `{"name":"one"}`)
	g.ask("POST", "/services", reader, `{"name":"two","host":"h"}`)
	g.ask("GET", "/services", "guess", "")
	if err := g.log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var requests struct {
		Data  []map[string]any
		Total int
		Next  any
	}
	into(t, g.ask("GET", "/audit/requests", adminToken, ""), &requests)
	var lines []string
	for _, r := range requests.Data {
		lines = append(lines, fmt.Sprintf("%v %v %v %v %v %v", r["method"], r["path"], r["status"], r["rbac_user_name"], r["client_ip"], r["changes"]))
	}
	want := []string{
		"GET /services 401 <nil> 192.0.2.1 0", "POST /services 403 reader 192.0.2.1 0", "POST /services 400 boss 192.0.2.1 0",
		"POST /services 201 boss 192.0.2.1 1",
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") || requests.Total != 4 || requests.Next != nil {
		t.Errorf("got %d:\n%s", requests.Total, strings.Join(lines, "\n"))
	}
	if r := requests.Data[3]; fmt.Sprint(r["revision"]) != written.Header().Get("X-Sluice-Revision") || r["request_id"] != written.Header().Get("X-Kong-Admin-Request-Id") {
		t.Errorf("%v is not of revision %s", r, written.Header().Get("X-Sluice-Revision"))
	}
	var objects struct {
		Data   []map[string]any
		Total  int
		Next   string
		Offset string
	}
	into(t, g.ask("GET", "/audit/objects?size=1&rbac_user_name=boss", adminToken, ""), &objects)
	if len(objects.Data) != 1 || objects.Data[0]["dao_name"] != "services" || objects.Data[0]["entity_name"] != "one" || objects.Data[0]["operation"] != "create" {
		t.Errorf("got %v", objects)
	}
	into(t, g.ask("GET", "/audit/objects?size=1", adminToken, ""), &objects)
	if objects.Next == "" || g.ask("GET", objects.Next, adminToken, "").Code != http.StatusOK {
		t.Errorf("the next page is %q", objects.Next)
	}
	for _, bad := range []string{"?size=0", "?offset=x", "?before=never", "?after=-1", "?colour=red"} {
		if w := g.ask("GET", "/audit/requests"+bad, adminToken, ""); w.Code != 400 {
			t.Errorf("%s: %d %s", bad, w.Code, w.Body)
		}
	}
}

// TestNotEnforced lets everybody in, and tells who it was.
func TestNotEnforced(t *testing.T) {
	g := newGuarded(t, func(o *admin.Options) { o.EnforceTokens = false })
	token := g.token(access.Request{Name: "ci", Role: access.ReadOnly})
	for name, want := range map[string]string{"": "<nil>", token: "ci", token + "x": "<nil>"} {
		w := g.ask("POST", "/consumers", name, fmt.Sprintf(`{"username":"c%d"}`, len(name)))
		if w.Code != 201 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		page, err := g.log.Objects(audit.Query{Equal: map[string]string{"request_id": w.Header().Get("X-Kong-Admin-Request-Id")}})
		if err != nil || len(page.Lines) != 1 || fmt.Sprint(page.Lines[0]["rbac_user_name"]) != want {
			t.Errorf("%v %v, want %s", page.Lines, err, want)
		}
	}
}

// What a token is told that it may do is what it may do.
func TestWhoami(t *testing.T) {
	g := newGuarded(t, nil)
	for name, r := range map[string]access.Request{
		"reader": {Role: access.ReadOnly}, "editor": {Role: access.Editor}, "admin": {Role: access.Admin},
		"bound": {Role: access.Editor, Workspace: "default"}, "elsewhere": {Role: access.Admin, Workspace: "other"},
	} {
		r.Name = name
		token := g.token(r)
		var me struct {
			Enforced   bool
			Name, Role string
			Workspace  *string
			ExpiresAt  *int64 `json:"expires_at"`
			May        map[string][]string
		}
		w := g.ask("GET", "/whoami", token, "")
		into(t, w, &me)
		if w.Code != 200 || !me.Enforced || me.Name != name || me.Role != string(r.Role) || (me.Workspace == nil) != (r.Workspace == "") || me.ExpiresAt != nil || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		for _, call := range []struct{ area, action, method, path, body string }{
			{"entities", "read", "GET", "/services", ""},
			{"entities", "create", "POST", "/services", `{"host":"h"}`},
			{"entities", "update", "PATCH", "/services/x", `{"host":"h"}`},
			{"entities", "delete", "DELETE", "/services/x", ""},
			{"configuration", "create", "POST", "/config", `{"_format_version":"3.0"}`},
			{"operations", "read", "GET", "/clustering/data-planes", ""},
			{"workspaces", "create", "POST", "/workspaces", `{"name":"schemas"}`},
			{"security", "read", "GET", "/admin-tokens", ""},
		} {
			refused := g.ask(call.method, call.path, token, call.body).Code == 403
			if told := slices.Contains(me.May[call.area], call.action); told == refused {
				t.Errorf("%s: may %s %s is %v, and %s %s is refused: %v", name, call.action, call.area, told, call.method, call.path, refused)
			}
		}
	}
	if w := g.ask("GET", "/whoami", "", ""); w.Code != 401 {
		t.Errorf("nobody: %d %s", w.Code, w.Body)
	}
	open := newGuarded(t, func(o *admin.Options) { o.EnforceTokens = false })
	if w := open.ask("GET", "/whoami", "", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"security":["read","create","update","delete"]`) || !strings.Contains(w.Body.String(), `"enforced":false`) {
		t.Errorf("not enforced: %d %s", w.Code, w.Body)
	}
}
