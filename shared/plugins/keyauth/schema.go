package keyauth

import (
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

var pluginSchema = &schema.Schema{
	Name: "key-auth",
	Fields: []schema.Field{
		schema.NoConsumer(),
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			schema.ArrayOf(schema.HeaderName()).Named("key_names").AsRequired().Defaults([]any{"apikey"}).
				Described("Names of the header, query argument and body argument that may hold the key, in this order."),
			schema.Field{Name: "hide_credentials", Type: schema.Boolean, Default: false, Required: true}.
				Described("Whether the upstream gets the request without the key."),
			schema.Field{Name: "anonymous", Type: schema.String}.
				Described("Id or username of the consumer for requests without a good key; unset answers them with 401."),
			schema.Field{Name: "key_in_header", Type: schema.Boolean, Default: true, Required: true}.
				Described("Whether keys are looked for in the header."),
			schema.Field{Name: "key_in_query", Type: schema.Boolean, Default: true, Required: true}.
				Described("Whether keys are looked for in the query string."),
			schema.Field{Name: "key_in_body", Type: schema.Boolean, Default: false, Required: true}.
				Described("Whether keys are looked for in the body: a form, a JSON object or multipart."),
			schema.Field{Name: "run_on_preflight", Type: schema.Boolean, Default: true, Required: true}.
				Described("Whether OPTIONS requests need a key, too."),
			schema.Field{Name: "realm", Type: schema.String}.AsOptional().
				Described("Realm in WWW-Authenticate."),
		),
	},
}

// Credential is a typed keyauth_credentials entity.
type Credential struct {
	ID        string      `json:"id"`
	Key       string      `json:"key"`
	Consumer  *entity.Ref `json:"consumer"`
	Tags      []string    `json:"tags"`
	CreatedAt int64       `json:"created_at"`
	// ExpiresAt is in seconds since 1970, 0 for never.
	ExpiresAt float64 `json:"expires_at"`
}

// Credentials is the kind "keyauth_credentials": the keys of consumers.
var Credentials = &entity.Def{
	New: func() any { return new(Credential) },
	Schema: &schema.Schema{
		Name:            "keyauth_credentials",
		PrimaryKey:      []string{"id"},
		EndpointKey:     "key",
		AdminName:       "key-auths",
		AdminNestedName: "key-auth",
		Workspaceable:   true,
		TTL:             true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.ForeignTo("consumers", "cascade").Named("consumer").AsRequired(),
			schema.Field{Name: "key", Type: schema.String, Auto: true, Unique: true}.AsOptional(),
			schema.Tags(),
		},
	},
}
