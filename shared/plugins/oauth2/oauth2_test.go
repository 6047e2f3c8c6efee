package oauth2_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/oauth2"
	"github.com/sluice-gateway/sluice/shared/referencetest"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

const (
	bobID    = "00000000-0000-4000-8000-0000000000b0"
	anonID   = "00000000-0000-4000-8000-0000000000a0"
	appID    = "00000000-0000-4000-8000-00000000a110"
	publicID = "00000000-0000-4000-8000-00000000a111"
	hashedID = "00000000-0000-4000-8000-00000000a112"
	otherID  = "00000000-0000-4000-8000-00000000a113"
	bareID   = "00000000-0000-4000-8000-00000000a114"
	// cheapHash is one of "secret" with few iterations.
	cheapHash = "$pbkdf2-sha512$i=10,l=32$MDEyMzQ1Njc4OWFiY2RlZg$CT2WaqiwCp/TOhqi4epOk/YhKIMQHkXaak6rx4jz4h8"
	callback  = "http://cb.example/in"
)

var service = &entity.Service{ID: "00000000-0000-4000-8000-000000005e41", Name: "s"}

func newPlane(t *testing.T) *pdktest.Plane {
	t.Helper()
	client := func(id, name string, o schema.Object) pdktest.Entity {
		o["id"], o["name"], o["client_id"], o["consumer"] = id, name, name, schema.Object{"id": bobID}
		if o["redirect_uris"] == nil {
			o["redirect_uris"] = []any{callback, "http://cb.example/two?x=1"}
		}
		return pdktest.Of(t, oauth2.Credentials, o)
	}
	bare := pdktest.Of(t, oauth2.Credentials, schema.Object{"id": bareID, "name": "bare", "client_id": "bare", "client_secret": "s", "consumer": schema.Object{"id": bobID}})
	return pdktest.NewPlane(t, oauth2.Plugin,
		pdktest.Of(t, entity.Consumers, schema.Object{"id": bobID, "username": "bob", "custom_id": "b"}),
		pdktest.Of(t, entity.Consumers, schema.Object{"id": anonID, "username": "anon"}),
		client(appID, "app", schema.Object{"client_secret": "secret"}),
		client(publicID, "pub", schema.Object{"client_type": "public"}),
		client(hashedID, "hashed", schema.Object{"client_secret": cheapHash, "hash_secret": true}),
		client(otherID, "other", schema.Object{"client_secret": "secret"}),
		bare,
	)
}

const everything = `"provision_key":"pk","enable_authorization_code":true,"enable_implicit_grant":true,"enable_client_credentials":true,"enable_password_grant":true,"scopes":["email","phone"],"accept_http_if_already_terminated":true`

func answers(*pdk.Exchange) pdktest.Response { return pdktest.Response{} }

type server struct {
	*pdktest.Plugin
	t *testing.T
}

func build(t *testing.T, plane *pdktest.Plane, config, id string) server {
	t.Helper()
	if config != "" {
		config = "," + config
	}
	return server{pdktest.Build(t, pdktest.Options{
		Plugin: oauth2.Plugin, Config: "{" + everything + config + "}", View: plane, Node: pdktest.NewNode(t).WithControl(plane), Service: service, ID: id,
	}), t}
}

// post sends a form over HTTPS and returns the answer.
func (s server) post(path, form string, header ...[2]string) (*pdktest.Result, map[string]any) {
	s.t.Helper()
	x := s.NewExchange(pdktest.Request{
		Method: "POST", Path: path, Body: form, At: time.Now(),
		Header: append([][2]string{{"Content-Type", "application/x-www-form-urlencoded"}}, header...),
	})
	x.Request.Scheme = "https"
	return s.run(x)
}

func (s server) run(x *pdk.Exchange) (*pdktest.Result, map[string]any) {
	s.t.Helper()
	r := pdktest.Run(s.t, x, []*pdktest.Plugin{s.Plugin}, answers)
	if r.Err != nil {
		s.t.Fatal(r.Err)
	}
	var answer map[string]any
	if r.Body != "" {
		if err := json.Unmarshal([]byte(r.Body), &answer); err != nil {
			s.t.Fatalf("%d %q: %v", r.Status, r.Body, err)
		}
	}
	return r, answer
}

// use calls the service with a token.
func (s server) use(token string) *pdktest.Result {
	s.t.Helper()
	r, _ := s.run(s.NewExchange(pdktest.Request{At: time.Now(), Header: [][2]string{{"Authorization", "Bearer " + token}}}))
	return r
}

