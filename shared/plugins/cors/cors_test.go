package cors_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/cors"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, cors.Plugin.Schema, "plugins/cors.json")
}

func TestPlugin(t *testing.T) {
	ask := func(origin string) [][2]string {
		return [][2]string{{"Origin", origin}, {"Access-Control-Request-Method", "PUT"}, {"Access-Control-Request-Headers", "x-a, x-b"}}
	}
	const listed = `{"origins":["http://a.example","https?://.*\\.b\\.example","c.example"],"credentials":true,"exposed_headers":["x-e","x-f"],"max_age":600,"methods":["GET","PUT"],"headers":["x-h"]}`
	for _, test := range []struct {
		name, config, method string
		header               [][2]string
		called               bool
		want                 map[string]string
	}{
		{"any", ``, "GET", [][2]string{{"Origin", "http://z.example"}}, true, map[string]string{"Access-Control-Allow-Origin": "*", "Vary": ""}},
		{"any, preflight", ``, "OPTIONS", ask("http://z.example"), false, map[string]string{
			"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "x-a, x-b", "Access-Control-Allow-Methods": "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT",
			"Access-Control-Max-Age": "",
		}},
		{"any with credentials", `{"credentials":true}`, "GET", [][2]string{{"Origin", "http://z.example"}}, true, map[string]string{
			"Access-Control-Allow-Origin": "http://z.example", "Access-Control-Allow-Credentials": "true", "Vary": "Origin",
		}},
		{"listed", listed, "GET", [][2]string{{"Origin", "http://a.example"}}, true, map[string]string{
			"Access-Control-Allow-Origin": "http://a.example", "Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "x-e,x-f", "Vary": "Origin",
		}},
		{"expression", listed, "GET", [][2]string{{"Origin", "https://x.b.example"}}, true, map[string]string{"Access-Control-Allow-Origin": "https://x.b.example"}},
		{"expression is anchored", listed, "GET", [][2]string{{"Origin", "https://x.b.example.evil"}}, true, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"host alone", listed, "GET", [][2]string{{"Origin", "https://c.example:8443"}}, true, map[string]string{"Access-Control-Allow-Origin": "https://c.example:8443"}},
		{"not listed", listed, "GET", [][2]string{{"Origin", "http://z.example"}}, true, map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}},
		{"own port", listed, "GET", [][2]string{{"Origin", "http://a.example:80"}}, true, map[string]string{"Access-Control-Allow-Origin": "http://a.example"}},
		{"listed, preflight", listed, "OPTIONS", ask("http://a.example"), false, map[string]string{
			"Access-Control-Allow-Origin": "http://a.example", "Access-Control-Allow-Headers": "x-h", "Access-Control-Allow-Methods": "GET,PUT", "Access-Control-Max-Age": "600",
		}},
		{"not listed, preflight", listed, "OPTIONS", ask("http://z.example"), false, map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Methods": "GET,PUT"}},
		{"any among several", `{"origins":["http://a.example","*"]}`, "GET", [][2]string{{"Origin", "http://z.example"}}, true, map[string]string{"Access-Control-Allow-Origin": "*", "Vary": "Origin"}},
		{"any among several, nobody asks", `{"origins":["http://a.example","*"]}`, "GET", nil, true, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"upstream answers", `{"preflight_continue":true}`, "OPTIONS", ask("http://a.example"), true, map[string]string{"Access-Control-Allow-Origin": ""}},
		{"one origin", `{"origins":["http://a.example"]}`, "GET", nil, true, map[string]string{"Access-Control-Allow-Origin": "http://a.example", "Vary": "Origin"}},
		{"no preflight", ``, "OPTIONS", [][2]string{{"Origin", "http://a.example"}}, true, map[string]string{"Access-Control-Allow-Origin": "*"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: cors.Plugin, Config: test.config})
			r := p.Do(pdktest.Request{Method: test.method, Header: test.header})
			if r.Status != 200 || r.Called != test.called {
				t.Errorf("got %d, upstream called %v", r.Status, r.Called)
			}
			for name, want := range test.want {
				if got := r.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
	if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: cors.Plugin, Config: `{"origins":["("]}`}); err == nil {
		t.Error("a broken expression is taken")
	}
}
