package oauth2

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

var pluginSchema = &schema.Schema{
	Name: "oauth2",
	Fields: []schema.Field{
		schema.NoConsumer(),
		schema.ProtocolsHTTP(),
		configField(),
	},
}

func configField() schema.Field {
	flag := func(name, text string) schema.Field {
		return schema.Field{Name: name, Type: schema.Boolean, Default: false, Required: true}.Described(text)
	}
	f := schema.PluginConfig(
		schema.ArrayOf(schema.Field{Type: schema.String}).Named("scopes").Described("Scopes that clients may ask for."),
		flag("mandatory_scope", "Whether clients must ask for a scope."),
		schema.Field{Name: "provision_key", Type: schema.String, Auto: true, Required: true, Unique: true, Encrypted: true}.
			Described("What the login application shows to be believed who a user is."),
		schema.Field{Name: "token_expiration", Type: schema.Number, Default: 7200, Required: true}.
			Described("Seconds that an access token is good for; 0 is forever."),
		flag("enable_authorization_code", "Whether the authorization code grant is there."),
		flag("enable_implicit_grant", "Whether the implicit grant is there."),
		flag("enable_client_credentials", "Whether the client credentials grant is there."),
		flag("enable_password_grant", "Whether the resource owner password grant is there."),
		flag("hide_credentials", "Whether the upstream gets the request without the token."),
		flag("accept_http_if_already_terminated", "Whether a trusted proxy's X-Forwarded-Proto stands for HTTPS."),
		schema.Field{Name: "anonymous", Type: schema.String}.
			Described("Id or username of the consumer for requests without a good token; unset answers them with 401."),
		flag("global_credentials", "Whether tokens are good for every service whose plugin says the same."),
		schema.Field{Name: "auth_header_name", Type: schema.String, Default: "authorization"}.
			Described("The header that holds the token."),
		schema.Field{Name: "refresh_token_ttl", Type: schema.Number, Default: 1209600, Required: true, Between: []float64{0, 100000000}}.
			Described("Seconds after which a token and its refresh token are forgotten; 0 keeps them."),
		flag("reuse_refresh_token", "Whether a refresh token stays the same when it is used."),
		schema.OneOf("none", "lax", "strict").Named("pkce").AsOptional().Defaults("lax").
			Described("Who must prove that a code is theirs (RFC 7636): nobody, public clients, or all."),
		schema.Field{Name: "realm", Type: schema.String}.AsOptional().Described("Realm in WWW-Authenticate."),
	)
	f.Checks = []schema.EntityCheck{{Conditional: &schema.Conditional{
		If: "mandatory_scope", IfMatch: schema.Field{Eq: schema.Must(true)},
		Then: "scopes", ThenMatch: schema.Field{Required: true},
	}}}
	f.Check, f.CheckName = anyGrant, "grants"
	return f
}

// anyGrant refuses a config by which nobody could get a token.
func anyGrant(v any) error {
	config, _ := v.(schema.Object)
	for _, name := range grants {
		if config[name] == true {
			return nil
		}
	}
	return errors.New("at least one of these fields must be true: " + strings.Join(grants, ", "))
}

var grants = []string{"enable_authorization_code", "enable_implicit_grant", "enable_client_credentials", "enable_password_grant"} //nolint:gochecknoglobals // a constant

// Types of clients.
const (
	confidential = "confidential"
	public       = "public"
)

// Credential is a typed oauth2_credentials entity: a client application.
type Credential struct {
	ID           string      `json:"id"`
	Consumer     *entity.Ref `json:"consumer"`
	Name         string      `json:"name"`
	ClientID     string      `json:"client_id"`
	ClientSecret string      `json:"client_secret"`
	HashSecret   bool        `json:"hash_secret"`
	RedirectURIs []string    `json:"redirect_uris"`
	ClientType   string      `json:"client_type"`
	Tags         []string    `json:"tags"`
	CreatedAt    int64       `json:"created_at"`
}

// Credentials is the kind "oauth2_credentials".
var Credentials = &entity.Def{
	New: func() any { return new(Credential) },
	Schema: &schema.Schema{
		Name:          "oauth2_credentials",
		PrimaryKey:    []string{"id"},
		EndpointKey:   "client_id",
		CacheKey:      []string{"client_id"},
		AdminName:     "oauth2",
		Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.ForeignTo("consumers", "cascade").Named("consumer").AsRequired(),
			{Name: "name", Type: schema.String, Required: true},
			schema.Field{Name: "client_id", Type: schema.String, Unique: true, Auto: true}.AsOptional(),
			schema.Field{Name: "client_secret", Type: schema.String, Auto: true, Encrypted: true}.AsOptional(),
			{Name: "hash_secret", Type: schema.Boolean, Default: false, Required: true},
			schema.ArrayOf(schema.Field{Type: schema.String, Check: checkRedirect, CheckName: "redirect_uri"}).Named("redirect_uris").AsOptional(),
			schema.Tags(),
			schema.OneOf(confidential, public).Named("client_type").AsRequired().Defaults(confidential),
		},
		TransformOn: []string{"client_secret", "hash_secret"},
		Transform:   hashSecret,
	},
}

