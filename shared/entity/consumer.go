package entity

import "github.com/sluice-gateway/sluice/shared/schema"

// Consumer is a typed consumers entity.
type Consumer struct {
	ID        string   `json:"id"`
	Username  string   `json:"username"`
	CustomID  string   `json:"custom_id"`
	Tags      []string `json:"tags"`
	CreatedAt int64    `json:"created_at"`
	UpdatedAt int64    `json:"updated_at"`
	// WorkspaceID is "" for the default workspace, whose id data planes do not know.
	WorkspaceID string `json:"ws_id"`
}

// Consumers is the kind "consumers": who calls.
var Consumers = &Def{
	New: func() any { return new(Consumer) },
	Schema: &schema.Schema{
		Name:          "consumers",
		PrimaryKey:    []string{"id"},
		EndpointKey:   "username",
		Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.UpdatedAt(),
			{Name: "username", Type: schema.String, Unique: true},
			{Name: "custom_id", Type: schema.String, Unique: true},
			schema.Tags(),
		},
		Checks: []schema.EntityCheck{{AtLeastOneOf: []string{"custom_id", "username"}}},
	},
}
