package session_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/auth"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/session"
	"github.com/sluice-gateway/sluice/shared/referencetest"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

const (
	bobID  = "00000000-0000-4000-8000-0000000000b0"
	eveID  = "00000000-0000-4000-8000-0000000000e0"
	goneID = "00000000-0000-4000-8000-0000000000f0"
)

func newPlane(t *testing.T) *pdktest.Plane {
	t.Helper()
	return pdktest.NewPlane(
		t, session.Plugin,
		pdktest.Of(t, entity.Consumers, schema.Object{"id": bobID, "username": "bob", "custom_id": "b"}),
		pdktest.Of(t, entity.Consumers, schema.Object{"id": eveID, "custom_id": "e"}),
	)
}

// browser keeps the cookies of one plugin config.
type browser struct {
	*pdktest.Plugin
	t       *testing.T
	plane   *pdktest.Plane
	cookies map[string]string
	at      time.Time
}

func open(t *testing.T, plane *pdktest.Plane, config string) *browser {
	t.Helper()
	return &browser{
		Plugin: pdktest.Build(t, pdktest.Options{
			Plugin: session.Plugin, Config: `{"secret":"s"` + config + `}`, View: plane, Node: pdktest.NewNode(t).WithControl(plane),
		}),
		t: t, plane: plane, cookies: map[string]string{}, at: time.Now(),
	}
}

// login is the authentication plugin behind: it knows who has shown a key.
func login(consumer *entity.Consumer) *pdktest.Plugin {
	return &pdktest.Plugin{Name: "login", Order: 1000, Phases: pdk.Phases{Access: func(x *pdk.Exchange) error {
		if x.Credential == (pdk.Credential{}) && consumer != nil {
			auth.Succeed(x, consumer, pdk.Credential{ID: "key1", ConsumerID: consumer.ID, Key: "key1"})
			x.Groups = []string{"g1", "g2"}
		}
		return nil
	}}}
}

var bob = &entity.Consumer{ID: bobID, Username: "bob", CustomID: "b"}

// call makes a request with the cookies, and keeps those that come back. It returns the
// Set-Cookie lines besides.
func (b *browser) call(r pdktest.Request, who *entity.Consumer) (*pdktest.Result, []string) {
	b.t.Helper()
	r.At = b.at
	for name, value := range b.cookies {
		r.Header = append(r.Header, [2]string{"cookie", "other=1; " + name + "=" + value})
	}
	x := b.NewExchange(r)
	result := pdktest.Run(b.t, x, []*pdktest.Plugin{b.Plugin, login(who)}, func(*pdk.Exchange) pdktest.Response { return pdktest.Response{} })
	if result.Err != nil {
		b.t.Fatal(result.Err)
	}
	var lines []string
	for _, l := range result.Header {
		if l[0] != "Set-Cookie" {
			continue
		}
		lines = append(lines, l[1])
		c, err := http.ParseSetCookie(l[1])
		if err != nil {
			b.t.Fatalf("%s: %v", l[1], err)
		}
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return result, lines
}

func (b *browser) known() bool {
	b.t.Helper()
	r, _ := b.call(pdktest.Request{}, nil)
	return r.Upstream.Get("X-Consumer-Username") == "bob"
}

func TestSchema(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(referencetest.Dir(t), "schemas", "plugins", "session.json"))
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		Fields []map[string]struct {
			Fields []map[string]struct {
				Default any `json:"default"`
			} `json:"fields"`
		} `json:"fields"`
	}
	if err := json.Unmarshal(raw, &recorded); err != nil {
		t.Fatal(err)
	}
	secret, _ := recorded.Fields[2]["config"].Fields[0]["secret"].Default.(string)
	if len(secret) != 44 {
		t.Fatalf("the recorded secret is %q", secret)
	}
	schematest.AsRecorded(t, session.SchemaWith(secret), "plugins/session.json")
	schematest.AsRecorded(t, session.Sessions.Schema, "entities/sessions.json")
	schematest.ConfigAgrees(t, session.Plugin.Schema, session.Config{})
	schematest.Agrees(t, session.Sessions.Schema, session.Stored{}, "expires_at")
	got, err := pdktest.Config(session.Plugin, `{"cookie_lifetime":1,"cookie_idletime":2,"cookie_renew":3,"cookie_discard":4,"cookie_samesite":"off","cookie_httponly":false,"cookie_persistent":true}`)
	if err != nil {
		t.Fatal(err)
	}
	var c session.Config
	if err := json.Unmarshal(got, &c); err != nil {
		t.Fatal(err)
	}
	if c.RollingTimeout != 1 || c.IdlingTimeout != 2 || c.StaleTTL != 4 || c.CookieSameSite != "Lax" || c.CookieHTTPOnly || !c.Remember || len(c.Secret) != 44 {
		t.Errorf("old names became %+v", c)
	}
}

