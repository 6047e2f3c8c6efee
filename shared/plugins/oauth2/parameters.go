package oauth2

import (
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/payload"
)

// MaxBody bounds a body that parameters are looked for in, in bytes. Longer ones hold none.
const MaxBody = 1 << 20

// parameters of a request to an endpoint: those of the body before those of the query.
type parameters struct {
	query string
	body  *payload.Payload
}

func readParameters(x *pdk.Exchange) parameters {
	return parameters{x.Request.RawQuery, readBody(x)}
}

// get returns the one string of a name, "" when it is missing, empty, there twice or not a
// string.
func (p *parameters) get(name string) string {
	text, _ := p.find(name)
	return text
}

// find tells besides whether the parameter is there in any form.
func (p *parameters) find(name string) (text string, there bool) {
	if p.body != nil {
		if n := p.body.Count(name); n > 0 {
			value, text, _ := p.body.Get(name)
			if n > 1 || !text {
				return "", true
			}
			return value, true
		}
	}
	switch pdk.QueryCount(p.query, name) {
	case 0:
		return "", false
	case 1:
		value, _ := pdk.QueryValue(p.query, name)
		return string(pdk.AppendUnescaped(nil, value)), true
	default:
		return "", true
	}
}

// findParameter returns one parameter of any request.
func findParameter(x *pdk.Exchange, name string) (string, bool) {
	p := parameters{query: x.Request.RawQuery}
	if x.Request.RawQuery == "" && x.Request.Body == nil && x.Request.Buffered == nil {
		return "", false
	}
	switch x.Request.Method {
	case "POST", "PUT", "PATCH":
		p.body = readBody(x)
	}
	return p.find(name)
}

// readBody takes the arguments of the body, nil when it has none.
func readBody(x *pdk.Exchange) *payload.Payload {
	contentType := x.Request.Header.Get("Content-Type")
	if payload.KindOf(contentType) == payload.None {
		return nil
	}
	raw, err := x.BufferBody(MaxBody)
	if err != nil || len(raw) == 0 {
		return nil
	}
	body, err := payload.Parse(contentType, raw)
	if err != nil {
		return nil
	}
	return body
}

// secure tells whether a request came over HTTPS, as far as we are to believe it; why
// says what is wrong.
func (p *plugin) secure(x *pdk.Exchange) (ok bool, why string) {
	why = "You must use HTTPS"
	switch {
	case x.Request.Scheme == "https":
		return true, ""
	case !p.AcceptHTTPIfAlreadyTerminated || !x.Request.Trusted:
		return false, why
	case x.Request.Header.Count("X-Forwarded-Proto") > 1:
		return false, "Only one X-Forwarded-Proto header allowed"
	}
	return strings.EqualFold(x.Request.Header.Get("X-Forwarded-Proto"), "https"), why
}

// scope returns the scopes that are asked for.
func (p *plugin) scope(in *parameters) (string, *failure) {
	text, there := in.find("scope")
	switch {
	case !there && p.MandatoryScope:
		return "", &failure{"invalid_scope", "You must specify a scope"}
	case !there || p.Scopes == nil:
		return "", nil
	case text == "" && !in.plain("scope"):
		return "", &failure{"invalid_scope", "scope must be a string"}
	}
	words := strings.Fields(text)
	for _, word := range words {
		if !p.allows(word) {
			return "", &failure{"invalid_scope", `"` + word + `" is an invalid scope`}
		}
	}
	return strings.Join(words, " "), nil
}

// plain tells whether a parameter that reads as "" is an empty string.
func (p *parameters) plain(name string) bool {
	if p.body != nil && p.body.Count(name) > 0 {
		_, text, _ := p.body.Get(name)
		return text && p.body.Count(name) == 1
	}
	return pdk.QueryCount(p.query, name) == 1
}

func (p *plugin) allows(scope string) bool { return slices.Contains(p.Scopes, scope) }
