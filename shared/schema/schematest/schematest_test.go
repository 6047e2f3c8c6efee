package schematest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

// recorder notes failures instead of failing.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

type ref struct {
	ID string `json:"id"`
}

func TestAgrees(t *testing.T) {
	text := schema.Field{Type: schema.String}
	s := &schema.Schema{Name: "test", TTL: true, Fields: []schema.Field{
		text.Named("a"),
		schema.Port().Named("b"),
		{Name: "c", Type: schema.Number},
		{Name: "d", Type: schema.Boolean},
		schema.ArrayOf(text).Named("e"),
		schema.MapOf(text, schema.ArrayOf(text)).Named("f"),
		schema.RecordOf(text.Named("x")).Named("g"),
		schema.ForeignTo("services", "").Named("h"),
		{Name: "i", Type: schema.Record, Abstract: true},
		{Name: "j", Type: schema.Any},
		{Name: "k", Type: schema.String, Transient: true},
	}}
	type inner struct {
		X string `json:"x"`
	}
	type base struct {
		A string `json:"a"`
		B *int   `json:"b"`
	}
	type good struct {
		base
		C    float64             `json:"c"`
		D    *bool               `json:"d"`
		E    []string            `json:"e"`
		F    map[string][]string `json:"f"`
		G    *inner              `json:"g"`
		H    *ref                `json:"h"`
		I    json.RawMessage     `json:"i"`
		J    any                 `json:"j"`
		TTL  int                 `json:"ttl"`
		Note string              `json:"-"`
	}
	schematest.Agrees(t, s, good{})
	schematest.Agrees(t, s, &good{})

	type bad struct {
		A int               `json:"a"`
		B string            `json:"b"`
		C int               `json:"c"`
		D string            `json:"d"`
		E []int             `json:"e"`
		F map[string]string `json:"f"`
		G inner             `json:"g"`
		H string            `json:"h"`
		J int               `json:"j"`
		Z string            `json:"z"`
	}
	r := &recorder{TB: t}
	schematest.Agrees(r, s, bad{})
	all := strings.Join(r.failures, "\n")
	for _, name := range []string{
		"field a ", "field b ", "field c ", "field d ", "field e.elements ", "field f.values ", "field h ", "field i is not in", "field j ", "member z ",
	} {
		if !strings.Contains(all, name) {
			t.Errorf("no complaint about %s in:\n%s", name, all)
		}
	}
	if len(r.failures) != 10 {
		t.Errorf("%d complaints:\n%s", len(r.failures), all)
	}

	config := &schema.Schema{Name: "plugin", Fields: []schema.Field{schema.PluginConfig(text.Named("x"))}}
	schematest.ConfigAgrees(t, config, inner{})
	r = &recorder{TB: t}
	schematest.ConfigAgrees(r, s, inner{})
	schematest.Agrees(r, s, 1)
	if len(r.failures) != 2 {
		t.Errorf("a missing config and a number gave %v", r.failures)
	}
}

func TestAsRecorded(t *testing.T) {
	r := &recorder{TB: t}
	schematest.AsRecorded(r, &schema.Schema{Name: "key_sets"}, "entities/key_sets.json")
	if len(r.failures) != 1 {
		t.Errorf("an empty schema gave %v", r.failures)
	}
	// A field of ours must be listed, and what is listed must be there and ours.
	unlisted := &schema.Schema{Name: "key_sets", Fields: []schema.Field{{Name: "mine", Type: schema.String, Extra: true}}}
	r = &recorder{TB: t}
	schematest.AsRecorded(r, unlisted, "entities/key_sets.json")
	schematest.AsRecorded(r, &schema.Schema{Name: "key_sets"}, "entities/key_sets.json", "mine")
	if len(r.failures) != 4 || !strings.Contains(r.failures[0], "beyond") || !strings.Contains(r.failures[2], "beyond") {
		t.Errorf("lists that do not fit gave %v", r.failures)
	}
}