func TestLife(t *testing.T) {
	for _, storage := range []string{"cookie", "kong"} {
		t.Run(storage, func(t *testing.T) {
			plane := newPlane(t)
			b := open(t, plane, `,"storage":"`+storage+`","request_headers":["id","audience","subject","timeout","idling-timeout","rolling-timeout","absolute-timeout"],"response_headers":["timeout"]`)
			if r, lines := b.call(pdktest.Request{}, nil); len(lines) > 0 || r.Upstream.Has("X-Consumer-Username") {
				t.Fatalf("nobody gets a session: %v", lines)
			}
			r, lines := b.call(pdktest.Request{}, bob)
			if len(lines) != 1 || !strings.HasSuffix(lines[0], "; Path=/; SameSite=Strict; Secure; HttpOnly") || r.Get("Session-Timeout") != "900" {
				t.Fatalf("%v %v", lines, r.Header)
			}
			if n := len(plane.Entities(session.Sessions)); n != map[string]int{"cookie": 0, "kong": 1}[storage] {
				t.Errorf("%d sessions are stored", n)
			}
			if strings.Contains(lines[0], bobID) {
				t.Error("the cookie can be read")
			}
			r, lines = b.call(pdktest.Request{}, nil)
			if len(lines) > 0 {
				t.Errorf("a session in use is told again: %v", lines)
			}
			for name, want := range map[string]string{
				"X-Consumer-ID": bobID, "X-Consumer-Username": "bob", "X-Consumer-Custom-ID": "b", "X-Credential-Identifier": "key1", "X-Authenticated-Groups": "g1, g2",
				"Session-Audience": "default", "Session-Subject": "bob", "Session-Timeout": "900", "Session-Idling-Timeout": "900",
				"Session-Rolling-Timeout": "3600", "Session-Absolute-Timeout": "86400",
			} {
				if got := r.Upstream.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if len(r.Upstream.Get("Session-Id")) != 32 || r.Exchange.Credential.ID != "key1" || len(r.Exchange.Groups) != 2 {
				t.Errorf("id %q, credential %v, groups %v", r.Upstream.Get("Session-Id"), r.Exchange.Credential, r.Exchange.Groups)
			}
			// Another user shows a key.
			if _, lines := b.call(pdktest.Request{}, &entity.Consumer{ID: bobID, Username: "bob"}); len(lines) > 0 {
				t.Error("the session is enough, no key is looked at")
			}
			r, lines = b.call(pdktest.Request{Method: "POST", Path: "/?session_logout"}, nil)
			if r.Status != 200 || r.Called || len(lines) != 1 || !strings.Contains(lines[0], "session=; Path=/") || !strings.Contains(lines[0], "Max-Age=0") {
				t.Fatalf("logout: %d %v", r.Status, lines)
			}
			if b.known() || len(plane.Entities(session.Sessions)) != 0 {
				t.Error("the session goes on")
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	for _, storage := range []string{"cookie", "kong"} {
		for _, test := range []struct {
			name, config string
			every        time.Duration // between requests
			times        int           // that it is known
		}{
			{"idling", `,"idling_timeout":100,"rolling_timeout":0,"absolute_timeout":0`, 101 * time.Second, 0},
			{"in use", `,"idling_timeout":100,"rolling_timeout":0,"absolute_timeout":0`, 50 * time.Second, 20},
			{"rolling", `,"idling_timeout":0,"rolling_timeout":100,"absolute_timeout":0`, 101 * time.Second, 0},
			{"renewed", `,"idling_timeout":0,"rolling_timeout":100,"absolute_timeout":0`, 80 * time.Second, 20},
			{"not renewed in time", `,"idling_timeout":0,"rolling_timeout":100,"absolute_timeout":0`, 70 * time.Second, 1},
			{"absolute", `,"idling_timeout":0,"rolling_timeout":100,"absolute_timeout":300`, 80 * time.Second, 3},
			{"forever", `,"idling_timeout":0,"rolling_timeout":0,"absolute_timeout":0`, 1000 * time.Hour, 5},
		} {
			t.Run(storage+"/"+test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := open(t, newPlane(t), `,"storage":"`+storage+`"`+test.config)
					b.call(pdktest.Request{}, bob)
					times := 0
					for range 20 {
						time.Sleep(test.every)
						b.at = time.Now()
						synctest.Wait() // what is noted is noted
						if !b.known() {
							break
						}
						times++
						if times == test.times {
							break
						}
					}
					if times != test.times {
						t.Errorf("it is known %d times, want %d", times, test.times)
					}
				})
			})
		}
	}
}

func TestStaleSessionAfterRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, newPlane(t), `,"storage":"kong","rolling_timeout":100,"stale_ttl":10`)
		b.call(pdktest.Request{}, bob)
		old := b.cookies["session"]
		time.Sleep(80 * time.Second)
		b.at = time.Now()
		if !b.known() || b.cookies["session"] == old {
			t.Fatal("not renewed")
		}
		b.cookies["session"] = old
		if !b.known() {
			t.Error("a request on its way with the old cookie is not known")
		}
		delete(b.cookies, "session")
		time.Sleep(11 * time.Second)
		b.at, b.cookies["session"] = time.Now(), old
		if b.known() {
			t.Error("the old cookie is good for longer")
		}
	})
}

