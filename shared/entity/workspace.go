package entity

import "github.com/sluice-gateway/sluice/shared/schema"

// Workspace is a typed workspaces entity.
type Workspace struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Comment   string          `json:"comment"`
	CreatedAt int64           `json:"created_at"`
	UpdatedAt int64           `json:"updated_at"`
	Meta      WorkspaceMeta   `json:"meta"`
	Config    WorkspaceConfig `json:"config"`
}

// WorkspaceMeta is how a workspace looks to people.
type WorkspaceMeta struct {
	Color     string `json:"color"`
	Thumbnail string `json:"thumbnail"`
}

// WorkspaceConfig is kept for clients of Kong's that set it. Nothing here follows it:
// there is no developer portal.
type WorkspaceConfig struct {
	Meta   map[string]string `json:"meta"`
	Portal bool              `json:"portal"`
}

// Workspaces is the kind "workspaces": parts of the configuration whose names, keys, tags
// and global plugins are their own. "default" is always there. The kind is not streamed:
// entities say the id of their workspace, and WorkspaceNames what data planes call it.
var Workspaces = &Def{
	New:    func() any { return new(Workspace) },
	Hidden: true,
	Schema: &schema.Schema{
		Name:        "workspaces",
		PrimaryKey:  []string{"id"},
		EndpointKey: "name",
		CacheKey:    []string{"name"},
		NotExported: true,
		Fields: []schema.Field{
			schema.ID(),
			workspaceName(),
			{Name: "comment", Type: schema.String},
			schema.CreatedAt(),
			schema.UpdatedAt(),
			schema.RecordOf(
				schema.Field{Name: "color", Type: schema.String, Extra: true, Description: "Color in which people see the workspace."},
				schema.Field{Name: "thumbnail", Type: schema.String, Extra: true, Description: "Address of a picture for the workspace."},
			).Named("meta").AsRequired(),
			schema.RecordOf(
				workspaceConfig("meta", schema.MapOf(schema.Field{Type: schema.String}, schema.Field{Type: schema.String}), "Values that clients keep with the workspace."),
				workspaceConfig("portal", schema.Field{Type: schema.Boolean}, "Kept for clients that set it; there is no developer portal."),
			).Named("config").AsRequired(),
		},
	},
}

func workspaceConfig(name string, f schema.Field, description string) schema.Field {
	f.Name, f.Extra, f.Description = name, true, description
	return f
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

// WorkspaceName is a typed workspace_names entity. Its id is the workspace's.
type WorkspaceName struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// WorkspaceNames is the kind "workspace_names": what data planes call the workspaces in
// logs and metrics. The control plane writes it with each workspace but the default one,
// so that configurations that know no other stay as they are.
var WorkspaceNames = &Def{
	New: func() any { return new(WorkspaceName) },
	Schema: &schema.Schema{
		Name:        "workspace_names",
		PrimaryKey:  []string{"id"},
		NoAdmin:     true,
		NotExported: true,
		Runtime:     true,
		Fields: []schema.Field{
			schema.ID(),
			{Name: "name", Type: schema.String, Required: true, Description: "Name of the workspace with the same id."},
		},
	},
}