func text(answer map[string]any, name string) string {
	s, _ := answer[name].(string)
	return s
}

// code has a user agree, and returns the code.
func (s server) code(form string) string {
	s.t.Helper()
	r, answer := s.post("/oauth2/authorize", "response_type=code&provision_key=pk&authenticated_userid=u1&"+form)
	u, err := url.Parse(text(answer, "redirect_uri"))
	if err != nil || r.Status != 200 || u.Query().Get("code") == "" {
		s.t.Fatalf("%d %s", r.Status, r.Body)
	}
	return u.Query().Get("code")
}

func TestSchemas(t *testing.T) {
	schematest.AsRecorded(t, oauth2.Plugin.Schema, "plugins/oauth2.json")
	schematest.ConfigAgrees(t, oauth2.Plugin.Schema, oauth2.Config{})
	for _, d := range oauth2.Plugin.Entities {
		schematest.AsRecorded(t, d.Schema, "entities/"+d.Kind()+".json")
	}
	schematest.Agrees(t, oauth2.Credentials.Schema, oauth2.Credential{})
	schematest.Agrees(t, oauth2.Tokens.Schema, oauth2.Token{}, "expires_at")
	schematest.Agrees(t, oauth2.Codes.Schema, oauth2.Code{}, "expires_at")
}

