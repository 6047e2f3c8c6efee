// Package oauth2 is the plugin oauth2: an authorization server (RFC 6749 with its four
// grants, refresh tokens and PKCE) in front of a service, and the judge of its bearer
// tokens. It owns the kinds oauth2_credentials (client applications), oauth2_tokens and
// oauth2_authorization_codes.
//
// POST to a path that ends in /oauth2/authorize or /oauth2/token is answered here; all
// else needs a token. Tokens and codes are entities: a node asks the control plane to
// write them, and answers its client when the connected nodes serve them, so that a
// token is good on every node at once. A code or a refresh token that is used on two
// nodes at the same time is good for one of them. While the control plane is away, no
// tokens are issued: the endpoints answer 503 with the error temporarily_unavailable.
// Tokens that were issued before stay good.
package oauth2

import (
	"strings"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/auth"
)

// Headers that tell the upstream what a token says.
const (
	headerScope  = "X-Authenticated-Scope"
	headerUserID = "X-Authenticated-UserId"
)

// Plugin is oauth2.
var Plugin = &pdk.Plugin{
	Name:     "oauth2",
	Priority: 1400,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
	Entities: []*entity.Def{Credentials, Tokens, Codes},
}

type config struct {
	Scopes                        []string `json:"scopes"`
	MandatoryScope                bool     `json:"mandatory_scope"`
	ProvisionKey                  string   `json:"provision_key"`
	TokenExpiration               float64  `json:"token_expiration"`
	EnableAuthorizationCode       bool     `json:"enable_authorization_code"`
	EnableImplicitGrant           bool     `json:"enable_implicit_grant"`
	EnableClientCredentials       bool     `json:"enable_client_credentials"`
	EnablePasswordGrant           bool     `json:"enable_password_grant"`
	HideCredentials               bool     `json:"hide_credentials"`
	AcceptHTTPIfAlreadyTerminated bool     `json:"accept_http_if_already_terminated"`
	Anonymous                     string   `json:"anonymous"`
	GlobalCredentials             bool     `json:"global_credentials"`
	AuthHeaderName                string   `json:"auth_header_name"`
	RefreshTokenTTL               float64  `json:"refresh_token_ttl"`
	ReuseRefreshToken             bool     `json:"reuse_refresh_token"`
	PKCE                          string   `json:"pkce"`
	Realm                         string   `json:"realm"`
}

type plugin struct {
	config
	id      string
	control pdk.Control
	attempt func(x *pdk.Exchange) (auth.Failure, error)
	missing, unknown,
	global auth.Failure
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{config: c, id: env.PluginID(), control: env.Control()}
	if p.AuthHeaderName == "" {
		p.AuthHeaderName = "authorization"
	}
	const invalid = "The access token is invalid or has expired"
	p.missing = refusal("invalid_request", "The access token is missing", challenge(c.Realm, "", ""))
	p.unknown = refusal("invalid_token", invalid, challenge(c.Realm, "invalid_token", invalid))
	p.global = refusal("invalid_token", "The access token is global, but the current plugin is configured without 'global_credentials'", p.unknown.Challenge)
	p.attempt = p.authenticate // made once: a method value allocates
	return pdk.Phases{Access: p.access}, nil
}

// failure is the body of an error.
type failure struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func refusal(code, description, challenge string) auth.Failure {
	return auth.Failure{Status: 401, Body: failure{code, description}, Challenge: challenge}
}

// challenge makes a value for WWW-Authenticate.
func challenge(realm, code, description string) string {
	var parts []string
	if realm != "" {
		parts = append(parts, `realm="`+auth.QuoteRealm(realm)+`"`)
	}
	if code != "" {
		parts = append(parts, `error="`+code+`"`)
	}
	if description != "" {
		parts = append(parts, `error_description="`+description+`"`)
	}
	return strings.TrimSuffix("Bearer "+strings.Join(parts, ", "), " ")
}

