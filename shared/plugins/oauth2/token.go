package oauth2

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Grants that a client asks for a token with.
const (
	grantCode     = "authorization_code"
	grantClient   = "client_credentials"
	grantPassword = "password"
	grantRefresh  = "refresh_token"
)

// Lengths of a code verifier.
const (
	minVerifier = 43
	maxVerifier = 128
)

// token answers a client that wants an access token.
func (p *plugin) token(x *pdk.Exchange) error {
	in := readParameters(x)
	answer, status, err := p.exchange(x, &in)
	if err != nil {
		return p.unavailable(x, err)
	}
	if state := in.get("state"); state != "" {
		answer["state"] = state
	}
	noStore(x)
	switch {
	case answer["error"] == nil:
		status = 200
	case status == 401:
		x.Response.Header.Set("WWW-Authenticate", `Basic realm="OAuth2.0"`)
	default:
		status = 400
	}
	return x.ExitJSON(status, answer)
}

// exchange returns what the client is told. status is 401 when it has shown a wrong name
// or secret in the header.
func (p *plugin) exchange(x *pdk.Exchange, in *parameters) (answer schema.Object, status int, err error) {
	if ok, why := p.secure(x); !ok {
		return wrong("access_denied", why), 0, nil
	}
	kind := in.get("grant_type")
	switch {
	case kind == grantCode, kind == grantRefresh:
	case kind == grantClient && p.EnableClientCredentials, kind == grantPassword && p.EnablePasswordGrant:
	default:
		answer = wrong("unsupported_grant_type", "Invalid grant_type")
	}
	id, secret, fromHeader := p.clientCredentials(x, in)
	client := findClient(x, id)
	stranger := func() {
		answer = wrong("invalid_client", "Invalid client authentication")
		if fromHeader {
			status = 401
		}
	}
	if kind != grantClient {
		if client == nil || len(client.RedirectURIs) == 0 {
			stranger()
		} else if _, ok := redirectFor(client, in); !ok {
			answer = wrong("invalid_request", "Invalid redirect_uri that does not match with any redirect_uri created with the application")
		}
	}
	if client != nil {
		switch {
		case client.ClientType == public:
			if strings.TrimSpace(secret) != "" {
				answer = wrong("invalid_request", "client_secret is disallowed for public clients")
			}
		case client.HashSecret && !verify(secret, client.ClientSecret), !client.HashSecret && !same(secret, client.ClientSecret):
			stranger()
		}
	}
	if answer != nil {
		return answer, status, nil
	}
	switch kind {
	case grantCode:
		answer, err = p.byCode(x, in, client)
	case grantClient:
		answer, err = p.byClient(x, in, client)
	case grantPassword:
		answer, err = p.byPassword(x, in, client)
	case grantRefresh:
		answer, err = p.byRefresh(x, in, client)
	}
	return answer, 0, err
}

// clientCredentials returns what the client says that it is: as parameters, in the header
// with the scheme Basic, or only a name.
func (p *plugin) clientCredentials(x *pdk.Exchange, in *parameters) (id, secret string, fromHeader bool) {
	id, there := in.find("client_id")
	secret, secretThere := in.find("client_secret")
	if there && secretThere {
		return id, secret, false
	}
	if x.Request.Header.Has(p.AuthHeaderName) {
		text := strings.TrimSpace(x.Request.Header.Get(p.AuthHeaderName))
		if len(text) < 5 || !strings.EqualFold(text[:5], "basic") {
			return "", "", true
		}
		b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text[5:]))
		if err != nil {
			return "", "", true
		}
		id, secret, _ = strings.Cut(string(b), ":")
		return id, secret, true
	}
	return id, "", false
}