func TestAuthorizationCode(t *testing.T) {
	plane := newPlane(t)
	s := build(t, plane, "", "")
	r, answer := s.post("/x/oauth2/authorize/", "response_type=code&provision_key=pk&authenticated_userid=u+1&client_id=app&scope=email+phone&state=a%26b&redirect_uri="+url.QueryEscape("http://cb.example/two?x=1"))
	if r.Status != 200 || r.Get("Cache-Control") != "no-store" || r.Get("Pragma") != "no-cache" || len(answer) != 1 {
		t.Fatalf("%d %s %v", r.Status, r.Body, r.Header)
	}
	u, err := url.Parse(text(answer, "redirect_uri"))
	if err != nil || u.Query().Get("x") != "1" || u.Query().Get("state") != "a&b" || u.Path != "/two" {
		t.Fatalf("redirect to %v, %v", answer, err)
	}
	exchange := "grant_type=authorization_code&client_id=app&client_secret=secret&code=" + u.Query().Get("code")
	if _, answer := s.post("/oauth2/token", strings.Replace(exchange, "=app", "=other", 1)); text(answer, "error_description") != "Invalid code" {
		t.Errorf("another client's code: %v", answer)
	}
	r, answer = s.post("/oauth2/token", exchange+"&state=st")
	if r.Status != 200 || answer["token_type"] != "bearer" || answer["expires_in"] != 7200.0 || text(answer, "refresh_token") == "" || answer["state"] != "st" || r.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	used := s.use(text(answer, "access_token"))
	for name, want := range map[string]string{
		"X-Consumer-ID": bobID, "X-Consumer-Username": "bob", "X-Consumer-Custom-ID": "b", "X-Credential-Identifier": "app",
		"X-Authenticated-Scope": "email phone", "X-Authenticated-UserId": "u 1", "X-Anonymous-Consumer": "",
	} {
		if got := used.Upstream.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if r, answer := s.post("/oauth2/token", exchange); r.Status != 400 || answer["error"] != "invalid_request" || answer["error_description"] != "Invalid code" {
		t.Errorf("a code twice: %d %s", r.Status, r.Body)
	}
	if n := len(plane.Entities(oauth2.Codes)); n != 0 {
		t.Errorf("%d codes are left", n)
	}
}

func TestCodesOfOthers(t *testing.T) {
	plane := newPlane(t)
	s := build(t, plane, "", "")
	token := "grant_type=authorization_code&client_id=app&client_secret=secret&code="
	code := s.code("client_id=app")
	elsewhere := build(t, plane, "", "")
	elsewhere.Plugin = pdktest.Build(t, pdktest.Options{
		Plugin: oauth2.Plugin, Config: "{" + everything + "}", View: plane, Node: pdktest.NewNode(t).WithControl(plane),
		Service: &entity.Service{ID: "00000000-0000-4000-8000-000000005e42"},
	})
	if _, answer := elsewhere.post("/oauth2/token", token+code); answer["error_description"] != "Invalid code" {
		t.Errorf("another service's code: %v", answer)
	}
	global := build(t, plane, `"global_credentials":true`, "00000000-0000-4000-8000-000000000011")
	code = global.code("client_id=app")
	otherPlugin := build(t, plane, `"global_credentials":true`, "00000000-0000-4000-8000-000000000012")
	if _, answer := otherPlugin.post("/oauth2/token", token+code); answer["error_description"] != "Invalid code" {
		t.Errorf("another plugin's code: %v", answer)
	}
	_, answer := global.post("/oauth2/token", token+code)
	if r := otherPlugin.use(text(answer, "access_token")); r.Status != 200 {
		t.Errorf("a global token elsewhere: %d %s", r.Status, r.Body)
	}
	if r := s.use(text(answer, "access_token")); r.Status != 401 || !strings.Contains(r.Body, "without 'global_credentials'") {
		t.Errorf("a global token where they are not: %d %s", r.Status, r.Body)
	}
	// Codes end.
	x := s.NewExchange(pdktest.Request{
		Method: "POST", Path: "/oauth2/token", Body: token + s.code("client_id=app"), At: time.Now().Add(301 * time.Second),
		Header: [][2]string{{"Content-Type", "application/x-www-form-urlencoded"}},
	})
	x.Request.Scheme = "https"
	if _, answer := s.run(x); answer["error_description"] != "Invalid code" {
		t.Errorf("an old code: %v", answer)
	}
}

func TestPKCE(t *testing.T) {
	verifier := strings.Repeat("v", 50)
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.URLEncoding.EncodeToString(sum[:]) // with padding
	for _, test := range []struct {
		name, config, ask, exchange string
		askError, error             string
	}{
		{name: "public", ask: "client_id=pub&code_challenge=" + challenge, exchange: "client_id=pub&code_verifier=" + verifier},
		{name: "method in small letters", ask: "client_id=pub&code_challenge_method=s256&code_challenge=" + challenge, exchange: "client_id=pub&code_verifier=" + verifier},
		{name: "public without challenge", ask: "client_id=pub", askError: "code_challenge is required for public clients"},
		{name: "public without pkce", config: `"pkce":"none"`, ask: "client_id=pub", exchange: "client_id=pub"},
		{name: "confidential, lax", ask: "client_id=app", exchange: "client_id=app&client_secret=secret"},
		{name: "confidential, strict", config: `"pkce":"strict"`, ask: "client_id=app", askError: "code_challenge is required for confidential clients"},
		{name: "confidential by choice", ask: "client_id=app&code_challenge=" + challenge, exchange: "client_id=app&client_secret=secret", error: "code_verifier is required for PKCE authorization requests"},
		{name: "method without challenge", ask: "client_id=app&code_challenge_method=S256", askError: "code_challenge is required when code_method is present"},
		{name: "plain", ask: "client_id=app&code_challenge_method=plain&code_challenge=x", askError: "code_challenge_method is not supported, must be S256"},
		{name: "wrong verifier", ask: "client_id=pub&code_challenge=" + challenge, exchange: "client_id=pub&code_verifier=" + strings.Repeat("w", 50), error: "Invalid code"},
		{name: "short verifier", ask: "client_id=pub&code_challenge=" + challenge, exchange: "client_id=pub&code_verifier=v", error: "code_verifier must be between 43 and 128 characters"},
		{name: "two verifiers", ask: "client_id=pub&code_challenge=" + challenge, exchange: "client_id=pub&code_verifier=a&code_verifier=b", error: "code_verifier is not a string"},
		{name: "public with a secret", ask: "client_id=pub&code_challenge=" + challenge, exchange: "client_id=pub&client_secret=x&code_verifier=" + verifier, error: "client_secret is disallowed for public clients"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := build(t, newPlane(t), test.config, "")
			r, answer := s.post("/oauth2/authorize", "response_type=code&provision_key=pk&authenticated_userid=u&"+test.ask)
			u, err := url.Parse(text(answer, "redirect_uri"))
			if err != nil {
				t.Fatal(err)
			}
			if got := u.Query().Get("error_description"); got != test.askError || (r.Status != 200) != (test.askError != "") {
				t.Fatalf("asking: %d %q, want %q", r.Status, got, test.askError)
			}
			if test.askError != "" {
				return
			}
			r, answer = s.post("/oauth2/token", "grant_type=authorization_code&code="+u.Query().Get("code")+"&"+test.exchange)
			if text(answer, "error_description") != test.error || (r.Status == 200) != (test.error == "") {
				t.Errorf("exchanging: %d %s, want %q", r.Status, r.Body, test.error)
			}
		})
	}
}

