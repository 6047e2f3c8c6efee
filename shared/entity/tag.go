package entity

import "github.com/sluice-gateway/sluice/shared/schema"

// Tag is one row of the view of tags: an entity and a tag that it has.
type Tag struct {
	Tag        string `json:"tag"`
	EntityName string `json:"entity_name"`
	EntityID   string `json:"entity_id"`
}

// Tags is the kind "tags": a read-only view that is made from the tags of all
// other entities. Nothing is stored under it.
var Tags = &Def{
	New:    func() any { return new(Tag) },
	Hidden: true,
	Schema: &schema.Schema{
		Name:        "tags",
		PrimaryKey:  []string{"tag"},
		EndpointKey: "tag",
		NotExported: true,
		Fields: []schema.Field{
			schema.Tag().Named("tag").AsRequired(),
			{Name: "entity_name", Type: schema.String, Required: true},
			{Name: "entity_id", Type: schema.String, UUID: true, Auto: true, Required: true},
		},
	},
}
