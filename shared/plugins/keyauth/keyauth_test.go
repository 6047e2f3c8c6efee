package keyauth_test

import (
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/keyauth"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

const (
	bobID  = "00000003-0000-4000-8000-000000000002"
	anonID = "00000003-0000-4000-8000-000000000001"
	keyID  = "00000004-0000-4000-8000-000000000001"
)

func view(t testing.TB) pdk.View {
	consumer := schema.Object{"id": bobID}
	return pdktest.NewView(
		pdktest.Of(t, entity.Consumers, schema.Object{"id": bobID, "username": "bob", "custom_id": "bobcid"}),
		pdktest.Of(t, entity.Consumers, schema.Object{"id": anonID, "username": "anon"}),
		pdktest.Of(t, keyauth.Credentials, schema.Object{"id": keyID, "key": "bobkey", "consumer": consumer}),
		pdktest.Of(t, keyauth.Credentials, schema.Object{"key": "a b/+", "consumer": consumer}),
		pdktest.Entity{Def: keyauth.Credentials, Value: &keyauth.Credential{
			ID: "x1", Key: "expired", Consumer: &entity.Ref{ID: bobID}, ExpiresAt: float64(pdktest.Start.Unix()),
		}},
		pdktest.Entity{Def: keyauth.Credentials, Value: &keyauth.Credential{
			ID: "x2", Key: "fresh", Consumer: &entity.Ref{ID: bobID}, ExpiresAt: float64(pdktest.Start.Unix()) + 0.5,
		}},
		pdktest.Entity{Def: keyauth.Credentials, Value: &keyauth.Credential{ID: "x3", Key: "orphan", Consumer: &entity.Ref{ID: "gone"}}},
	)
}

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, keyauth.Plugin.Schema, "plugins/key-auth.json")
	schematest.AsRecorded(t, keyauth.Credentials.Schema, "entities/keyauth_credentials.json")
	schematest.ConfigAgrees(t, keyauth.Plugin.Schema, keyauth.Config{})
	schematest.Agrees(t, keyauth.Credentials.Schema, keyauth.Credential{})
}