func TestImplicit(t *testing.T) {
	s := build(t, newPlane(t), "", "")
	_, answer := s.post("/oauth2/authorize", "response_type=token&provision_key=pk&authenticated_userid=u&client_id=app&state=st")
	base, fragment, _ := strings.Cut(text(answer, "redirect_uri"), "#")
	args, err := url.ParseQuery(fragment)
	if err != nil || base != callback || args.Get("token_type") != "bearer" || args.Get("expires_in") != "7200" || args.Get("state") != "st" || args.Has("refresh_token") {
		t.Fatalf("%v %v", answer, err)
	}
	if r := s.use(args.Get("access_token")); r.Status != 200 {
		t.Errorf("%d %s", r.Status, r.Body)
	}
}

func TestClientCredentials(t *testing.T) {
	basic := func(text string) [2]string {
		return [2]string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(text))}
	}
	for _, test := range []struct {
		name, form string
		header     [2]string
		status     int
		error      string
	}{
		{"parameters", "client_id=app&client_secret=secret", [2]string{"x", "y"}, 200, ""},
		{"header", "", basic("app:secret"), 200, ""},
		{"scheme in small letters", "", [2]string{"Authorization", "basic " + base64.StdEncoding.EncodeToString([]byte("app:secret"))}, 200, ""},
		{"hashed", "client_id=hashed&client_secret=secret", [2]string{"x", "y"}, 200, ""},
		{"without redirect_uris", "client_id=bare&client_secret=s", [2]string{"x", "y"}, 200, ""},
		{"hashed, wrong", "client_id=hashed&client_secret=Secret", [2]string{"x", "y"}, 400, "invalid_client"},
		{"wrong secret", "client_id=app&client_secret=x", [2]string{"x", "y"}, 400, "invalid_client"},
		{"no secret", "client_id=app", [2]string{"x", "y"}, 400, "invalid_client"},
		{"wrong secret in the header", "", basic("app:x"), 401, "invalid_client"},
		{"unknown", "client_id=nobody&client_secret=x", [2]string{"x", "y"}, 400, "invalid_client"},
		{"nothing", "", [2]string{"x", "y"}, 400, "invalid_client"},
		{"scope", "client_id=app&client_secret=secret&scope=email", [2]string{"x", "y"}, 200, ""},
		{"wrong scope", "client_id=app&client_secret=secret&scope=email+all", [2]string{"x", "y"}, 400, "invalid_scope"},
		{"two scopes", "client_id=app&client_secret=secret&scope=email&scope=phone", [2]string{"x", "y"}, 400, "invalid_scope"},
		{"user without key", "client_id=app&client_secret=secret&authenticated_userid=u", [2]string{"x", "y"}, 400, "invalid_provision_key"},
		{"user", "client_id=app&client_secret=secret&authenticated_userid=u&provision_key=pk", [2]string{"x", "y"}, 200, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := build(t, newPlane(t), "", "")
			r, answer := s.post("/oauth2/token", "grant_type=client_credentials&"+test.form, test.header)
			if r.Status != test.status || text(answer, "error") != test.error || answer["refresh_token"] != nil {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
			want := ""
			if test.status == 401 {
				want = `Basic realm="OAuth2.0"`
			}
			if got := r.Get("WWW-Authenticate"); got != want {
				t.Errorf("challenge %q", got)
			}
			if test.status == 200 {
				if used := s.use(text(answer, "access_token")); used.Status != 200 {
					t.Errorf("using it: %d %s", used.Status, used.Body)
				}
			}
		})
	}
}

