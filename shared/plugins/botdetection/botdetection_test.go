package botdetection_test

import (
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/botdetection"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, botdetection.Plugin.Schema, "plugins/bot-detection.json")
}

func TestPlugin(t *testing.T) {
	for _, test := range []struct {
		name, config string
		agents       []string
		status       int
	}{
		{"none", ``, nil, 200},
		{"browser", ``, []string{"Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"}, 200},
		{"curl", ``, []string{"curl/8.0"}, 200},
		{"two", ``, []string{"a", "b"}, 400},
		{"known", ``, []string{"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"}, 403},
		{"search engine", ``, []string{"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}, 403},
		{"library", ``, []string{"Go-http-client/1.1"}, 403},
		{"another library", ``, []string{"axios/1.6.0"}, 403},
		{"messenger", ``, []string{"WhatsApp/2.21.12"}, 403},
		{"cloud", ``, []string{"Boto3/1.20.1 Python/3.9"}, 403},
		{"own name", ``, []string{"my-own-bot/2.0 (+http://x)"}, 403},
		{"shouting", ``, []string{"THE CRAWLER"}, 403},
		{"scripts", ``, []string{"python-requests/2.31"}, 200},
		{"wget", ``, []string{"Wget/1.21"}, 200},
		{"robot without a number", ``, []string{"Robot"}, 200},
		{"long", ``, []string{strings.Repeat("x", 5000)}, 200},
		{"empty", ``, []string{""}, 200},
		{"denied", `{"deny":["^mine"]}`, []string{"mine/1"}, 403},
		{"allow first", `{"allow":["facebook"],"deny":["facebook"]}`, []string{"facebookexternalhit/1.1"}, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: botdetection.Plugin, Config: test.config})
			var lines [][2]string
			for _, a := range test.agents {
				lines = append(lines, [2]string{"User-Agent", a})
			}
			for range 2 { // the second time it is known
				r := p.Do(pdktest.Request{Header: lines})
				if r.Status != test.status || r.Status == 400 && !strings.Contains(r.Body, "Only one User-Agent header allowed") {
					t.Errorf("got %d %s", r.Status, r.Body)
				}
			}
		})
	}
	if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: botdetection.Plugin, Config: `{"deny":["("]}`}); err == nil {
		t.Error("a broken expression is taken")
	}
}
