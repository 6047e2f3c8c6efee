package proxy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/shared/referencetest"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// document makes changes of a recorded declarative document. Routes with a plugin that
// this product does not have are left out, and so are entities of unknown kinds.
type document struct {
	g       *gateway
	changes []config.Change
	// missing are the paths of routes that were left out.
	missing []string
}

// nested are the kinds that a document writes inside of others.
var nested = map[string]string{
	"routes": "service", "plugins": "", "targets": "upstream", "keyauth_credentials": "consumer", "basicauth_credentials": "consumer",
	"jwt_secrets": "consumer", "hmacauth_credentials": "consumer", "oauth2_credentials": "consumer", "acls": "consumer",
}

func (g *gateway) recorded(t testing.TB, name string, replace *strings.Replacer) *document {
	t.Helper()
	b, err := json.Marshal(referencetest.Config(t, name))
	if err != nil {
		t.Fatal(err)
	}
	top, err := schema.DecodeObject([]byte(replace.Replace(string(b))))
	if err != nil {
		t.Fatal(err)
	}
	d := &document{g: g}
	for _, kind := range []string{"services", "upstreams", "consumers", "routes"} {
		d.list(kind, top[kind], "", "")
	}
	return d
}

// list takes the objects of a kind; field refers to parent, when there is one.
func (d *document) list(kind string, list any, field, parent string) {
	all, _ := list.([]any)
	for i, v := range all {
		o := schema.Clone(v.(schema.Object))
		if field != "" {
			o[field] = schema.Object{"id": parent}
		}
		if kind == "routes" && d.leftOut(o) {
			continue
		}
		if _, ok := o["id"].(string); !ok {
			text, err := schema.EncodeJSON(o)
			if err != nil {
				d.g.t.Fatal(err)
			}
			o["id"] = uuid.NewSHA1(uuid.NameSpaceOID, append([]byte(kind+string(rune('a'+i))), text...)).String()
		}
		d.put(kind, o)
	}
}

// put takes an object and what is nested in it.
func (d *document) put(kind string, o schema.Object) {
	id := o["id"].(string)
	inside := map[string]any{}
	for name := range nested {
		if list, ok := o[name].([]any); ok {
			inside[name] = list
			delete(o, name)
		}
	}
	if d.g.kinds.ByKind(kind) == nil {
		return
	}
	d.changes = append(d.changes, d.g.change(kind, o))
	for name, list := range inside {
		field := nested[name]
		if field == "" {
			field = strings.TrimSuffix(kind, "s")
		}
		d.list(name, list, field, id)
	}
}

// leftOut tells whether a route has a plugin that is not here.
func (d *document) leftOut(route schema.Object) bool {
	list, _ := route["plugins"].([]any)
	for _, p := range list {
		name, _ := p.(schema.Object)["name"].(string)
		if d.g.plugin(name) {
			continue
		}
		paths, _ := route["paths"].([]any)
		for _, path := range paths {
			text, _ := path.(string)
			text = strings.TrimPrefix(text, "~")
			if i := strings.IndexByte(text[1:], '/'); i >= 0 {
				text = text[:i+1]
			}
			d.missing = append(d.missing, text)
		}
		return true
	}
	return false
}

// isMissing tells whether a request is for a route that was left out.
func (d *document) isMissing(path string) bool {
	for _, m := range d.missing {
		if rest, ok := strings.CutPrefix(path, m); ok && (rest == "" || rest[0] == '/' || rest[0] == '?') {
			return true
		}
	}
	return false
}