func TestPasswordAndRefresh(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		config := `"token_expiration":5`
		if reuse {
			config += `,"reuse_refresh_token":true`
		}
		plane := newPlane(t)
		s := build(t, plane, config, "")
		form := "grant_type=password&client_id=app&client_secret=secret&provision_key=pk&scope=email&authenticated_userid=u"
		for _, bad := range [][2]string{{"=pk", "=no"}, {"authenticated_userid=u", "authenticated_userid=+"}, {"scope=email", "scope=x"}} {
			if r, answer := s.post("/oauth2/token", strings.Replace(form, bad[0], bad[1], 1)); r.Status != 400 || text(answer, "error") == "" {
				t.Errorf("%v: %d %s", bad, r.Status, r.Body)
			}
		}
		_, first := s.post("/oauth2/token", form)
		refresh := "grant_type=refresh_token&client_id=app&client_secret=secret&refresh_token=" + text(first, "refresh_token")
		if r, _ := s.post("/oauth2/token", strings.Replace(refresh, "=app", "=other", 1)); !strings.Contains(r.Body, "invalid_client") {
			t.Errorf("another client's refresh token: %d %s", r.Status, r.Body)
		}
		r, second := s.post("/oauth2/token", refresh)
		if r.Status != 200 || second["access_token"] == first["access_token"] || (second["refresh_token"] == first["refresh_token"]) != reuse {
			t.Fatalf("reuse %v: %s", reuse, r.Body)
		}
		if r := s.use(text(first, "access_token")); r.Status != 401 {
			t.Errorf("the token before: %d", r.Status)
		}
		if r := s.use(text(second, "access_token")); r.Status != 200 || r.Upstream.Get("X-Authenticated-Scope") != "email" {
			t.Errorf("the new token: %d", r.Status)
		}
		if r, _ := s.post("/oauth2/token", refresh); (r.Status == 200) != reuse {
			t.Errorf("reuse %v, a second time: %d %s", reuse, r.Status, r.Body)
		}
		narrow := build(t, plane, config+`,"scopes":["phone"]`, "")
		_, third := s.post("/oauth2/token", form)
		if r, _ := narrow.post("/oauth2/token", "grant_type=refresh_token&client_id=app&client_secret=secret&refresh_token="+text(third, "refresh_token")); !strings.Contains(r.Body, "Scope mismatch") {
			t.Errorf("a scope that is no more: %d %s", r.Status, r.Body)
		}
		x := s.NewExchange(pdktest.Request{At: time.Now().Add(7 * time.Second), Header: [][2]string{{"Authorization", "Bearer " + text(third, "access_token")}}})
		if r, _ := s.run(x); r.Status != 401 {
			t.Errorf("an old token: %d", r.Status)
		}
	}
}

func TestTokensForever(t *testing.T) {
	s := build(t, newPlane(t), `"token_expiration":0`, "")
	r, answer := s.post("/oauth2/token", "grant_type=password&client_id=app&client_secret=secret&provision_key=pk&authenticated_userid=u")
	if answer["expires_in"] != nil || answer["refresh_token"] != nil {
		t.Errorf("%s", r.Body)
	}
	x := s.NewExchange(pdktest.Request{At: time.Now().Add(10000 * time.Hour), Header: [][2]string{{"Authorization", "token " + text(answer, "access_token")}}})
	if r, _ := s.run(x); r.Status != 200 {
		t.Errorf("%d %s", r.Status, r.Body)
	}
}

