package pdk_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestErrorTemplates(t *testing.T) {
	forms := map[string]pdk.ErrorType{"text/plain": pdk.ErrorText, "text/html": pdk.ErrorHTML, "application/json": pdk.ErrorJSON, "application/xml": pdk.ErrorXML}
	for _, tt := range []struct{ accept, template, message, want string }{
		{"text/plain", "%s (%s)\n", "it failed", "it failed (id)\n"},
		{"text/plain", "100%% %s", "sure", "100% sure"},
		{"text/plain", "", "it failed", ""},
		{"text/plain", "always", "it failed", "always"},
		{"text/html", "<p>%s</p>%%s<i>%s</i>", "a<b", "<p>a&lt;b</p>%s<i>id</i>"},
		{"application/xml", "<e>%s</e>", "a&b", "<e>a&amp;b</e>"},
		{"application/json", `{"error":"%s","id":"%s"}`, "a\"b\n", `{"error":"a\"b\n","id":"id"}`},
	} {
		var templates pdk.ErrorTemplates
		if err := templates.Set(forms[tt.accept], tt.template); err != nil {
			t.Fatal(err)
		}
		x := pdk.Exchange{ID: "id", Errors: &templates}
		x.Request.Header.Add("Accept", tt.accept)
		_ = x.Fail(502, tt.message)
		if got := string(x.Response.Buffered); got != tt.want || x.Response.ContentLength != int64(len(tt.want)) || x.Response.Header.Get("Content-Type") == "" {
			t.Errorf("%s %q: %q, want %q", tt.accept, tt.template, got, tt.want)
		}
		// Other forms, and what plugins answer, have nothing to do with it.
		for accept := range forms {
			if accept == tt.accept {
				continue
			}
			plain, other := pdk.Exchange{ID: "id"}, pdk.Exchange{ID: "id", Errors: &templates}
			for _, x := range []*pdk.Exchange{&plain, &other} {
				x.Request.Header.Add("Accept", accept)
				_ = x.Fail(502, tt.message)
			}
			if got, want := string(other.Response.Buffered), string(plain.Response.Buffered); got != want {
				t.Errorf("%s with a template of %s: %q, want %q", accept, tt.accept, got, want)
			}
		}
		_ = x.Exit(403, "no")
		if got := string(x.Response.Buffered); got != `{"message":"no"}` {
			t.Errorf("an exit: %q", got)
		}
	}
	for _, template := range []string{"%d", "%", "a%", "%s %s %s", "%5s"} {
		var templates pdk.ErrorTemplates
		if err := templates.Set(pdk.ErrorText, template); err == nil {
			t.Errorf("%q is taken", template)
		}
	}
}
