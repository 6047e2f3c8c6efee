package requesttransformer_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/requesttransformer"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, requesttransformer.Plugin.Schema, "plugins/request-transformer.json")
}

func TestAccess(t *testing.T) {
	form, json := [2]string{"Content-Type", "application/x-www-form-urlencoded"}, [2]string{"Content-Type", "application/json"}
	for _, test := range []struct {
		name, config string
		request      pdktest.Request
		url          string
		header       []string // lines that the upstream must get
		without      string   // a header that it must not get
		body         string
	}{
		{
			"headers", `{"remove":{"headers":["x-rm"]},"rename":{"headers":["x-old:x-new"]},"replace":{"headers":["x-rep:R","x-none:R"]},"add":{"headers":["x-add:A","x-rep:no"]},"append":{"headers":["x-app:2"]}}`,
			pdktest.Request{Header: [][2]string{{"X-Rm", "1"}, {"X-Old", "o"}, {"X-Rep", "r"}, {"X-App", "1"}}},
			"/",
			[]string{"x-new: o", "X-Rep: R", "x-add: A", "X-App: 1", "x-app: 2"},
			"x-rm", "",
		},
		{
			"query", `{"remove":{"querystring":["rm"]},"rename":{"querystring":["o:n"]},"replace":{"querystring":["r:R","none:R"]},"add":{"querystring":["a:1","r:no"]},"append":{"querystring":["p:2"]}}`,
			pdktest.Request{Path: "/x?rm=1&o=a%20b&r=1&r=2&p=1&flag"},
			"/x?n=a%20b&r=R&p=1&flag&a=1&p=2", nil, "", "",
		},
		{"query of its own", `{"add":{"querystring":["a:b c"]}}`, pdktest.Request{Path: "/x"}, "/x?a=b%20c", nil, "", ""},
		{"nothing left of the query", `{"remove":{"querystring":["a"]}}`, pdktest.Request{Path: "/x?a=1"}, "/x", nil, "", ""},
		{
			"form", `{"remove":{"body":["rm"]},"rename":{"body":["o:n"]},"replace":{"body":["r:R"]},"add":{"body":["a:1"]},"append":{"body":["p:2"]}}`,
			pdktest.Request{Method: "POST", Header: [][2]string{form}, Body: "rm=1&o=2&r=3&p=1"},
			"/", nil, "", "n=2&r=R&p=1&a=1&p=2",
		},
		{
			"JSON", `{"remove":{"body":["rm"]},"replace":{"body":["r:R"]},"add":{"body":["a:1"]}}`,
			pdktest.Request{Method: "POST", Header: [][2]string{json}, Body: `{"rm":1,"r":2,"k":[1.0]}`},
			"/", nil, "", `{"r":"R","k":[1.0],"a":"1"}`,
		},
		{"a body of another kind", `{"add":{"body":["a:1"]}}`, pdktest.Request{Method: "POST", Body: "x"}, "/", nil, "", "x"},
		{
			"templates", `{"add":{"headers":["x-t:$(headers['x-in'] or 'none')-$(headers.missing or query_params.q)-$(\"a\" .. 7)"]}}`,
			pdktest.Request{Path: "/?q=z%2Fy", Header: [][2]string{{"X-In", "i"}}},
			"/?q=z%2Fy",
			[]string{"x-t: i-z/y-a7"},
			"", "",
		},
		{
			"templates see what came", `{"remove":{"headers":["x-in"]},"add":{"headers":["x-t:$(headers.x_in)"]}}`,
			pdktest.Request{Header: [][2]string{{"X-In", "i"}}},
			"/",
			[]string{"x-t: i"},
			"x-in", "",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: requesttransformer.Plugin, Config: test.config})
			r := p.Do(test.request)
			if r.Err != nil || r.Upstream.URL != test.url {
				t.Errorf("the upstream gets %q, want %q, %v", r.Upstream.URL, test.url, r.Err)
			}
			var lines []string
			for _, l := range r.Upstream.Header {
				lines = append(lines, strings.ToLower(l[0])+": "+l[1])
			}
			for _, want := range test.header {
				name, value, _ := strings.Cut(want, ": ")
				if !slices.Contains(lines, strings.ToLower(name)+": "+value) {
					t.Errorf("the upstream does not get %q but %q", want, lines)
				}
			}
			if test.without != "" && r.Upstream.Has(test.without) {
				t.Errorf("the upstream gets %s", test.without)
			}
			if test.body != "" && r.Upstream.Body != test.body {
				t.Errorf("the upstream gets the body %q, want %q", r.Upstream.Body, test.body)
			}
		})
	}
}

