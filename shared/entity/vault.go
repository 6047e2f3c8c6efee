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
	switch name {
	case envVault.Name:
		return envVault, true
	case fileVault.Name:
		return fileVault, true
	}
	return nil, false
}

// VaultConfig is the typed config of a vault of any kind. Times are in seconds.
type VaultConfig struct {
	// Prefix of the names of environment variables.
	Prefix string `json:"prefix"`
	// Path of the folder of a file vault; "" means the node's own.
	Path string `json:"path"`
	// TTL is how long a secret is used before it is read again; nil means a minute.
	TTL *float64 `json:"ttl"`
	// NegTTL is how long a secret that is not there is not looked for again; nil means a
	// minute.
	NegTTL *float64 `json:"neg_ttl"`
	// ResurrectTTL is how much longer a secret is used that can't be read again; nil means
	// for ever.
	ResurrectTTL *float64 `json:"resurrect_ttl"`
	Base64Decode bool     `json:"base64_decode"`
}

// secretFields are what all vaults may be told about their secrets.
func secretFields(own ...schema.Field) []schema.Field {
	seconds := func(name, description string) schema.Field {
		return schema.Field{Name: name, Type: schema.Number, Gt: new(0.0), Extra: true, Description: description}
	}
	return append(own,
		seconds("ttl", "Seconds for which a secret is used before it is read again."),
		seconds("neg_ttl", "Seconds for which a secret that is not there is not looked for again."),
		seconds("resurrect_ttl", "Seconds for which a secret is used on when it can not be read again."),
		schema.Field{Name: "base64_decode", Type: schema.Boolean, Extra: true, Description: "Secrets are in Base64 and are decoded."},
	)
}

// fileVault reads secrets from files of the node.
var fileVault = &schema.Schema{
	Name: "file",
	Fields: []schema.Field{
		schema.PluginConfig(secretFields(schema.Field{
			Name: "path", Type: schema.String, Match: "^/", Description: "Folder of the secrets on each data plane; the setting vault_file_path when it is not given.",
		})...),
	},
}

// envVault reads secrets from environment variables.
var envVault = &schema.Schema{
	Name: "env",
	Fields: []schema.Field{
		schema.PluginConfig(secretFields(schema.Field{Name: "prefix", Type: schema.String, Match: `^[%a_-][%a%d_-]*$`})...),
	},
}