func TestEndpointRefusals(t *testing.T) {
	good := "response_type=code&provision_key=pk&authenticated_userid=u&client_id=app"
	for _, test := range []struct {
		name, config, path, form string
		error, description       string
		redirected               bool
	}{
		{name: "provision key", path: "authorize", form: strings.Replace(good, "=pk", "=x", 1), error: "invalid_provision_key", description: "Invalid provision_key"},
		{name: "no user", path: "authorize", form: strings.Replace(good, "=u", "=", 1), error: "invalid_authenticated_userid", description: "Missing authenticated_userid parameter"},
		{name: "no client", path: "authorize", form: strings.Replace(good, "=app", "=nobody", 1), error: "invalid_client", description: "Invalid client authentication"},
		{name: "client without redirect_uris", path: "authorize", form: strings.Replace(good, "=app", "=bare", 1), error: "invalid_client"},
		{name: "response type", path: "authorize", form: strings.Replace(good, "=code", "=x", 1), error: "unsupported_response_type", description: "Invalid response_type", redirected: true},
		{name: "grant is off", config: `"enable_authorization_code":false`, path: "authorize", form: good, error: "unsupported_response_type", redirected: true},
		{name: "scope", path: "authorize", form: good + "&scope=x", error: "invalid_scope", description: `"x" is an invalid scope`, redirected: true},
		{name: "mandatory scope", config: `"mandatory_scope":true`, path: "authorize", form: good, error: "invalid_scope", description: "You must specify a scope", redirected: true},
		{name: "redirect_uri", path: "authorize", form: good + "&redirect_uri=http%3A%2F%2Fevil", error: "invalid_request", description: "Invalid redirect_uri that does not match with any redirect_uri created with the application", redirected: true},
		{name: "grant type", path: "token", form: "grant_type=x&client_id=app&client_secret=secret", error: "unsupported_grant_type", description: "Invalid grant_type"},
		{name: "client credentials off", config: `"enable_client_credentials":false`, path: "token", form: "grant_type=client_credentials&client_id=app&client_secret=secret", error: "unsupported_grant_type"},
		{name: "password off", config: `"enable_password_grant":false`, path: "token", form: "grant_type=password&client_id=app&client_secret=secret", error: "unsupported_grant_type"},
		{name: "token's redirect_uri", path: "token", form: "grant_type=authorization_code&client_id=app&client_secret=secret&redirect_uri=x", error: "invalid_request"},
		{name: "no code", path: "token", form: "grant_type=authorization_code&client_id=app&client_secret=secret", error: "invalid_request", description: "Invalid code"},
		{name: "no refresh token", path: "token", form: "grant_type=refresh_token&client_id=app&client_secret=secret", error: "invalid_request", description: "Invalid refresh_token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := build(t, newPlane(t), test.config, "")
			r, answer := s.post("/oauth2/"+test.path, test.form+"&state=st")
			code, description, state := text(answer, "error"), text(answer, "error_description"), text(answer, "state")
			if test.redirected {
				u, err := url.Parse(text(answer, "redirect_uri"))
				if err != nil || !strings.HasPrefix(u.String(), callback+"?") {
					t.Fatalf("%v %v", answer, err)
				}
				code, description, state = u.Query().Get("error"), u.Query().Get("error_description"), u.Query().Get("state")
			}
			if r.Status != 400 || code != test.error || test.description != "" && description != test.description || state != "st" {
				t.Errorf("%d %s", r.Status, r.Body)
			}
		})
	}
}

func TestHTTPSAndMethods(t *testing.T) {
	plane := newPlane(t)
	form := "grant_type=client_credentials&client_id=app&client_secret=secret"
	for _, test := range []struct {
		name, config string
		scheme       string
		trusted      bool
		proto        []string
		description  string // "" succeeds
	}{
		{name: "https", scheme: "https"},
		{name: "http", scheme: "http", description: "You must use HTTPS"},
		{name: "terminated before", scheme: "http", trusted: true, proto: []string{"HTTPS"}},
		{name: "not trusted", scheme: "http", proto: []string{"https"}, description: "You must use HTTPS"},
		{name: "http before", scheme: "http", trusted: true, proto: []string{"http"}, description: "You must use HTTPS"},
		{name: "twice", scheme: "http", trusted: true, proto: []string{"https", "https"}, description: "Only one X-Forwarded-Proto header allowed"},
		{name: "not accepted", config: `"accept_http_if_already_terminated":false`, scheme: "http", trusted: true, proto: []string{"https"}, description: "You must use HTTPS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := build(t, plane, test.config, "")
			x := s.NewExchange(pdktest.Request{Method: "POST", Path: "/oauth2/token", Body: form, Header: [][2]string{{"Content-Type", "application/x-www-form-urlencoded"}}})
			x.Request.Scheme, x.Request.Trusted = test.scheme, test.trusted
			for _, p := range test.proto {
				x.Request.Header.Add("X-Forwarded-Proto", p)
			}
			r, answer := s.run(x)
			if text(answer, "error_description") != test.description || (r.Status == 200) != (test.description == "") {
				t.Errorf("%d %s", r.Status, r.Body)
			}
		})
	}
	s := build(t, plane, `"realm":"re\"alm"`, "")
	for path, name := range map[string]string{"/a/oauth2/token": "token", "/oauth2/authorize/": "authorization"} {
		r, answer := s.run(s.NewExchange(pdktest.Request{Path: path}))
		want := "The HTTP method GET is invalid for the " + name + " endpoint"
		if r.Status != 405 || answer["error"] != "invalid_method" || answer["error_description"] != want ||
			r.Get("WWW-Authenticate") != `Bearer realm="re\"alm", error="invalid_method", error_description="`+want+`"` {
			t.Errorf("%s: %d %s %v", path, r.Status, r.Body, r.Header)
		}
	}
	if r, _ := s.run(s.NewExchange(pdktest.Request{Path: "/oauth2/tokens"})); r.Status != 401 {
		t.Errorf("a path that only looks like it: %d", r.Status)
	}
}

