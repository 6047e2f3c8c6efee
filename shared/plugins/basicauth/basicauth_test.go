package basicauth_test

import (
	"encoding/base64"
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/basicauth"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

// bcryptOfBP is the bcrypt of "bp", with the least cost.
const bcryptOfBP = "$2a$04$pb89zDB6a5sfsTbRQLDWw.0FxQ5Lokmcyqz2wNegs1C7oweXpXpyW"

const bobID = "00000003-0000-4000-8000-000000000001"

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, basicauth.Plugin.Schema, "plugins/basic-auth.json")
	schematest.AsRecorded(t, basicauth.Credentials.Schema, "entities/basicauth_credentials.json")
	schematest.Agrees(t, basicauth.Credentials.Schema, basicauth.Credential{})
}

func TestAccess(t *testing.T) {
	view := pdktest.NewView(
		pdktest.Of(t, entity.Consumers, schema.Object{"id": bobID, "username": "bob"}),
		pdktest.Of(t, basicauth.Credentials, schema.Object{"username": "bu", "password": "b:p", "consumer": schema.Object{"id": bobID}}),
		pdktest.Of(t, basicauth.Credentials, schema.Object{
			"username": "old", "password": basicauth.Wrap("423de2d43a0b9e249b23c670196ee2d9d17c57f8"), "consumer": schema.Object{"id": bobID},
		}),
		pdktest.Of(t, basicauth.Credentials, schema.Object{
			"username": "kong", "password": "$kong-sha1$423de2d43a0b9e249b23c670196ee2d9d17c57f8", "consumer": schema.Object{"id": bobID},
		}),
		pdktest.Of(t, basicauth.Credentials, schema.Object{"username": "bcrypt", "password": bcryptOfBP, "consumer": schema.Object{"id": bobID}}),
	)
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for _, test := range []struct {
		name, config string
		header       [][2]string
		status       int
	}{
		{"good", ``, [][2]string{{"Authorization", basic("bu:b:p")}}, 200},
		{"lower-case scheme", ``, [][2]string{{"Authorization", "basic" + basic("bu:b:p")[5:]}}, 200},
		{"for the proxy first", ``, [][2]string{{"Authorization", basic("bu:wrong")}, {"Proxy-Authorization", basic("bu:b:p")}}, 200},
		{"upgraded", ``, [][2]string{{"Authorization", basic("old:bp")}}, 200},
		{"upgraded, wrong password", ``, [][2]string{{"Authorization", basic("old:423de2d43a0b9e249b23c670196ee2d9d17c57f8")}}, 401},
		{"in Kong's form", ``, [][2]string{{"Authorization", basic("kong:bp")}}, 200},
		{"Kong's form as the password", ``, [][2]string{{"Authorization", basic("kong:423de2d43a0b9e249b23c670196ee2d9d17c57f8")}}, 401},
		{"bcrypt", ``, [][2]string{{"Authorization", basic("bcrypt:bp")}}, 200},
		{"wrong password", ``, [][2]string{{"Authorization", basic("bu:x")}}, 401},
		{"no password", ``, [][2]string{{"Authorization", basic("bu:")}}, 401},
		{"unknown", ``, [][2]string{{"Authorization", basic("x:b:p")}}, 401},
		{"nothing", ``, nil, 401},
		{"no Base64", ``, [][2]string{{"Authorization", "Basic ***"}}, 401},
		{"another scheme", ``, [][2]string{{"Authorization", "Bearer x"}}, 401},
		{"anonymous", `{"anonymous":"bob"}`, nil, 200},
		{"hidden", `{"hide_credentials":true,"realm":"r"}`, [][2]string{{"Authorization", basic("bu:b:p")}}, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: basicauth.Plugin, Config: test.config, View: view})
			r := p.Do(pdktest.Request{Header: test.header})
			if r.Status != test.status {
				t.Fatalf("got %d %s", r.Status, r.Body)
			}
			if r.Status == 401 && r.Get("WWW-Authenticate") != `Basic realm="service"` {
				t.Errorf("challenge %q", r.Get("WWW-Authenticate"))
			}
			if r.Status == 200 && r.Upstream.Get("X-Consumer-Username") != "bob" {
				t.Errorf("the upstream is told %q", r.Upstream.Get("X-Consumer-Username"))
			}
			if test.name == "hidden" && r.Upstream.Has("Authorization") {
				t.Error("the upstream gets the password")
			}
		})
	}
}
