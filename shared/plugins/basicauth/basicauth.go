// Package basicauth is the plugin basic-auth: consumers show who they are with a name and
// a password. It owns the credentials basicauth_credentials and the forms in which their
// passwords are kept: Argon2id for new ones; Kong's salted SHA-1, which its exports have,
// is taken and upgraded later on by the control plane, without knowing the password.
package basicauth

import (
	"encoding/base64"
	"strings"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/auth"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is basic-auth.
var Plugin = &pdk.Plugin{
	Name:     "basic-auth",
	Priority: 1100,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
	Entities: []*entity.Def{Credentials},
}

var pluginSchema = &schema.Schema{
	Name: "basic-auth",
	Fields: []schema.Field{
		schema.NoConsumer(),
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			schema.Field{Name: "anonymous", Type: schema.String}.Described("Id or username of the consumer for requests without a good password; unset answers them with 401."),
			schema.Field{Name: "hide_credentials", Type: schema.Boolean, Default: false, Required: true}.Described("Whether the upstream gets the request without the password."),
			schema.Field{Name: "realm", Type: schema.String, Default: "service", Required: true}.Described("Realm in WWW-Authenticate."),
		),
	},
}

// Credential is a typed basicauth_credentials entity.
type Credential struct {
	ID       string      `json:"id"`
	Consumer *entity.Ref `json:"consumer"`
	Username string      `json:"username"`
	// Password is a hash, in one of the forms of password.go.
	Password  string   `json:"password"`
	Tags      []string `json:"tags"`
	CreatedAt int64    `json:"created_at"`
}

// Credentials is the kind "basicauth_credentials".
var Credentials = &entity.Def{
	New: func() any { return new(Credential) },
	Schema: &schema.Schema{
		Name:            "basicauth_credentials",
		PrimaryKey:      []string{"id"},
		EndpointKey:     "username",
		AdminName:       "basic-auths",
		AdminNestedName: "basic-auth",
		Workspaceable:   true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			schema.ForeignTo("consumers", "cascade").Named("consumer").AsRequired(),
			{Name: "username", Type: schema.String, Unique: true, Required: true},
			{Name: "password", Type: schema.String, Required: true, Encrypted: true},
			schema.Tags(),
		},
		TransformOn:  []string{"password"},
		TransformFor: conceal,
		Outdated: func(o schema.Object) bool {
			password, _ := o["password"].(string)
			return isKongs(password)
		},
		Upgrade: upgrade,
	},
}

type config struct {
	Anonymous       string `json:"anonymous"`
	HideCredentials bool   `json:"hide_credentials"`
	Realm           string `json:"realm"`
}

type plugin struct {
	config
	challenge string
	attempt   func(x *pdk.Exchange) (auth.Failure, error)
	verdicts  *verdicts
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{config: c, challenge: auth.Challenge("Basic", c.Realm)}
	p.verdicts, _ = env.Shared("verdicts", func() any { return newVerdicts() }).(*verdicts)
	p.attempt = p.authenticate
	return pdk.Phases{Access: p.access}, nil
}

func (p *plugin) access(x *pdk.Exchange) error { return auth.Access(x, p.Anonymous, p.attempt) }

func (p *plugin) authenticate(x *pdk.Exchange) (auth.Failure, error) {
	refused := auth.Failure{Status: 401, Message: "Unauthorized", Challenge: p.challenge}
	h := &x.Request.Header
	var c *Credential
	var password string
	for _, name := range [...]string{"Proxy-Authorization", "Authorization"} {
		username, given, ok := parse(h.Get(name))
		if p.HideCredentials {
			h.Del(name)
		}
		if !ok {
			continue
		}
		if c, _ = x.View.ByKey(Credentials, "username", username).(*Credential); c != nil {
			password = given
			break
		}
	}
	if c == nil || c.Consumer == nil || password == "" {
		return refused, nil
	}
	good, err := p.verdicts.check(c.ID, c.Password, password, c.Consumer.ID)
	if err != nil {
		return auth.Failure{Status: 503}, nil
	}
	if !good {
		return refused, nil
	}
	consumer := auth.Consumer(x, c.Consumer.ID)
	if consumer == nil {
		return refused, nil
	}
	auth.Succeed(x, consumer, pdk.Credential{ID: c.ID, ConsumerID: consumer.ID, Key: c.Username})
	return auth.Failure{}, nil
}

// parse takes a header of the scheme Basic apart.
func parse(value string) (username, password string, ok bool) {
	const scheme = "Basic "
	if len(value) <= len(scheme) || !pdk.EqualFold(value[:len(scheme)], scheme) {
		return "", "", false
	}
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(value[len(scheme):]), "="))
	if err != nil {
		return "", "", false
	}
	username, password, ok = strings.Cut(string(b), ":")
	return username, password, ok && username != ""
}
