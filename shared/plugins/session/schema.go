package session

import (
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// defaultSecret is another one each time that a process starts: the control plane fills
// it into configs that do not have their own.
var defaultSecret = schema.RandomString() + schema.RandomString()[:12]

var pluginSchema = newSchema(defaultSecret)

func newSchema(secret string) *schema.Schema {
	return &schema.Schema{
		Name:   "session",
		Fields: []schema.Field{schema.NoConsumer(), schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...), configField(secret)},
	}
}

func configField(secret string) schema.Field {
	seconds := func(name string, n int, text string) schema.Field {
		return schema.Field{Name: name, Type: schema.Number, Default: n}.Described(text)
	}
	text := func(name, value, text string) schema.Field {
		return schema.Field{Name: name, Type: schema.String, Default: value}.Described(text)
	}
	flag := func(name string, value bool, text string) schema.Field {
		return schema.Field{Name: name, Type: schema.Boolean, Default: value}.Described(text)
	}
	facts := schema.OneOf("id", "audience", "subject", "timeout", "idling-timeout", "rolling-timeout", "absolute-timeout")
	f := schema.PluginConfig(
		schema.Field{Name: "secret", Type: schema.String, Default: secret, Referenceable: true, Encrypted: true}.AsOptional().
			Described("What cookies and stored sessions are encrypted with."),
		schema.OneOf(storageCookie, storageKong).Named("storage").Defaults(storageCookie).
			Described("Where sessions are kept: in the cookie, or at the control plane and on all nodes."),
		text("audience", "default", "Which application a session is for; it is good nowhere else."),
		seconds("idling_timeout", 900, "Seconds without a request after which a session ends; 0 never."),
		seconds("rolling_timeout", 3600, "Seconds after which a session must have been renewed, which happens in its last quarter; 0 never."),
		seconds("absolute_timeout", 86400, "Seconds that a session and what it is renewed to live; 0 is forever."),
		seconds("stale_ttl", 10, "Seconds that a stored session stays good after it was renewed, for requests on their way."),
		text("cookie_name", "session", "Name of the cookie."),
		text("cookie_path", "/", "Path that the cookie is for."),
		schema.Field{Name: "cookie_domain", Type: schema.String}.Described("Domain that the cookie is for; unset is the host."),
		schema.OneOf("Strict", "Lax", "None", "Default").Named("cookie_same_site").Defaults("Strict").
			Described("Whether the cookie comes along from other sites."),
		flag("cookie_http_only", true, "Whether scripts are kept from the cookie."),
		flag("cookie_secure", true, "Whether the cookie comes along over HTTPS only."),
		flag("remember", false, "Whether a second cookie outlives the browser's session."),
		text("remember_cookie_name", "remember", "Name of the second cookie."),
		seconds("remember_rolling_timeout", 604800, "Seconds after which the second cookie must have been renewed; 0 never."),
		seconds("remember_absolute_timeout", 2592000, "Seconds that the second cookie and what it is renewed to live; 0 is forever."),
		schema.SetOf(facts).Named("response_headers").Described("What clients are told of their session, in Session-* headers."),
		schema.SetOf(facts).Named("request_headers").Described("What upstreams are told of the session, in Session-* headers."),
		flag("read_body_for_logout", false, "Whether the body is looked at for logout_post_arg."),
		schema.SetOf(schema.OneOf("GET", "POST", "DELETE")).Named("logout_methods").Defaults([]any{"POST", "DELETE"}).
			Described("Methods with which a session can be ended."),
		text("logout_query_arg", "session_logout", "Query argument that ends the session."),
		text("logout_post_arg", "session_logout", "Argument of the body that ends the session."),
	)
	f.Shorthands = shorthands()
	return f
}

// shorthands are what fields were called before.
func shorthands() []schema.Shorthand {
	moved := func(name, to string, kind schema.Type) schema.Shorthand {
		return schema.Shorthand{
			Field:  schema.Field{Name: name, Type: kind},
			Expand: func(v any) (schema.Object, error) { return schema.Object{to: v}, nil },
		}
	}
	idle := moved("cookie_idletime", "idling_timeout", schema.Number)
	idle.Expand = func(v any) (schema.Object, error) {
		if v == nil {
			v = int64(0)
		}
		return schema.Object{"idling_timeout": v}, nil
	}
	site := moved("cookie_samesite", "cookie_same_site", schema.String)
	site.Expand = func(v any) (schema.Object, error) {
		if v == "off" {
			v = "Lax"
		}
		return schema.Object{"cookie_same_site": v}, nil
	}
	renew := moved("cookie_renew", "", schema.Number)
	renew.Expand = func(any) (schema.Object, error) { return schema.Object{}, nil }
	return []schema.Shorthand{
		moved("cookie_lifetime", "rolling_timeout", schema.Number), idle, renew,
		moved("cookie_discard", "stale_ttl", schema.Number), site,
		moved("cookie_httponly", "cookie_http_only", schema.Boolean),
		moved("cookie_persistent", "remember", schema.Boolean),
	}
}

// Stored is a typed sessions entity.
type Stored struct {
	ID        string `json:"id"`
	SessionID string `json:"session_id"`
	Expires   int64  `json:"expires"`
	Data      string `json:"data"`
	CreatedAt int64  `json:"created_at"`
	// ExpiresAt is in seconds since 1970, 0 for never.
	ExpiresAt float64 `json:"expires_at"`
}

// Sessions is the kind "sessions": what storage kong keeps.
var Sessions = &entity.Def{
	New: func() any { return new(Stored) },
	Schema: &schema.Schema{
		Name:        "sessions",
		PrimaryKey:  []string{"id"},
		EndpointKey: "session_id",
		CacheKey:    []string{"session_id"},
		TTL:         true,
		NotExported: true,
		Runtime:     true,
		Fields: []schema.Field{
			schema.ID(),
			{Name: "session_id", Type: schema.String, Unique: true, Required: true},
			{Name: "expires", Type: schema.Integer},
			{Name: "data", Type: schema.String},
			schema.CreatedAt(),
		},
	},
}
