package hmacauth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/hmacauth"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

const bobID = "00000003-0000-4000-8000-000000000002"

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, hmacauth.Plugin.Schema, "plugins/hmac-auth.json")
	schematest.AsRecorded(t, hmacauth.Credentials.Schema, "entities/hmacauth_credentials.json")
	schematest.Agrees(t, hmacauth.Credentials.Schema, hmacauth.Credential{})
}

func header(headers, signed, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return `hmac username="bob", algorithm="hmac-sha256", headers="` + headers + `", signature="` + base64.StdEncoding.EncodeToString(mac.Sum(nil)) + `"`
}

func TestAccess(t *testing.T) {
	view := pdktest.NewView(
		pdktest.Of(t, entity.Consumers, schema.Object{"id": bobID, "username": "bob"}),
		pdktest.Of(t, hmacauth.Credentials, schema.Object{"username": "bob", "secret": "s3cret", "consumer": schema.Object{"id": bobID}}),
	)
	date := pdktest.Start.UTC().Format(http.TimeFormat)
	old := pdktest.Start.Add(-10 * time.Minute).UTC().Format(http.TimeFormat)
	good := header("date request-line", "date: "+date+"\nGET /a?b=c HTTP/1.1", "s3cret")
	request := func(authorization, date string) pdktest.Request {
		r := pdktest.Request{Path: "/a?b=c", Header: [][2]string{{"Date", date}}}
		if authorization != "" {
			r.Header = append(r.Header, [2]string{"Authorization", authorization})
		}
		return r
	}
	digest := func(body string) string {
		sum := sha256.Sum256([]byte(body))
		return "SHA-256=" + base64.StdEncoding.EncodeToString(sum[:])
	}
	post := func(body, digest string) pdktest.Request {
		return pdktest.Request{Method: "POST", Path: "/", Body: body, Header: [][2]string{
			{"X-Date", date}, {"Digest", digest}, {"Authorization", header("x-date digest", "x-date: "+date+"\ndigest: "+digest, "s3cret")},
		}}
	}
	const unverified = "HMAC signature cannot be verified"
	for _, test := range []struct {
		name, config string
		request      pdktest.Request
		status       int
		says         string
	}{
		{"good", ``, request(good, date), 200, ""},
		{"target", ``, request(header("date @request-target", "date: "+date+"\n@request-target: get /a?b=c", "s3cret"), date), 200, ""},
		{"nothing", ``, request("", date), 401, "Unauthorized"},
		{"no date", ``, request(good, ""), 401, "a valid date or x-date header is required"},
		{"old", ``, request(good, old), 401, "a valid date or x-date header is required"},
		{"old, but allowed", `{"clock_skew":900}`, request(header("date", "date: "+old, "s3cret"), old), 200, ""},
		{"no signature", ``, request("Basic x", date), 401, unverified},
		{"torn", ``, request(`hmac username="bob`, date), 401, unverified},
		{"unknown", ``, request(strings.Replace(good, "bob", "who", 1), date), 401, unverified},
		{"algorithm that is not allowed", `{"algorithms":["hmac-sha512"]}`, request(good, date), 401, unverified},
		{"header that is not covered", `{"enforce_headers":["digest"]}`, request(good, date), 401, unverified},
		{"headers that are covered", `{"enforce_headers":["date","request-line"]}`, request(good, date), 200, ""},
		{"case of names", ``, request(header("Date HOST x-none", "Date: "+date+"\nHOST: proxy.test\nx-none:", "s3cret"), date), 200, ""},
		{"bad x-date", ``, pdktest.Request{Path: "/a?b=c", Header: [][2]string{{"X-Date", "x"}, {"Date", date}, {"Authorization", good}}}, 200, ""},
		{"the other header", ``, pdktest.Request{Path: "/a?b=c", Header: [][2]string{{"Proxy-Authorization", "Basic x"}, {"Date", date}, {"Authorization", good}}}, 200, ""},
		{"no headers named", ``, request(`hmac username="bob", algorithm="hmac-sha256", signature="eA=="`, date), 401, unverified},
		{"another secret", ``, request(header("date", "date: "+date, "x"), date), 401, "HMAC signature does not match"},
		{"body", `{"validate_request_body":true}`, post("hello", digest("hello")), 200, ""},
		{"another body", `{"validate_request_body":true}`, post("hello", digest("x")), 401, "HMAC signature does not match"},
		{"anonymous", `{"anonymous":"bob"}`, request("", date), 200, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: hmacauth.Plugin, Config: test.config, View: view})
			r := p.Do(test.request)
			if r.Err != nil || r.Status != test.status || !strings.Contains(r.Body, test.says) {
				t.Fatalf("got %d %s, %v", r.Status, r.Body, r.Err)
			}
			if r.Status == 401 && r.Get("WWW-Authenticate") != "hmac" {
				t.Errorf("challenge %q", r.Get("WWW-Authenticate"))
			}
			if r.Status == 200 && r.Upstream.Get("X-Consumer-Username") != "bob" {
				t.Errorf("the upstream is told %q", r.Upstream.Get("X-Consumer-Username"))
			}
		})
	}
	p := pdktest.Build(t, pdktest.Options{Plugin: hmacauth.Plugin, Config: `{"hide_credentials":true}`, View: view})
	if r := p.Do(request(good, date)); r.Upstream.Has("Authorization") {
		t.Error("the upstream gets the signature")
	}
}
