package entity_test

import (
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestStructsAgree(t *testing.T) {
	for _, d := range entity.All(entity.Options{}) {
		except := map[string][]string{
			// Of the other flavor.
			"routes": {"expression", "priority", "ws_id"},
			// Kept with an entity of a workspace, and no field of any.
			"services": {"ws_id"}, "consumers": {"ws_id"},
			// Active and passive checks share their types; only active ones have intervals.
			"upstreams": {"healthchecks.passive.healthy.interval", "healthchecks.passive.unhealthy.interval"},
		}[d.Kind()]
		schematest.Agrees(t, d.Schema, d.New(), except...)
	}
	d := entity.Routes(entity.Expressions, nil)
	schematest.Agrees(t, d.Schema, d.New(), "ws_id")
}

// beyondKong are the fields of ours that Kong's open edition does not have. Nothing else
// may differ from the recorded schemas.
var beyondKong = map[string][]string{
	"upstreams": {
		"sticky_sessions_cookie", "sticky_sessions_cookie_path", "sticky_sessions_key", "slow_start", "zone_label", "outlier_detection", "limits",
	},
	"targets": {"failover"},
	"plugins": {"consumer_group", "ordering", "condition"},
}

func TestSchemasAsRecorded(t *testing.T) {
	// Kinds beyond Kong's open edition have no recorded schema.
	beyond := []string{"consumer_groups", "consumer_group_consumers", "workspace_names", "target_marks"}
	for _, d := range entity.NewKinds(entity.Options{}).All() {
		if slices.Contains(beyond, d.Kind()) {
			continue
		}
		t.Run(d.Kind(), func(t *testing.T) {
			schematest.AsRecorded(t, d.Schema, "entities/"+d.Kind()+".json", beyondKong[d.Kind()]...)
		})
	}
	t.Run("routes of the expressions flavor", func(t *testing.T) {
		schematest.AsRecorded(t, entity.Routes(entity.Expressions, nil).Schema, "routes.expressions.json")
	})
}