// checkRedirect wants an absolute URI without a fragment.
func checkRedirect(v any) error {
	text, _ := v.(string)
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme == "", u.Host == "":
		return fmt.Errorf("cannot parse '%s'", text)
	case strings.Contains(text, "#"):
		return fmt.Errorf("fragment not allowed in '%s'", text)
	}
	return nil
}

// hashSecret keeps the secret of a client that wants so as a hash.
func hashSecret(o schema.Object) error {
	text, _ := o["client_secret"].(string)
	if o["hash_secret"] != true || text == "" || isHash(text) {
		return nil
	}
	o["client_secret"] = hash(text)
	return nil
}

// Code is a typed oauth2_authorization_codes entity.
type Code struct {
	ID                  string      `json:"id"`
	Service             *entity.Ref `json:"service"`
	Credential          *entity.Ref `json:"credential"`
	Plugin              *entity.Ref `json:"plugin"`
	Code                string      `json:"code"`
	AuthenticatedUserID string      `json:"authenticated_userid"`
	Scope               string      `json:"scope"`
	Challenge           string      `json:"challenge"`
	ChallengeMethod     string      `json:"challenge_method"`
	CreatedAt           int64       `json:"created_at"`
	// ExpiresAt is in seconds since 1970, 0 for never.
	ExpiresAt float64 `json:"expires_at"`
}

// Codes is the kind "oauth2_authorization_codes", which has no place in the Admin API.
var Codes = &entity.Def{
	New:  func() any { return new(Code) },
	Many: true,
	Schema: &schema.Schema{
		Name:          "oauth2_authorization_codes",
		PrimaryKey:    []string{"id"},
		NoAdmin:       true,
		NotExported:   true,
		Workspaceable: true,
		TTL:           true,
		Runtime:       true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.ForeignTo("services", "cascade").Named("service").Defaults(schema.Null),
			schema.ForeignTo("oauth2_credentials", "cascade").Named("credential").AsRequired(),
			schema.Field{Name: "code", Type: schema.String, Unique: true, Auto: true}.AsOptional(),
			schema.Field{Name: "authenticated_userid", Type: schema.String}.AsOptional(),
			{Name: "scope", Type: schema.String},
			schema.Field{Name: "challenge", Type: schema.String}.AsOptional(),
			schema.OneOf("S256").Named("challenge_method").AsOptional(),
			schema.ForeignTo("plugins", "cascade").Named("plugin").Defaults(schema.Null),
		},
	},
}

// Token is a typed oauth2_tokens entity.
type Token struct {
	ID                  string      `json:"id"`
	Service             *entity.Ref `json:"service"`
	Credential          *entity.Ref `json:"credential"`
	TokenType           string      `json:"token_type"`
	ExpiresIn           int64       `json:"expires_in"`
	AccessToken         string      `json:"access_token"`
	RefreshToken        string      `json:"refresh_token"`
	AuthenticatedUserID string      `json:"authenticated_userid"`
	Scope               string      `json:"scope"`
	CreatedAt           int64       `json:"created_at"`
	// ExpiresAt is in seconds since 1970, 0 for never.
	ExpiresAt float64 `json:"expires_at"`
}

// Tokens is the kind "oauth2_tokens".
var Tokens = &entity.Def{
	New:  func() any { return new(Token) },
	Many: true,
	Schema: &schema.Schema{
		Name:          "oauth2_tokens",
		PrimaryKey:    []string{"id"},
		EndpointKey:   "access_token",
		CacheKey:      []string{"access_token"},
		Workspaceable: true,
		TTL:           true,
		Runtime:       true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.ForeignTo("services", "cascade").Named("service").Defaults(schema.Null),
			schema.ForeignTo("oauth2_credentials", "cascade").Named("credential").AsRequired(),
			schema.OneOf("bearer").Named("token_type").AsRequired().Defaults("bearer"),
			{Name: "expires_in", Type: schema.Integer, Required: true},
			schema.Field{Name: "access_token", Type: schema.String, Unique: true, Auto: true}.AsOptional(),
			schema.Field{Name: "refresh_token", Type: schema.String, Unique: true}.AsOptional(),
			schema.Field{Name: "authenticated_userid", Type: schema.String}.AsOptional(),
			{Name: "scope", Type: schema.String},
		},
	},
}