func TestRemember(t *testing.T) {
	for _, storage := range []string{"cookie", "kong"} {
		t.Run(storage, func(t *testing.T) {
			b := open(t, newPlane(t), `,"storage":"`+storage+`","remember":true`)
			_, lines := b.call(pdktest.Request{}, bob)
			if len(lines) != 2 || !strings.HasPrefix(lines[1], "remember=") || !strings.Contains(lines[1], "Max-Age=604800") || strings.Contains(lines[0], "Max-Age") {
				t.Fatalf("%v", lines)
			}
			delete(b.cookies, "session") // the browser was closed
			if !b.known() || b.cookies["session"] == "" {
				t.Error("not remembered")
			}
			r, lines := b.call(pdktest.Request{Method: "DELETE", Path: "/?session_logout=true"}, nil)
			if r.Status != 200 || len(lines) != 2 || len(b.cookies) != 0 {
				t.Errorf("logout: %v", lines)
			}
		})
	}
}

func TestLogout(t *testing.T) {
	form := [2]string{"Content-Type", "application/x-www-form-urlencoded"}
	for _, test := range []struct {
		name, config string
		request      pdktest.Request
		ends         bool
	}{
		{"query", ``, pdktest.Request{Method: "POST", Path: "/?session_logout=1"}, true},
		{"delete", ``, pdktest.Request{Method: "DELETE", Path: "/?a=1&session_logout"}, true},
		{"get", ``, pdktest.Request{Path: "/?session_logout=1"}, false},
		{"get allowed", `,"logout_methods":["GET"]`, pdktest.Request{Path: "/?session_logout=1"}, true},
		{"other argument", `,"logout_query_arg":"bye"`, pdktest.Request{Method: "POST", Path: "/?bye"}, true},
		{"body not read", ``, pdktest.Request{Method: "POST", Header: [][2]string{form}, Body: "session_logout=1"}, false},
		{"body", `,"read_body_for_logout":true`, pdktest.Request{Method: "POST", Header: [][2]string{form}, Body: "session_logout=1"}, true},
		{"JSON", `,"read_body_for_logout":true,"logout_post_arg":"bye"`, pdktest.Request{Method: "DELETE", Header: [][2]string{{"Content-Type", "application/json"}}, Body: `{"bye":true}`}, true},
		{"body without it", `,"read_body_for_logout":true`, pdktest.Request{Method: "POST", Header: [][2]string{form}, Body: "x=1"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := open(t, newPlane(t), test.config)
			b.call(pdktest.Request{}, bob)
			r, _ := b.call(test.request, nil)
			if r.Called == test.ends || b.known() == test.ends {
				t.Errorf("%d, upstream called %v", r.Status, r.Called)
			}
		})
	}
}

