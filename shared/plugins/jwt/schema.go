package jwt

import (
	"errors"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

var pluginSchema = &schema.Schema{
	Name: "jwt",
	Fields: []schema.Field{
		schema.NoConsumer(),
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			schema.SetOf(schema.Field{Type: schema.String}).Named("uri_param_names").Defaults([]any{"jwt"}).Described("Query arguments that may hold the token."),
			schema.SetOf(schema.Field{Type: schema.String}).Named("cookie_names").Defaults([]any{}).Described("Cookies that may hold the token."),
			schema.Field{Name: "key_claim_name", Type: schema.String, Default: "iss"}.Described("Claim that names the credential."),
			schema.Field{Name: "secret_is_base64", Type: schema.Boolean, Default: false, Required: true}.Described("Whether the secrets of credentials are in Base64."),
			schema.SetOf(schema.OneOf("exp", "nbf")).Named("claims_to_verify").Described("Claims about time that are looked at."),
			schema.Field{Name: "anonymous", Type: schema.String}.Described("Id or username of the consumer for requests without a good token; unset answers them with 401."),
			schema.Field{Name: "run_on_preflight", Type: schema.Boolean, Default: true, Required: true}.Described("Whether OPTIONS requests need a token, too."),
			schema.Field{Name: "maximum_expiration", Type: schema.Number, Default: 0, Between: []float64{0, 31536000}}.Described("How many seconds from now a token may end at most; 0 means any."),
			schema.SetOf(schema.Field{Type: schema.String}).Named("header_names").Defaults([]any{"authorization"}).Described("Headers that may hold the token, after Bearer."),
			schema.Field{Name: "realm", Type: schema.String}.AsOptional().Described("Realm in WWW-Authenticate."),
		),
	},
	Checks: []schema.EntityCheck{{Conditional: &schema.Conditional{
		If: "config.maximum_expiration", IfMatch: schema.Field{Gt: new(float64(0))},
		Then: "config.claims_to_verify", ThenMatch: schema.Field{Contains: "exp"},
	}}},
}

// Credential is a typed jwt_secrets entity.
type Credential struct {
	ID           string      `json:"id"`
	Consumer     *entity.Ref `json:"consumer"`
	Key          string      `json:"key"`
	Secret       string      `json:"secret"`
	RSAPublicKey string      `json:"rsa_public_key"`
	Algorithm    string      `json:"algorithm"`
	Tags         []string    `json:"tags"`
	CreatedAt    int64       `json:"created_at"`
}

// Credentials is the kind "jwt_secrets".
var Credentials = &entity.Def{
	New: func() any { return new(Credential) },
	Schema: &schema.Schema{
		Name:            "jwt_secrets",
		PrimaryKey:      []string{"id"},
		EndpointKey:     "key",
		CacheKey:        []string{"key"},
		AdminName:       "jwts",
		AdminNestedName: "jwt",
		Workspaceable:   true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.ForeignTo("consumers", "cascade").Named("consumer").AsRequired(),
			schema.Field{Name: "key", Type: schema.String, Auto: true, Unique: true}.AsOptional(),
			{Name: "secret", Type: schema.String, Auto: true},
			{Name: "rsa_public_key", Type: schema.String, Check: checkPublicKey, CheckName: "public_key"},
			schema.OneOf("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA").
				Named("algorithm").Defaults("HS256"),
			schema.Tags(),
		},
		Checks: []schema.EntityCheck{{Conditional: &schema.Conditional{
			If: "algorithm", IfMatch: schema.Field{MatchAny: &schema.PatternSet{Patterns: []string{
				"^RS256$", "^RS384$", "^RS512$", "^PS256$", "^PS384$", "^PS512$", "^EdDSA$",
			}}},
			Then: "rsa_public_key", ThenMatch: schema.Field{Required: true},
		}}},
	},
}

func checkPublicKey(v any) error {
	text, _ := v.(string)
	if _, err := publicKey(text); err != nil {
		return errors.New("invalid key")
	}
	return nil
}
