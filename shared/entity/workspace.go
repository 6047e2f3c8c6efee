package entity

import "github.com/sluice-gateway/sluice/shared/schema"

// DefaultWorkspaceID is the id of the one workspace there is.
const DefaultWorkspaceID = "0dc6f45b-8f8d-40d2-a504-473544ee190b"

// Workspace is a typed workspaces entity.
type Workspace struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Comment   string         `json:"comment"`
	CreatedAt int64          `json:"created_at"`
	UpdatedAt int64          `json:"updated_at"`
	Meta      map[string]any `json:"meta"`
	Config    map[string]any `json:"config"`
}

// Workspaces is the kind "workspaces". There is one, "default", without endpoints.
var Workspaces = &Def{
	New:    func() any { return new(Workspace) },
	Hidden: true,
	Schema: &schema.Schema{
		Name:        "workspaces",
		PrimaryKey:  []string{"id"},
		EndpointKey: "name",
		CacheKey:    []string{"name"},
		NoAdmin:     true,
		NotExported: true,
		Fields: []schema.Field{
			schema.ID(),
			workspaceName(),
			{Name: "comment", Type: schema.String},
			schema.CreatedAt(),
			schema.UpdatedAt(),
			schema.RecordOf().Named("meta").AsRequired(),
			schema.RecordOf().Named("config").AsRequired(),
		},
	},
}

// workspaceName: names that are collections of the Admin API are taken.
func workspaceName() schema.Field {
	f := stated(schema.Name().Named("name").AsUnique().AsRequired())
	f.NotOneOf = schema.OneOf(
		"workspaces", "consumers", "certificates", "services", "routes", "snis", "upstreams", "targets", "plugins", "tags",
		"ca_certificates", "clustering_data_planes", "parameters", "vaults", "key_sets", "keys", "filter_chains",
	).OneOf
	return f
}