func TestForgeries(t *testing.T) {
	plane := newPlane(t)
	b := open(t, plane, "")
	b.call(pdktest.Request{}, bob)
	good := b.cookies["session"]
	flipped := []byte(good)
	flipped[len(flipped)/2] ^= 1
	for name, value := range map[string]string{"empty": "", "text": "hello", "short": "AQ", "flipped": string(flipped), "cut": good[:len(good)-4], "twice": good + good} {
		b.cookies["session"] = value
		if b.known() {
			t.Errorf("%s is believed", name)
		}
	}
	for name, config := range map[string]string{"another audience": `,"audience":"x"`, "another name": `,"cookie_name":"s2"`} {
		other := open(t, plane, config)
		other.cookies["session"], other.cookies["s2"] = good, good
		if other.known() {
			t.Errorf("%s: believed", name)
		}
	}
	other := &browser{Plugin: pdktest.Build(t, pdktest.Options{Plugin: session.Plugin, Config: `{"secret":"other"}`, View: plane}), t: t, cookies: map[string]string{"session": good}, at: b.at}
	if other.known() {
		t.Error("another secret: believed")
	}
	b.cookies["session"] = good
	if !b.known() {
		t.Error("the good one is not believed")
	}
}

func TestCookieAttributes(t *testing.T) {
	for config, want := range map[string]string{
		`,"cookie_path":"/x","cookie_domain":"example.com","cookie_same_site":"Lax","cookie_http_only":false`: "; Path=/x; Domain=example.com; SameSite=Lax; Secure",
		`,"cookie_same_site":"Default","cookie_secure":false`:                                                 "; Path=/; HttpOnly",
	} {
		_, lines := open(t, newPlane(t), config).call(pdktest.Request{}, bob)
		if len(lines) != 1 || !strings.HasSuffix(lines[0], want) || strings.Count(lines[0], ";") != strings.Count(want, ";") {
			t.Errorf("%s: %v", config, lines)
		}
	}
}

func TestConsumerIsGone(t *testing.T) {
	plane := newPlane(t)
	b := open(t, plane, `,"storage":"kong"`)
	b.call(pdktest.Request{}, &entity.Consumer{ID: goneID, Username: "gone"})
	if len(plane.Entities(session.Sessions)) != 1 {
		t.Fatal("no session")
	}
	r, lines := b.call(pdktest.Request{}, nil)
	if r.Upstream.Has("X-Consumer-ID") || len(lines) != 1 || !strings.Contains(lines[0], "Max-Age=0") || len(plane.Entities(session.Sessions)) != 0 {
		t.Errorf("%v", lines)
	}
}

func TestControlPlaneAway(t *testing.T) {
	plane := newPlane(t)
	b := open(t, plane, `,"storage":"kong"`)
	b.call(pdktest.Request{}, bob)
	plane.Fail(pdk.ErrControlAway)
	if !b.known() {
		t.Error("a session from before is not known")
	}
	if r, _ := b.call(pdktest.Request{Method: "POST", Path: "/?session_logout"}, nil); r.Status != 503 {
		t.Errorf("logout: %d %s", r.Status, r.Body)
	}
	fresh := open(t, plane, `,"storage":"kong"`)
	if r, lines := fresh.call(pdktest.Request{}, bob); r.Status != 200 || len(lines) > 0 {
		t.Errorf("login: %d %v", r.Status, lines)
	}
}

func TestTooLarge(t *testing.T) {
	many := &entity.Consumer{ID: bobID, Username: strings.Repeat("x", 5000)}
	b := open(t, newPlane(t), "")
	if _, lines := b.call(pdktest.Request{}, many); len(lines) > 0 {
		t.Errorf("a cookie of %s bytes", strconv.Itoa(len(lines[0])))
	}
	b = open(t, newPlane(t), `,"storage":"kong"`)
	if _, lines := b.call(pdktest.Request{}, many); len(lines) != 1 {
		t.Error("no session in storage kong")
	}
}
