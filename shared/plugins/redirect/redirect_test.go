package redirect_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/redirect"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, redirect.Plugin.Schema, "plugins/redirect.json")
}

func TestPlugin(t *testing.T) {
	for _, test := range []struct {
		config, path, location string
		status                 int
	}{
		{`{"location":"https://r.example/p"}`, "/a?b=c", "https://r.example/p", 301},
		{`{"location":"https://r.example/p","status_code":302}`, "/", "https://r.example/p", 302},
		{`{"location":"https://r.example:8443/p?x","keep_incoming_path":true}`, "/a%20b?b=c", "https://r.example:8443/a%20b?b=c", 301},
		{`{"location":"https://r.example/p","keep_incoming_path":true}`, "/", "https://r.example/", 301},
	} {
		p := pdktest.Build(t, pdktest.Options{Plugin: redirect.Plugin, Config: test.config})
		r := p.Do(pdktest.Request{Path: test.path})
		if r.Status != test.status || r.Get("Location") != test.location || r.Body != "redirecting" || r.Get("Content-Type") != "" {
			t.Errorf("%s: got %d, Location %q, %s", test.config, r.Status, r.Get("Location"), r.Body)
		}
	}
	if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: redirect.Plugin, Config: `{"location":"nowhere"}`}); err == nil {
		t.Error("a location that is no URL is taken")
	}
}
