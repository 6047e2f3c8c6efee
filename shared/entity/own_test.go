package entity_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// TestOwnFieldsAreAbsent holds that answers do not have our own fields while they are
// unset, and do have them when they are set.
func TestOwnFieldsAreAbsent(t *testing.T) {
	kinds := entity.NewKinds(entity.Options{})
	for kind, in := range map[string]schema.Object{
		"upstreams": {"name": "u"}, "targets": {"target": "a:1", "upstream": schema.Object{"id": parent}},
	} {
		s := kinds.ByKind(kind).Schema
		stored, err := s.Process(in, schema.Insert, nil)
		if err != nil {
			t.Fatal(err)
		}
		shown := s.Read(stored)
		for _, name := range beyondKong[kind] {
			if v, there := shown[name]; there {
				t.Errorf("%s: %s is shown as %v", kind, name, v)
			}
		}
	}
	s := kinds.ByKind("targets").Schema
	target := schema.Object{"target": "a:1", "upstream": schema.Object{"id": parent}, "failover": true}
	stored, err := s.Process(target, schema.Insert, nil)
	if err != nil {
		t.Fatal(err)
	}
	if shown := s.Read(stored); shown["failover"] != true {
		t.Errorf("failover is set and shown as %v", shown["failover"])
	}
	if stored, err = s.Process(schema.Object{"failover": nil}, schema.Update, stored); err != nil {
		t.Fatal(err)
	}
	if v, there := s.Read(stored)["failover"]; there {
		t.Errorf("failover was unset and is shown as %v", v)
	}
}