func TestBearer(t *testing.T) {
	plane := newPlane(t)
	s := build(t, plane, "", "")
	_, answer := s.post("/oauth2/token", "grant_type=client_credentials&client_id=app&client_secret=secret")
	token := text(answer, "access_token")
	form := [2]string{"Content-Type", "application/x-www-form-urlencoded"}
	missing, invalid := "The access token is missing", "The access token is invalid or has expired"
	for _, test := range []struct {
		name, config string
		request      pdktest.Request
		error        string
		url, body    string // what the upstream gets
		username     string
	}{
		{name: "none", error: missing},
		{name: "bearer", request: pdktest.Request{Header: [][2]string{{"Authorization", "BEARER " + token}}}, username: "bob"},
		{name: "token", request: pdktest.Request{Header: [][2]string{{"Authorization", "token   " + token}}}, username: "bob"},
		{name: "bare", request: pdktest.Request{Header: [][2]string{{"Authorization", token}}}, username: "bob"},
		{name: "empty header", request: pdktest.Request{Path: "/?access_token=" + token, Header: [][2]string{{"Authorization", ""}}}, error: missing},
		{name: "unknown", request: pdktest.Request{Header: [][2]string{{"Authorization", "Bearer x"}}}, error: invalid},
		{name: "query", request: pdktest.Request{Path: "/?a=1&access_token=" + token}, url: "/?a=1&access_token=" + token, username: "bob"},
		{name: "form", request: pdktest.Request{Method: "POST", Header: [][2]string{form}, Body: "access_token=" + token}, username: "bob"},
		{name: "form of a GET", request: pdktest.Request{Header: [][2]string{form}, Body: "access_token=" + token}, error: missing},
		{name: "JSON", request: pdktest.Request{Method: "PUT", Header: [][2]string{{"Content-Type", "application/json"}}, Body: `{"access_token":"` + token + `"}`}, username: "bob"},
		{name: "other header", config: `"auth_header_name":"X-Token"`, request: pdktest.Request{Header: [][2]string{{"x-token", "Bearer " + token}}}, username: "bob"},
		{name: "hide header", config: `"hide_credentials":true`, request: pdktest.Request{Path: "/?access_token=x", Header: [][2]string{{"Authorization", "Bearer " + token}}}, url: "/?access_token=x", username: "bob"},
		{name: "hide query", config: `"hide_credentials":true`, request: pdktest.Request{Path: "/?a=1&access_token=" + token}, url: "/?a=1", username: "bob"},
		{name: "hide form", config: `"hide_credentials":true`, request: pdktest.Request{Method: "POST", Header: [][2]string{form}, Body: "b=%20&access_token=" + token}, body: "b=%20", username: "bob"},
		{name: "anonymous", config: `"anonymous":"anon"`, request: pdktest.Request{Header: [][2]string{{"Authorization", "Bearer x"}, {"X-Authenticated-UserId", "forged"}}}, username: "anon"},
		{name: "before anonymous", config: `"anonymous":"anon"`, request: pdktest.Request{Header: [][2]string{{"Authorization", "Bearer " + token}}}, username: "bob"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := build(t, plane, test.config, "")
			test.request.At = time.Now()
			r := s.Do(test.request)
			if test.error != "" {
				challenge := "Bearer"
				if test.error == invalid {
					challenge = `Bearer error="invalid_token", error_description="` + invalid + `"`
				}
				if r.Status != 401 || !strings.Contains(r.Body, test.error) || r.Get("WWW-Authenticate") != challenge {
					t.Errorf("%d %s %v", r.Status, r.Body, r.Header)
				}
				return
			}
			if r.Status != 200 || r.Exchange.Consumer == nil || r.Exchange.Consumer.Username != test.username {
				t.Fatalf("%d %s", r.Status, r.Body)
			}
			if test.url != "" && r.Upstream.URL != test.url || test.body != "" && r.Upstream.Body != test.body {
				t.Errorf("the upstream gets %s %q", r.Upstream.URL, r.Upstream.Body)
			}
			if r.Upstream.Has("X-Authenticated-UserId") || strings.HasPrefix(test.name, "hide h") && r.Upstream.Has("Authorization") {
				t.Errorf("the upstream gets %v", r.Upstream.Header)
			}
			if (r.Upstream.Get("X-Anonymous-Consumer") == "true") != (test.username == "anon") {
				t.Errorf("the upstream gets %v", r.Upstream.Header)
			}
		})
	}
}

