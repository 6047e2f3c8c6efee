package hmacauth

import (
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

var pluginSchema = &schema.Schema{
	Name: "hmac-auth",
	Fields: []schema.Field{
		schema.NoConsumer(),
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			schema.Field{Name: "hide_credentials", Type: schema.Boolean, Default: false, Required: true}.Described("Whether the upstream gets the request without the signature."),
			schema.Field{Name: "clock_skew", Type: schema.Number, Default: 300, Gt: new(float64(0))}.Described("How many seconds the date of a request may be away from now."),
			schema.Field{Name: "anonymous", Type: schema.String}.Described("Id or username of the consumer for requests without a good signature; unset answers them with 401."),
			schema.Field{Name: "validate_request_body", Type: schema.Boolean, Default: false, Required: true}.Described("Whether the Digest of the body is verified."),
			schema.ArrayOf(schema.Field{Type: schema.String}).Named("enforce_headers").Defaults([]any{}).Described("Headers that the signature must cover."),
			schema.ArrayOf(schema.OneOf("hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512")).Named("algorithms").
				Defaults([]any{"hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"}).Described("Algorithms that are accepted."),
			schema.Field{Name: "realm", Type: schema.String}.AsOptional().Described("Realm in WWW-Authenticate."),
		),
	},
}

// Credential is a typed hmacauth_credentials entity.
type Credential struct {
	ID        string      `json:"id"`
	Consumer  *entity.Ref `json:"consumer"`
	Username  string      `json:"username"`
	Secret    string      `json:"secret"`
	Tags      []string    `json:"tags"`
	CreatedAt int64       `json:"created_at"`
}

// Credentials is the kind "hmacauth_credentials".
var Credentials = &entity.Def{
	New: func() any { return new(Credential) },
	Schema: &schema.Schema{
		Name:            "hmacauth_credentials",
		PrimaryKey:      []string{"id"},
		EndpointKey:     "username",
		CacheKey:        []string{"username"},
		AdminName:       "hmac-auths",
		AdminNestedName: "hmac-auth",
		Workspaceable:   true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.ForeignTo("consumers", "cascade").Named("consumer").AsRequired(),
			{Name: "username", Type: schema.String, Unique: true, Required: true},
			{Name: "secret", Type: schema.String, Auto: true},
			schema.Tags(),
		},
	},
}
