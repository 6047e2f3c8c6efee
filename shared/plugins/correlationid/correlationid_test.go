package correlationid_test

import (
	"regexp"
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/correlationid"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, correlationid.Plugin.Schema, "plugins/correlation-id.json")
}

func TestPlugin(t *testing.T) {
	const random = `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`
	for generator, want := range map[string]string{
		"uuid": random + `$`, "uuid#counter": random + `#\d+$`, "tracker": `^[0-9a-f.:]+-\d+-\d+-\d+-\d+-\d+\.\d{3}$`,
	} {
		p := pdktest.Build(t, pdktest.Options{Plugin: correlationid.Plugin, Config: `{"generator":"` + generator + `","echo_downstream":true}`})
		first, second := p.Do(pdktest.Request{}), p.Do(pdktest.Request{})
		id := first.Upstream.Get("Kong-Request-ID")
		if !regexp.MustCompile(want).MatchString(id) || first.Get("Kong-Request-ID") != id {
			t.Errorf("%s: the upstream gets %q, the client %q", generator, id, first.Get("Kong-Request-ID"))
		}
		if second.Upstream.Get("Kong-Request-ID") == id {
			t.Errorf("%s: the same id twice", generator)
		}
	}
	p := pdktest.Build(t, pdktest.Options{Plugin: correlationid.Plugin, Config: `{"header_name":"X-Id"}`})
	r := p.Do(pdktest.Request{Header: [][2]string{{"x-id", "mine"}}})
	if r.Upstream.Get("X-Id") != "mine" || r.Get("X-Id") != "" {
		t.Errorf("the upstream gets %q, the client %q", r.Upstream.Get("X-Id"), r.Get("X-Id"))
	}
}