func TestControlPlaneAway(t *testing.T) {
	plane := newPlane(t)
	s := build(t, plane, "", "")
	_, answer := s.post("/oauth2/token", "grant_type=client_credentials&client_id=app&client_secret=secret")
	for _, err := range []error{pdk.ErrControlAway, pdk.ErrControlBusy} {
		plane.Fail(err)
		for path, form := range map[string]string{
			"/oauth2/token":     "grant_type=client_credentials&client_id=app&client_secret=secret",
			"/oauth2/authorize": "response_type=code&provision_key=pk&authenticated_userid=u&client_id=app",
		} {
			r, answer := s.post(path, form)
			if r.Status != 503 || answer["error"] != "temporarily_unavailable" || r.Get("Retry-After") != "1" {
				t.Errorf("%s: %d %s", path, r.Status, r.Body)
			}
		}
		if r := s.use(text(answer, "access_token")); r.Status != 200 {
			t.Errorf("a token from before: %d %s", r.Status, r.Body)
		}
	}
	plane.Fail(pdk.ErrWriteRefused)
	x := s.NewExchange(pdktest.Request{Method: "POST", Path: "/oauth2/token", Body: "grant_type=client_credentials&client_id=app&client_secret=secret", Header: [][2]string{{"Content-Type", "application/x-www-form-urlencoded"}}})
	x.Request.Scheme = "https"
	if r := pdktest.Run(t, x, []*pdktest.Plugin{s.Plugin}, answers); r.Err == nil {
		t.Errorf("a write that is refused is a fault, got %d %s", r.Status, r.Body)
	}
}

// The recorded configuration is one that a client can use.
func TestAsRecorded(t *testing.T) {
	_ = referencetest.Exchanges(t, "proxy.jsonl") // skips without the reference
	plane := newPlane(t)
	p := pdktest.Build(t, pdktest.Options{
		Plugin: oauth2.Plugin, View: plane, Node: pdktest.NewNode(t).WithControl(plane), Service: service,
		Config: `{"enable_client_credentials":true,"provision_key":"pk","global_credentials":true,"accept_http_if_already_terminated":true}`,
	})
	x := p.NewExchange(pdktest.Request{
		Method: "POST", Path: "/oauth/oauth2/token", Body: `{"grant_type":"client_credentials","client_id":"app","client_secret":"secret"}`,
		Header: [][2]string{{"Content-Type", "application/json"}, {"X-Forwarded-Proto", "https"}},
	})
	x.Request.Trusted = true
	if r := pdktest.Run(t, x, []*pdktest.Plugin{p}, answers); r.Status != 200 || !strings.Contains(r.Body, `"access_token":"`) {
		t.Errorf("%d %s", r.Status, r.Body)
	}
}

func TestSecretsAreHashed(t *testing.T) {
	process := func(in schema.Object, op schema.Op, stored schema.Object) schema.Object {
		t.Helper()
		o, err := oauth2.Credentials.Schema.Process(in, op, stored)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	in := schema.Object{"name": "n", "client_secret": "s", "hash_secret": true, "consumer": schema.Object{"id": bobID}}
	o := process(in, schema.Insert, nil)
	hashed, _ := o["client_secret"].(string)
	if !strings.HasPrefix(hashed, "$pbkdf2-sha512$i=10000,l=32$") {
		t.Errorf("kept as %q", hashed)
	}
	if o := process(schema.Object{"name": "m"}, schema.Update, o); o["client_secret"] != hashed {
		t.Error("another change hashes again")
	}
	if o := process(schema.Object{"hash_secret": true}, schema.Update, o); o["client_secret"] != hashed {
		t.Error("a hash is hashed")
	}
	if o := process(schema.Object{"client_secret": "new"}, schema.Update, o); o["client_secret"] == "new" || o["client_secret"] == hashed {
		t.Errorf("a new secret is kept as %v", o["client_secret"])
	}
	for _, bad := range []string{"/x", "http://", "http://a#b", "%", "a.example/cb"} {
		in["redirect_uris"] = []any{bad}
		if _, err := oauth2.Credentials.Schema.Process(in, schema.Insert, nil); err == nil {
			t.Errorf("redirect_uri %q is taken", bad)
		}
	}
}
