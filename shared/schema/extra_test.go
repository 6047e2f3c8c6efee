package schema_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/render"
)

// beyond has a field of every kind that Kong's open edition lacks.
func beyond() *schema.Schema {
	sub := &schema.Schema{Name: "alone", Fields: []schema.Field{schema.NoConsumer(), schema.PluginConfig()}}
	both := &schema.Schema{Name: "both", Fields: []schema.Field{schema.PluginConfig()}}
	return &schema.Schema{
		Name: "things", Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			{Name: "name", Type: schema.String, Required: true},
			schema.ForeignTo("consumers", "").Named("consumer").Defaults(schema.Null),
			{Name: "group", Type: schema.Foreign, Reference: "groups", Extra: true, NullWith: "consumer"},
			{Name: "config", Type: schema.Record, Abstract: true},
			schema.UpdatedAt(),
		},
		SubschemaKey: "name",
		Subschema: func(name string) (*schema.Schema, bool) {
			s, ok := map[string]*schema.Schema{"alone": sub, "both": both}[name]
			return s, ok
		},
	}
}

func TestExtraFields(t *testing.T) {
	s := beyond()
	o, err := s.Process(schema.Object{"name": "both"}, schema.Insert, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, shown := s.Read(o)["group"]; shown {
		t.Error("an extra field that is not set is shown")
	}
	if _, stored := o["group"]; stored {
		t.Error("an extra field that is not set is stored")
	}
	ref := schema.Object{"id": "5b0b9d83-3d75-4a12-9a8b-5b4c0f1a0a01"}
	if o, err = s.Process(schema.Object{"group": ref}, schema.Update, o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ref, s.Read(o)["group"]); diff != "" {
		t.Error(diff)
	}
	if o, err = s.Process(schema.Object{"group": nil}, schema.Update, o); err != nil || o["group"] != nil {
		t.Errorf("taken back: %v, %v", o, err)
	}
	for _, f := range render.Schema(s)["fields"].([]any) {
		if f.(schema.Object)["group"] != nil {
			t.Error("an extra field is rendered")
		}
	}
}

func TestNullWithAnotherField(t *testing.T) {
	ref := schema.Object{"id": "5b0b9d83-3d75-4a12-9a8b-5b4c0f1a0a01"}
	_, err := beyond().Process(schema.Object{"name": "alone", "group": ref}, schema.Insert, nil)
	v, ok := errors.AsType[*schema.Violation](err)
	if !ok || v.Fields["group"] != "value must be null" {
		t.Errorf("got %v", err)
	}
}

func TestWorkspaceIsKept(t *testing.T) {
	s := beyond()
	o, err := s.Process(schema.Object{"name": "both"}, schema.Insert, nil)
	if err != nil {
		t.Fatal(err)
	}
	o[schema.WorkspaceID] = "w"
	for _, op := range []schema.Op{schema.Update, schema.Upsert, schema.Declare, schema.DeclareStored} {
		again, err := s.Process(schema.Object{"name": "both"}, op, o)
		if err != nil || again[schema.WorkspaceID] != "w" {
			t.Errorf("operation %d: %v, %v", op, again, err)
		}
		if op == schema.Declare && again["updated_at"] != o["updated_at"] {
			t.Error("what is declared again counts as changed")
		}
	}
	if _, shown := s.Read(o)[schema.WorkspaceID]; shown {
		t.Error("the workspace is shown")
	}
	for _, op := range []schema.Op{schema.Insert, schema.Update} {
		if _, err := s.Process(schema.Object{"name": "both", schema.WorkspaceID: "mine"}, op, o); err == nil {
			t.Errorf("operation %d takes a workspace from a client", op)
		}
	}
}