func TestCredential(t *testing.T) {
	s := keyauth.Credentials.Schema
	made, err := s.Process(schema.Object{"consumer": schema.Object{"id": bobID}}, schema.Insert, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key, _ := made["key"].(string); len(key) != 32 {
		t.Errorf("made the key %q, want 32 characters", key)
	}
	for want, o := range map[string]schema.Object{
		"consumer: required field missing":   {"key": "k"},
		"key: length must be at least 1":     {"key": "", "consumer": schema.Object{"id": bobID}},
		"ttl: must be an integer between 0 ": {"ttl": -1, "consumer": schema.Object{"id": bobID}},
	} {
		if _, err := s.Process(o, schema.Insert, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestAccess(t *testing.T) {
	form := [2]string{"Content-Type", "application/x-www-form-urlencoded"}
	json := [2]string{"Content-Type", "application/json"}
	parts := [2]string{"Content-Type", "multipart/form-data; boundary=b"}
	key := func(v string) [2]string { return [2]string{"ApiKey", v} }
	const (
		none      = "No API key found in request"
		duplicate = "Duplicate API key found"
		unknown   = "Unauthorized"
	)
	for _, test := range []struct {
		name, config string
		request      pdktest.Request
		status       int
		message      string
		url, body    string // what the upstream gets, when it matters
	}{
		{"none", ``, pdktest.Request{}, 401, none, "", ""},
		{"header", ``, pdktest.Request{Header: [][2]string{key("bobkey")}}, 200, "", "", ""},
		{"unknown", ``, pdktest.Request{Header: [][2]string{key("bad")}}, 401, unknown, "", ""},
		{"empty header ends the search", ``, pdktest.Request{Path: "/?apikey=bobkey", Header: [][2]string{key("")}}, 401, none, "", ""},
		{"two headers", ``, pdktest.Request{Header: [][2]string{key("bobkey"), key("bobkey")}}, 401, duplicate, "", ""},
		{"query", ``, pdktest.Request{Path: "/?x&apikey=bobkey"}, 200, "", "/?x&apikey=bobkey", ""},
		{"query decoded", ``, pdktest.Request{Path: "/?apikey=a+b%2F%2b"}, 200, "", "", ""},
		{"query twice", ``, pdktest.Request{Path: "/?apikey=bobkey&apikey=z"}, 401, duplicate, "", ""},
		{"query empty", ``, pdktest.Request{Path: "/?apikey="}, 401, none, "", ""},
		{"query without value", `{"key_in_body":true}`, pdktest.Request{Method: "POST", Path: "/?apikey", Header: [][2]string{form}, Body: "apikey=bobkey"}, 401, none, "", ""},
		{"header before query", ``, pdktest.Request{Path: "/?apikey=bobkey", Header: [][2]string{key("bad")}}, 401, unknown, "", ""},
		{"names in turn", `{"key_names":["x-key","apikey"]}`, pdktest.Request{Path: "/?apikey=bobkey"}, 200, "", "", ""},
		{"header off", `{"key_in_header":false}`, pdktest.Request{Header: [][2]string{key("bobkey")}}, 401, none, "", ""},
		{"query off", `{"key_in_query":false}`, pdktest.Request{Path: "/?apikey=bobkey"}, 401, none, "", ""},
		{"body off", ``, pdktest.Request{Method: "POST", Header: [][2]string{form}, Body: "apikey=bobkey"}, 401, none, "", ""},
		{"form", `{"key_in_body":true}`, pdktest.Request{Method: "POST", Header: [][2]string{form}, Body: "apikey=bobkey&a=1", Chunked: true}, 200, "", "", "apikey=bobkey&a=1"},
		{"form twice", `{"key_in_body":true}`, pdktest.Request{Method: "POST", Header: [][2]string{form}, Body: "apikey=bobkey&apikey=1"}, 401, duplicate, "", ""},
		{"json", `{"key_in_body":true}`, pdktest.Request{Method: "POST", Header: [][2]string{json}, Body: `{"apikey":"bobkey"}`}, 200, "", "", `{"apikey":"bobkey"}`},
		{"json number", `{"key_in_body":true}`, pdktest.Request{Method: "POST", Header: [][2]string{json}, Body: `{"apikey":1}`}, 401, none, "", ""},
		{"json broken", `{"key_in_body":true}`, pdktest.Request{Method: "POST", Header: [][2]string{json}, Body: `{"apikey`}, 401, none, "", ""},
		{"other body", `{"key_in_body":true}`, pdktest.Request{Method: "POST", Body: `apikey=bobkey`}, 401, none, "", ""},
		{"multipart", `{"key_in_body":true}`, pdktest.Request{Method: "POST", Header: [][2]string{parts}, Body: "--b\r\nContent-Disposition: form-data; name=apikey\r\n\r\nbobkey\r\n--b--"}, 200, "", "", ""},
		{"hide header", `{"hide_credentials":true}`, pdktest.Request{Path: "/?z=1", Header: [][2]string{key("bobkey")}}, 200, "", "/?z=1", ""},
		{"hide query", `{"hide_credentials":true}`, pdktest.Request{Path: "/p?apikey=bobkey"}, 200, "", "/p", ""},
		{"hide form", `{"hide_credentials":true,"key_in_body":true}`, pdktest.Request{Method: "POST", Header: [][2]string{form}, Body: "a=%20&apikey=bobkey"}, 200, "", "", "a=%20"},
		{"hide json", `{"hide_credentials":true,"key_in_body":true}`, pdktest.Request{Method: "POST", Header: [][2]string{json}, Body: `{"a":1.0,"apikey":"bobkey"}`}, 200, "", "", `{"a":1.0}`},
		{"preflight", ``, pdktest.Request{Method: "OPTIONS"}, 401, none, "", ""},
		{"no preflight", `{"run_on_preflight":false}`, pdktest.Request{Method: "OPTIONS"}, 200, "", "", ""},
		{"expired", ``, pdktest.Request{Header: [][2]string{key("expired")}}, 401, unknown, "", ""},
		{"not yet expired", ``, pdktest.Request{Header: [][2]string{key("fresh")}}, 200, "", "", ""},
		{"consumer is gone", ``, pdktest.Request{Header: [][2]string{key("orphan")}}, 401, unknown, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: keyauth.Plugin, Config: test.config, View: view(t)})
			r := p.Do(test.request)
			if r.Err != nil || r.Status != test.status || !strings.Contains(r.Body, test.message) {
				t.Fatalf("got %d %q, %v, want %d %q", r.Status, r.Body, r.Err, test.status, test.message)
			}
			if test.status == 401 && r.Get("WWW-Authenticate") != "Key" {
				t.Errorf("WWW-Authenticate is %q", r.Get("WWW-Authenticate"))
			}
			if test.url != "" && r.Upstream.URL != test.url {
				t.Errorf("the upstream gets %q, want %q", r.Upstream.URL, test.url)
			}
			if test.body != "" && r.Upstream.Body != test.body {
				t.Errorf("the upstream gets the body %q, want %q", r.Upstream.Body, test.body)
			}
			if strings.HasPrefix(test.name, "hide") && r.Upstream.Has("apikey") {
				t.Error("the upstream gets the key")
			}
		})
	}
}

func TestConsumerHeaders(t *testing.T) {
	forged := [][2]string{
		{"X-Consumer-ID", "forged"},
		{"X-Consumer-Custom-ID", "forged"},
		{"X-Consumer-Username", "forged"},
		{"X-Credential-Identifier", "forged"},
		{"X-Anonymous-Consumer", "true"},
	}
	for _, test := range []struct {
		name, config, key string
		want              [5]string
	}{
		{"key", ``, "bobkey", [5]string{bobID, "bobcid", "bob", keyID, ""}},
		{"anonymous by name", `{"anonymous":"anon"}`, "bad", [5]string{anonID, "", "anon", "", "true"}},
		{"anonymous by id", `{"anonymous":"` + anonID + `"}`, "", [5]string{anonID, "", "anon", "", "true"}},
		{"key before anonymous", `{"anonymous":"anon"}`, "bobkey", [5]string{bobID, "bobcid", "bob", keyID, ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: keyauth.Plugin, Config: test.config, View: view(t)})
			r := p.Do(pdktest.Request{Header: append([][2]string{{"apikey", test.key}}, forged...)})
			for i, h := range forged {
				if got := r.Upstream.Get(h[0]); got != test.want[i] {
					t.Errorf("%s: got %q, want %q", h[0], got, test.want[i])
				}
			}
			if r.Exchange.Consumer == nil || r.Exchange.Consumer.ID != test.want[0] || r.Exchange.Credential.Key != test.want[3] {
				t.Errorf("authenticated as %v with %v", r.Exchange.Consumer, r.Exchange.Credential)
			}
		})
	}
	p := pdktest.Build(t, pdktest.Options{Plugin: keyauth.Plugin, Config: `{"anonymous":"nobody","realm":"my \"realm\""}`, View: view(t)})
	if r := p.Do(pdktest.Request{}); r.Status != 500 || !strings.Contains(r.Body, "An unexpected error occurred") || r.Called {
		t.Errorf("an unknown anonymous consumer gave %d %q", r.Status, r.Body)
	}
	p = pdktest.Build(t, pdktest.Options{Plugin: keyauth.Plugin, Config: `{"realm":"my \"realm\""}`, View: view(t)})
	if r := p.Do(pdktest.Request{}); r.Get("WWW-Authenticate") != `Key realm="my \"realm\""` {
		t.Errorf("got the challenge %q", r.Get("WWW-Authenticate"))
	}
}