func (p *plugin) access(x *pdk.Exchange) error {
	path := strings.TrimSuffix(x.Request.Path, "/")
	switch {
	case strings.HasSuffix(path, "/oauth2/token"):
		if x.Request.Method != "POST" {
			return p.wrongMethod(x, "token")
		}
		return p.token(x)
	case strings.HasSuffix(path, "/oauth2/authorize"):
		if x.Request.Method != "POST" {
			return p.wrongMethod(x, "authorization")
		}
		return p.authorize(x)
	}
	if p.Anonymous != "" && x.Credential != (pdk.Credential{}) {
		p.forget(x)
		return nil
	}
	err := auth.Access(x, p.Anonymous, p.attempt)
	if x.Credential == (pdk.Credential{}) {
		p.forget(x)
	}
	return err
}

// forget takes away what a client says about a token that it has not shown.
func (p *plugin) forget(x *pdk.Exchange) {
	x.Request.Header.Del(headerScope)
	x.Request.Header.Del(headerUserID)
}

func (p *plugin) wrongMethod(x *pdk.Exchange, endpoint string) error {
	text := "The HTTP method " + x.Request.Method + " is invalid for the " + endpoint + " endpoint"
	x.Response.Header.Set("WWW-Authenticate", challenge(p.Realm, "invalid_method", strings.ReplaceAll(text, `"`, `'`)))
	return x.ExitJSON(405, failure{"invalid_method", text})
}

func serviceID(x *pdk.Exchange) string {
	if x.Service == nil {
		return ""
	}
	return x.Service.ID
}

// authenticate looks for a token and believes it.
func (p *plugin) authenticate(x *pdk.Exchange) (auth.Failure, error) {
	text := p.find(x)
	if text == "" {
		return p.missing, nil
	}
	token, _ := x.View.ByKey(Tokens, "access_token", text).(*Token)
	if token == nil || ended(x, token.ExpiresAt) {
		return p.unknown, nil
	}
	bound := entity.RefID(token.Service)
	switch {
	case bound == "" && !p.GlobalCredentials:
		return p.global, nil
	case bound != "" && bound != serviceID(x):
		return p.unknown, nil
	case token.ExpiresIn > 0 && x.Start.UnixMilli() > (token.CreatedAt+token.ExpiresIn)*1000:
		return p.unknown, nil
	}
	client, _ := x.View.ByID(Credentials, entity.RefID(token.Credential)).(*Credential)
	if client == nil {
		return p.unknown, nil
	}
	consumer := auth.Consumer(x, entity.RefID(client.Consumer))
	if consumer == nil {
		return p.unknown, nil
	}
	auth.Succeed(x, consumer, pdk.Credential{ID: client.ID, ConsumerID: consumer.ID, Key: client.ClientID})
	setOrDel(&x.Request.Header, headerScope, token.Scope)
	setOrDel(&x.Request.Header, headerUserID, token.AuthenticatedUserID)
	return auth.Failure{}, nil
}

func setOrDel(h *pdk.Header, name, value string) {
	if value == "" {
		h.Del(name)
		return
	}
	h.Set(name, value)
}

// ended tells whether an entity that is still there has outlived its ttl.
func ended(x *pdk.Exchange, expiresAt float64) bool {
	return expiresAt > 0 && float64(x.Start.UnixMilli()) >= expiresAt*1000
}

// find returns the token of a request, "" for none. A header that is there is the only
// place; what it holds need not have a scheme.
func (p *plugin) find(x *pdk.Exchange) string {
	h := &x.Request.Header
	if h.Has(p.AuthHeaderName) {
		text := h.Get(p.AuthHeaderName)
		scheme, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		rest = strings.TrimSpace(rest)
		if rest != "" && !strings.ContainsAny(rest, " \t") && (pdk.EqualFold(scheme, "bearer") || pdk.EqualFold(scheme, "token")) {
			if p.HideCredentials {
				h.Del(p.AuthHeaderName)
			}
			return rest
		}
		if p.HideCredentials {
			p.hide(x)
		}
		return text
	}
	text, ok := findParameter(x, "access_token")
	if ok && p.HideCredentials {
		p.hide(x)
	}
	return text
}

// hide takes the token out of the query and of a form.
func (p *plugin) hide(x *pdk.Exchange) {
	x.RemoveQueryArg("access_token")
	if x.Request.Method != "GET" && strings.Contains(x.Request.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		if body := readBody(x); body != nil && body.Del("access_token") {
			x.SetBody(body.Encode())
		}
	}
}