func TestPathAndMethod(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: requesttransformer.Plugin, Config: `{"http_method":"PUT","replace":{"uri":"/new/$(uri_captures.id)/$(uri_captures[1])/a b"}}`})
	x := p.NewExchange(pdktest.Request{Path: "/old"})
	x.Captures = pdk.Captures{Names: []string{"", "id"}, Values: []string{"/old/7", "7"}}
	r := pdktest.Run(t, x, []*pdktest.Plugin{p}, func(*pdk.Exchange) pdktest.Response { return pdktest.Response{} })
	if r.Upstream.URL != "/new/7/7/a%20b" || x.Upstream.Method != "PUT" {
		t.Errorf("the upstream gets %s %q", x.Upstream.Method, r.Upstream.URL)
	}
}

func TestTemplatesThatAreRefused(t *testing.T) {
	for _, bad := range []string{"$(", "$(os.exit())", "$(headers)", "$(headers.)", "$(headers['x)", "$('a' 'b')", "$(uri_captures[0])", "$(headers.x"} {
		if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: requesttransformer.Plugin, Config: `{"add":{"headers":["x:` + strings.ReplaceAll(bad, `"`, `\"`) + `"]}}`}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestBodiesAndMethods(t *testing.T) {
	form, json := [2]string{"Content-Type", "application/x-www-form-urlencoded"}, [2]string{"Content-Type", "application/json"}
	for _, test := range []struct {
		name, config string
		request      pdktest.Request
		url, body    string
	}{
		{"a form becomes a query", `{"http_method":"GET"}`, pdktest.Request{Method: "POST", Path: "/?a=1", Header: [][2]string{form}, Body: "b=%20x&c"}, "/?a=1&b=%20x&c", "b=%20x&c"},
		{"another method", `{"http_method":"PUT"}`, pdktest.Request{Method: "POST", Header: [][2]string{form}, Body: "b=1"}, "/", "b=1"},
		{"no form", `{"http_method":"HEAD"}`, pdktest.Request{Method: "POST", Header: [][2]string{json}, Body: `{"b":1}`}, "/", `{"b":1}`},
		{"append to what is not there", `{"append":{"body":["p:2"]}}`, pdktest.Request{Method: "POST", Header: [][2]string{json}, Body: `{"a":1}`}, "/", `{"a":1,"p":["2"]}`},
		{"append to a string", `{"append":{"body":["a:2"]}}`, pdktest.Request{Method: "POST", Header: [][2]string{json}, Body: `{"a":"1"}`}, "/", `{"a":["1","2"]}`},
		{"add to no body", `{"add":{"body":["p:2"]}}`, pdktest.Request{Method: "POST", Header: [][2]string{json}}, "/", `{"p":"2"}`},
		{"nothing to do without a body", `{"remove":{"body":["p"]}}`, pdktest.Request{Method: "POST", Header: [][2]string{json}}, "/", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := pdktest.Build(t, pdktest.Options{Plugin: requesttransformer.Plugin, Config: test.config}).Do(test.request)
			if r.Err != nil || r.Upstream.URL != test.url || r.Upstream.Body != test.body {
				t.Errorf("the upstream gets %s %q, %v, want %s %q", r.Upstream.URL, r.Upstream.Body, r.Err, test.url, test.body)
			}
		})
	}
}
