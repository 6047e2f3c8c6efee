package schematest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/referencetest"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/render"
)

// AsRecorded fails the test unless the schema renders as a recorded answer of
// /schemas says, such as "plugins/key-auth.json". Descriptions, and messages of
// deprecations, are our own and do not count. beyond names the fields at the top that
// are ours beyond Kong's: they must be there, be marked as Extra, and be all that are.
func AsRecorded(t testing.TB, s *schema.Schema, file string, beyond ...string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(referencetest.Dir(t), "schemas", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	rendered, err := schema.EncodeJSON(render.Schema(s))
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(rendered, &got); err != nil {
		t.Fatal(err)
	}
	var own []string
	for i := range s.Fields {
		if s.Fields[i].Extra {
			own = append(own, s.Fields[i].Name)
		}
	}
	if diff := cmp.Diff(beyond, own); diff != "" {
		t.Errorf("schema %s has other fields beyond Kong's than listed (-listed +schema):\n%s", s.Name, diff)
	}
	bare(got, false)
	bare(want, false)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("schema %s renders otherwise than %s (-recorded +rendered):\n%s", s.Name, file, diff)
	}
}

// bare removes the texts that are free. names is true for an object whose keys are
// names of fields.
func bare(v any, names bool) {
	switch v := v.(type) {
	case map[string]any:
		if !names {
			delete(v, "description")
			if d, ok := v["deprecation"].(map[string]any); ok {
				delete(d, "message")
			}
		}
		for k, e := range v {
			switch list, ok := e.([]any); {
			case ok && !names && (k == "fields" || k == "shorthand_fields"):
				for _, f := range list {
					bare(f, true)
				}
			default:
				bare(e, false)
			}
		}
	case []any:
		for _, e := range v {
			bare(e, false)
		}
	}
}
