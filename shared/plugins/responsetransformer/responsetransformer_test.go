package responsetransformer_test

import (
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/responsetransformer"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, responsetransformer.Plugin.Schema, "plugins/response-transformer.json")
}

func TestAnswers(t *testing.T) {
	const members = `{"remove":{"json":["rm"]},"rename":{"json":["old:new"]},"replace":{"json":["rep:R","none:R","n:5"],"json_types":["string","string","number"]},` +
		`"add":{"json":["added:1","flag:true","rep:no"],"json_types":["number","boolean"]},"append":{"json":["list:x"]}}`
	for _, test := range []struct {
		name, config, contentType, body, want string
	}{
		{"members", members, "application/json; charset=utf-8", `{"rm":1,"old":[1.0],"rep":2,"n":1,"list":["a"]}`, `{"new":[1.0],"rep":"R","n":5,"list":["a","x"],"added":1,"flag":true}`},
		{"no object", members, "application/json", `[1]`, `[1]`},
		{"no JSON", members, "text/plain", `{"rm":1}`, `{"rm":1}`},
		{"too large", members, "application/json", `{"rm":"` + strings.Repeat("x", responsetransformer.MaxBody) + `"}`, `{"rm":"` + strings.Repeat("x", responsetransformer.MaxBody) + `"}`},
		{"headers alone", `{"remove":{"headers":["x-rm"]}}`, "application/json", `{"rm":1}`, `{"rm":1}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: responsetransformer.Plugin, Config: test.config})
			r := p.DoWith(pdktest.Request{}, func(*pdk.Exchange) pdktest.Response {
				return pdktest.Response{Header: [][2]string{{"Content-Type", test.contentType}}, Body: test.body}
			})
			if r.Err != nil || r.Body != test.want {
				t.Errorf("got %.200s, want %.200s, %v", r.Body, test.want, r.Err)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: responsetransformer.Plugin, Config: `{"remove":{"headers":["x-rm"]},"rename":{"headers":["x-old:x-new"]},"replace":{"headers":["x-rep:R","x-none:R"]},"add":{"headers":["x-add:A","x-rep:no"]},"append":{"headers":["x-app:2"]}}`})
	r := p.DoWith(pdktest.Request{}, func(*pdk.Exchange) pdktest.Response {
		return pdktest.Response{Header: [][2]string{{"X-Rm", "1"}, {"X-Old", "o"}, {"X-Rep", "r"}, {"X-App", "1"}}}
	})
	for name, want := range map[string]string{"x-rm": "", "x-old": "", "x-new": "o", "x-rep": "R", "x-none": "", "x-add": "A", "x-app": "1"} {
		if got := r.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
