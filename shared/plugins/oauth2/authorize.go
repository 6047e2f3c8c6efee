package oauth2

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// codeTTL is how long an authorization code is good, in seconds.
const codeTTL = 300

// noStore keeps answers with secrets out of caches.
func noStore(x *pdk.Exchange) {
	x.Response.Header.Set("Cache-Control", "no-store")
	x.Response.Header.Set("Pragma", "no-cache")
}

// authorize answers the login application, which has asked a user. The answer tells
// where to send the user's browser.
func (p *plugin) authorize(x *pdk.Exchange) error {
	in := readParameters(x)
	answer, redirect, fragment, err := p.decide(x, &in)
	if err != nil {
		return p.unavailable(x, err)
	}
	if state := in.get("state"); state != "" {
		answer["state"] = state
	}
	status := 200
	if answer["error"] != nil {
		status = 400
	}
	noStore(x)
	if redirect == "" {
		return x.ExitJSON(status, answer)
	}
	return x.ExitJSON(status, schema.Object{"redirect_uri": extend(redirect, answer, fragment)})
}

// decide returns what is to be told, and where: redirect is "" when the client is not
// known. fragment says that it goes behind "#".
func (p *plugin) decide(x *pdk.Exchange, in *parameters) (answer schema.Object, redirect string, fragment bool, err error) {
	if ok, why := p.secure(x); !ok {
		return wrong("access_denied", why), "", false, nil
	}
	if !same(in.get("provision_key"), p.ProvisionKey) {
		return wrong("invalid_provision_key", "Invalid provision_key"), "", false, nil
	}
	user := in.get("authenticated_userid")
	if strings.TrimSpace(user) == "" {
		return wrong("invalid_authenticated_userid", "Missing authenticated_userid parameter"), "", false, nil
	}
	// Of several mistakes the last one is told.
	kind := in.get("response_type")
	if !(kind == "code" && p.EnableAuthorizationCode || kind == "token" && p.EnableImplicitGrant) {
		answer = wrong("unsupported_response_type", "Invalid response_type")
	}
	scope, bad := p.scope(in)
	if bad != nil {
		answer = wrong(bad.Error, bad.Description)
	}
	client := findClient(x, in.get("client_id"))
	if client == nil || len(client.RedirectURIs) == 0 {
		answer = wrong("invalid_client", "Invalid client authentication")
	} else {
		var ok bool
		if redirect, ok = redirectFor(client, in); !ok {
			redirect = client.RedirectURIs[0]
			answer = wrong("invalid_request", "Invalid redirect_uri that does not match with any redirect_uri created with the application")
		}
	}
	challenge, method, why := codeChallenge(in)
	switch {
	case why != "":
		answer = wrong("invalid_request", why)
	case client != nil && challenge == "" && p.needsProof(client):
		answer = wrong("invalid_request", "code_challenge is required for "+client.ClientType+" clients")
	}
	if answer != nil {
		return answer, redirect, false, nil
	}
	if kind == "token" {
		answer, err = p.issue(grant{client: client, service: p.boundTo(x), user: user, scope: scope})
		return answer, redirect, true, err
	}
	code := schema.RandomString()
	body := schema.Object{
		"code": code, "credential": schema.Object{"id": client.ID}, "authenticated_userid": user, "scope": null(scope),
		"challenge": null(challenge), "challenge_method": null(method), "plugin": schema.Object{"id": p.id}, "ttl": codeTTL,
	}
	if service := p.boundTo(x); service != "" {
		body["service"] = schema.Object{"id": service}
	}
	if err := p.write(insert(Codes, body)); err != nil {
		return nil, "", false, err
	}
	return schema.Object{"code": code}, redirect, false, nil
}

func wrong(code, description string) schema.Object {
	return schema.Object{"error": code, "error_description": description}
}

// null turns "" into null.
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// boundTo returns the service that tokens are for, "" for any.
func (p *plugin) boundTo(x *pdk.Exchange) string {
	if p.GlobalCredentials {
		return ""
	}
	return serviceID(x)
}

func findClient(x *pdk.Exchange, id string) *Credential {
	if id == "" {
		return nil
	}
	c, _ := x.View.ByKey(Credentials, "client_id", id).(*Credential)
	return c
}

// redirectFor returns where a client wants its user sent, which must be one of its own.
func redirectFor(client *Credential, in *parameters) (string, bool) {
	want, there := in.find("redirect_uri")
	if !there {
		return client.RedirectURIs[0], true
	}
	return want, slices.Contains(client.RedirectURIs, want)
}

// needsProof tells whether a client must use PKCE.
func (p *plugin) needsProof(client *Credential) bool {
	return client.ClientType == public && p.PKCE != "none" || client.ClientType == confidential && p.PKCE == "strict"
}

// codeChallenge reads the parameters of PKCE. method is "" without a challenge.
func codeChallenge(in *parameters) (challenge, method, why string) {
	challenge, there := in.find("code_challenge")
	method, given := in.find("code_challenge_method")
	switch {
	case given && !there:
		return "", "", "code_challenge is required when code_method is present"
	case !there:
		return "", "", ""
	case given && !strings.EqualFold(method, "S256"):
		return "", "", "code_challenge_method is not supported, must be S256"
	}
	// As it would be written without padding and in the alphabet for URLs.
	plain := strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(challenge, "="))
	if b, err := base64.RawURLEncoding.DecodeString(plain); err == nil {
		challenge = base64.RawURLEncoding.EncodeToString(b)
	}
	return challenge, "S256", ""
}
