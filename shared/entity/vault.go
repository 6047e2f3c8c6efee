package entity

import (
	"encoding/json"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Vault is a typed vaults entity: where references {vault://prefix/...} lead to.
type Vault struct {
	ID          string          `json:"id"`
	Prefix      string          `json:"prefix"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Config      json.RawMessage `json:"config"`
	Tags        []string        `json:"tags"`
	CreatedAt   int64           `json:"created_at"`
	UpdatedAt   int64           `json:"updated_at"`
}

// Vaults is the kind "vaults".
var Vaults = &Def{
	New: func() any { return new(Vault) },
	Schema: &schema.Schema{
		Name:          "vaults",
		PrimaryKey:    []string{"id"},
		EndpointKey:   "prefix",
		CacheKey:      []string{"prefix"},
		Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			uniqueEverywhere(schema.Field{
				Name: "prefix", Type: schema.String, Required: true,
				Match: `^[a-z][a-z%d-]-[a-z%d]+$`, NotOneOf: []any{"env"},
			}),
			{Name: "name", Type: schema.String, Required: true},
			{Name: "description", Type: schema.String},
			{Name: "config", Type: schema.Record, Abstract: true},
			schema.CreatedAt(),
			schema.UpdatedAt(),
			schema.Tags(),
		},
		SubschemaKey:   "name",
		Subschema:      VaultSchema,
		SubschemaError: "vault '%s' is not installed",
	},
}

// VaultSchema returns the schema of a vault's config, as /schemas/vaults/{name}
// answers it.
func VaultSchema(name string) (*schema.Schema, bool) {
	if name == envVault.Name {
		return envVault, true
	}
	return nil, false
}

// envVault reads secrets from environment variables.
var envVault = &schema.Schema{
	Name: "env",
	Fields: []schema.Field{
		schema.PluginConfig(schema.Field{Name: "prefix", Type: schema.String, Match: `^[%a_-][%a%d_-]*$`}),
	},
}