func (p *plugin) byCode(x *pdk.Exchange, in *parameters, client *Credential) (schema.Object, error) {
	invalid := wrong("invalid_request", "Invalid code")
	var code *Code
	if text := in.get("code"); text != "" {
		code, _ = x.View.ByKey(Codes, "code", text).(*Code)
	}
	if code == nil || ended(x, code.ExpiresAt) || entity.RefID(code.Credential) != client.ID || entity.RefID(code.Service) != p.boundTo(x) && !p.GlobalCredentials {
		return invalid, nil
	}
	if code.ChallengeMethod != "" || p.needsProof(client) {
		if why := prove(in, code); why != nil {
			return why, nil
		}
	}
	if plugin := entity.RefID(code.Plugin); p.GlobalCredentials && plugin != "" && plugin != p.id {
		return invalid, nil
	}
	answer, err := p.issue(grant{
		client: client, service: p.boundTo(x), user: code.AuthenticatedUserID, scope: code.Scope, refreshable: true,
	}, remove(Codes, code.ID))
	if errors.Is(err, pdk.ErrWriteGone) {
		return invalid, nil // somebody was faster
	}
	return answer, err
}

// prove checks a code verifier against the challenge of the code.
func prove(in *parameters, code *Code) schema.Object {
	verifier, there := in.find("code_verifier")
	switch {
	case !there:
		return wrong("invalid_request", "code_verifier is required for PKCE authorization requests")
	case verifier == "" && !in.plain("code_verifier"):
		return wrong("invalid_request", "code_verifier is not a string")
	case len(verifier) < minVerifier || len(verifier) > maxVerifier:
		return wrong("invalid_request", "code_verifier must be between 43 and 128 characters")
	}
	sum := sha256.Sum256([]byte(verifier))
	if code.Challenge == "" || !same(base64.RawURLEncoding.EncodeToString(sum[:]), code.Challenge) {
		return wrong("invalid_grant", "Invalid code")
	}
	return nil
}

func (p *plugin) byClient(x *pdk.Exchange, in *parameters, client *Credential) (schema.Object, error) {
	user, there := in.find("authenticated_userid")
	switch {
	case there && !same(in.get("provision_key"), p.ProvisionKey):
		return wrong("invalid_provision_key", "Invalid provision_key"), nil
	case client == nil:
		return wrong("invalid_client", "Invalid client authentication"), nil
	}
	scope, bad := p.scope(in)
	if bad != nil {
		return wrong(bad.Error, bad.Description), nil
	}
	return p.issue(grant{client: client, service: p.boundTo(x), user: user, scope: scope})
}

func (p *plugin) byPassword(x *pdk.Exchange, in *parameters, client *Credential) (schema.Object, error) {
	user := in.get("authenticated_userid")
	switch {
	case !same(in.get("provision_key"), p.ProvisionKey):
		return wrong("invalid_provision_key", "Invalid provision_key"), nil
	case strings.TrimSpace(user) == "":
		return wrong("invalid_authenticated_userid", "Missing authenticated_userid parameter"), nil
	}
	scope, bad := p.scope(in)
	if bad != nil {
		return wrong(bad.Error, bad.Description), nil
	}
	return p.issue(grant{client: client, service: p.boundTo(x), user: user, scope: scope, refreshable: true})
}

func (p *plugin) byRefresh(x *pdk.Exchange, in *parameters, client *Credential) (schema.Object, error) {
	invalid := wrong("invalid_request", "Invalid refresh_token")
	var old *Token
	if text := in.get("refresh_token"); text != "" {
		old, _ = x.View.ByKey(Tokens, "refresh_token", text).(*Token)
	}
	if old == nil || ended(x, old.ExpiresAt) || entity.RefID(old.Service) != p.boundTo(x) && !p.GlobalCredentials {
		return invalid, nil
	}
	if entity.RefID(old.Credential) != client.ID {
		return wrong("invalid_client", "Invalid client authentication"), nil
	}
	if slices.ContainsFunc(strings.Fields(old.Scope), func(s string) bool { return !p.allows(s) }) {
		return wrong("invalid_scope", "Scope mismatch"), nil
	}
	g := grant{client: client, service: p.boundTo(x), user: old.AuthenticatedUserID, scope: old.Scope, refreshable: true}
	if p.ReuseRefreshToken {
		g.id, g.refresh = old.ID, old.RefreshToken
	}
	answer, err := p.issue(g, remove(Tokens, old.ID))
	if errors.Is(err, pdk.ErrWriteGone) {
		return invalid, nil // somebody was faster
	}
	return answer, err
}
