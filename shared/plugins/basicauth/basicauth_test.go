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

const bobID = "00000003-0000-4000-8000-000000000001"

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, basicauth.Plugin.Schema, "plugins/basic-auth.json")
	schematest.AsRecorded(t, basicauth.Credentials.Schema, "entities/basicauth_credentials.json")
	schematest.Agrees(t, basicauth.Credentials.Schema, basicauth.Credential{})
}

// TestPasswordsAreKeptAsKongDoes has a recorded password and what became of it.
func TestPasswordsAreKeptAsKongDoes(t *testing.T) {
	s := basicauth.Credentials.Schema
	o, err := s.Process(schema.Object{"username": "bu", "password": "bp", "consumer": schema.Object{"id": bobID}}, schema.Insert, nil)
	if err != nil || o["password"] != "423de2d43a0b9e249b23c670196ee2d9d17c57f8" {
		t.Fatalf("got %v, %v", o["password"], err)
	}
	o, err = s.Process(schema.Object{"tags": []any{"x"}}, schema.Update, o)
	if err != nil || o["password"] != "423de2d43a0b9e249b23c670196ee2d9d17c57f8" {
		t.Errorf("after an update of something else: %v, %v", o["password"], err)
	}
	again, err := s.Process(o, schema.DeclareStored, nil)
	if err != nil || again["password"] != o["password"] {
		t.Errorf("declared as it was exported: %v, %v", again["password"], err)
	}
}

func TestAccess(t *testing.T) {
	view := pdktest.NewView(
		pdktest.Of(t, entity.Consumers, schema.Object{"id": bobID, "username": "bob"}),
		pdktest.Of(t, basicauth.Credentials, schema.Object{"username": "bu", "password": "b:p", "consumer": schema.Object{"id": bobID}}),
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