func TestSeveralPlugins(t *testing.T) {
	first := func(config string) *pdktest.Plugin {
		return pdktest.Build(t, pdktest.Options{Plugin: keyauth.Plugin, Config: config, View: view(t)})
	}
	for _, test := range []struct {
		name     string
		one, two string
		header   [][2]string
		status   int
		username string
	}{
		{"and: both", `{"key_names":["k1"]}`, `{"key_names":["k2"]}`, [][2]string{{"k1", "bobkey"}, {"k2", "bobkey"}}, 200, "bob"},
		{"and: one", `{"key_names":["k1"]}`, `{"key_names":["k2"]}`, [][2]string{{"k1", "bobkey"}}, 401, "bob"},
		{"or: first", `{"key_names":["k1"],"anonymous":"anon"}`, `{"key_names":["k2"],"anonymous":"anon"}`, [][2]string{{"k1", "bobkey"}, {"k2", "bad"}}, 200, "bob"},
		{"or: second", `{"key_names":["k1"],"anonymous":"anon"}`, `{"key_names":["k2"],"anonymous":"anon"}`, [][2]string{{"k2", "bobkey"}}, 200, "bob"},
		{"or: none", `{"key_names":["k1"],"anonymous":"anon"}`, `{"key_names":["k2"],"anonymous":"anon"}`, nil, 200, "anon"},
	} {
		t.Run(test.name, func(t *testing.T) {
			one, two := first(test.one), first(test.two)
			x := one.NewExchange(pdktest.Request{Header: test.header})
			r := pdktest.Run(t, x, []*pdktest.Plugin{one, two}, func(*pdk.Exchange) pdktest.Response { return pdktest.Response{} })
			if r.Status != test.status || x.Consumer == nil || x.Consumer.Username != test.username {
				t.Errorf("got %d as %v", r.Status, x.Consumer)
			}
		})
	}
}

func TestSuccessDoesNotAllocate(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: keyauth.Plugin, Config: `{"hide_credentials":true}`, View: view(t)})
	x, v := new(pdk.Exchange), view(t)
	for _, r := range []pdktest.Request{
		{Header: [][2]string{{"Accept", "*/*"}, {"apikey", "bobkey"}}},
		{Path: "/?a=1&apikey=bobkey&b=%20"},
		{Path: "/?apikey=a+b%2F%2b"},
	} {
		n := testing.AllocsPerRun(100, func() {
			x.Reset()
			x.View, x.Start = v, pdktest.Start
			for _, l := range r.Header {
				x.Request.Header.Add(l[0], l[1])
			}
			_, x.Request.RawQuery, x.Request.HasQuery = cut(r.Path)
			x.Upstream.RawQuery, x.Upstream.HasQuery = x.Request.RawQuery, x.Request.HasQuery
			if err := p.Phases.Access(x); err != nil || x.Consumer == nil {
				t.Fatal(err, x.Consumer)
			}
		})
		if n != 0 {
			t.Errorf("%v: got %v allocations, want 0", r, n)
		}
	}
}

func cut(path string) (string, string, bool) { return strings.Cut(path, "?") }

func BenchmarkAccess(b *testing.B) {
	p := pdktest.Build(b, pdktest.Options{Plugin: keyauth.Plugin, View: view(b)})
	x, v := new(pdk.Exchange), view(b)
	for b.Loop() {
		x.Reset()
		x.View, x.Start = v, pdktest.Start
		x.Request.Header.Add("Accept", "*/*")
		x.Request.Header.Add("apikey", "bobkey")
		_ = p.Phases.Access(x)
	}
}
