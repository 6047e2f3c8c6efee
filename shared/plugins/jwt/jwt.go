// Package jwt is the plugin jwt: consumers show who they are with a signed token. It owns
// the credentials jwt_secrets. Signatures are verified by golang-jwt; which token counts,
// which credential it names and which claims hold is decided here, in Kong's words.
package jwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/auth"
)

// Plugin is jwt.
var Plugin = &pdk.Plugin{
	Name:     "jwt",
	Priority: 1450,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
	Entities: []*entity.Def{Credentials},
}

type config struct {
	URIParamNames     []string `json:"uri_param_names"`
	CookieNames       []string `json:"cookie_names"`
	KeyClaimName      string   `json:"key_claim_name"`
	SecretIsBase64    bool     `json:"secret_is_base64"`
	ClaimsToVerify    []string `json:"claims_to_verify"`
	Anonymous         string   `json:"anonymous"`
	RunOnPreflight    bool     `json:"run_on_preflight"`
	MaximumExpiration float64  `json:"maximum_expiration"`
	HeaderNames       []string `json:"header_names"`
	Realm             string   `json:"realm"`
}

type plugin struct {
	config
	attempt func(x *pdk.Exchange) (auth.Failure, error)
	keys    sync.Map // PEM text -> public key
}

func build(_ pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{config: c}
	p.attempt = p.authenticate
	return pdk.Phases{Access: p.access}, nil
}

func (p *plugin) access(x *pdk.Exchange) error {
	if !p.RunOnPreflight && x.Request.Method == "OPTIONS" {
		return nil
	}
	return auth.Access(x, p.Anonymous, p.attempt)
}

// refusal is the body of an answer; other plugins' have a request id, too.
type refusal struct {
	Message string `json:"message"`
}

// failure is a refusal; a token that is there and bad is called so.
func (p *plugin) failure(message string, token bool) auth.Failure {
	challenge := auth.Challenge("Bearer", p.Realm)
	if token {
		challenge += ` error="invalid_token"`
	}
	return auth.Failure{Status: 401, Body: refusal{message}, Challenge: challenge}
}

func (p *plugin) authenticate(x *pdk.Exchange) (auth.Failure, error) {
	text, count := p.find(x)
	switch {
	case count > 1:
		return p.failure("Multiple tokens provided", true), nil
	case count == 0:
		return p.failure("Unauthorized", false), nil
	}
	token, err := parse(text)
	if err != nil {
		return p.failure("Bad token; "+err.Error(), true), nil
	}
	key, present := token.claims[p.KeyClaimName]
	if !present {
		key, present = token.header[p.KeyClaimName]
	}
	name, isText := key.(string)
	switch {
	case !present || key == nil:
		return p.failure(fmt.Sprintf("No mandatory '%s' in claims", p.KeyClaimName), true), nil
	case !isText || name == "":
		return p.failure(fmt.Sprintf("Invalid '%s' in claims", p.KeyClaimName), true), nil
	}
	c, _ := x.View.ByKey(Credentials, "key", name).(*Credential)
	if c == nil || c.Consumer == nil {
		return p.failure(fmt.Sprintf("No credentials found for given '%s'", p.KeyClaimName), true), nil
	}
	algorithm, _ := token.header["alg"].(string)
	if algorithm != c.Algorithm {
		return p.failure("Invalid algorithm", true), nil
	}
	secret, ok := p.key(c)
	if !ok {
		return p.failure("Invalid key/secret", true), nil
	}
	if err := gojwt.GetSigningMethod(algorithm).Verify(token.signed, token.signature, secret); err != nil {
		return p.failure("Invalid signature", true), nil
	}
	if wrong := p.wrong(token, x.Start); len(wrong) > 0 {
		f := p.failure("", true)
		f.Body = wrong // said claim by claim
		return f, nil
	}
	consumer := auth.Consumer(x, c.Consumer.ID)
	if consumer == nil {
		return p.failure(fmt.Sprintf("Could not find consumer for '%s=%s'", p.KeyClaimName, name), true), nil
	}
	auth.Succeed(x, consumer, pdk.Credential{ID: c.ID, ConsumerID: consumer.ID, Key: c.Key})
	return auth.Failure{}, nil
}

// find returns the token, and how many different ones there are.
func (p *plugin) find(x *pdk.Exchange) (token string, count int) {
	add := func(t string) {
		if t = strings.TrimSpace(t); t != "" && t != token {
			token = t
			count++
		}
	}
	q := &x.Request
	for _, name := range p.URIParamNames {
		raw := q.RawQuery
		if pdk.QueryCount(raw, name) == 0 {
			continue
		}
		for arg, rest, ok := pdk.NextArg(raw); ok; arg, rest, ok = pdk.NextArg(rest) {
			if pdk.Unescape(&x.Text, arg.Name) == name && arg.HasValue {
				add(pdk.Unescape(&x.Text, arg.Value))
			}
		}
	}
	for _, name := range p.CookieNames {
		for _, line := range q.Header.Values(nil, "Cookie") {
			for pair := range strings.SplitSeq(line, ";") {
				if k, v, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && k == name {
					add(v)
				}
			}
		}
	}
	for _, name := range p.HeaderNames {
		for _, v := range q.Header.Values(nil, name) {
			const scheme = "bearer "
			if v = strings.TrimSpace(v); len(v) > len(scheme) && pdk.EqualFold(v[:len(scheme)], scheme) {
				add(v[len(scheme):])
			}
		}
	}
	return token, count
}

// token is one that was taken apart.
type token struct {
	header, claims map[string]any
	signed         string
	signature      []byte
}

func parse(text string) (*token, error) {
	parts := strings.SplitN(text, ".", 3)
	if len(parts) != 3 {
		return nil, errors.New("invalid JSON")
	}
	t := &token{signed: text[:len(text)-len(parts[2])-1]}
	for i, into := range []*map[string]any{&t.header, &t.claims} {
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[i], "="))
		if err != nil || json.Unmarshal(b, into) != nil {
			return nil, errors.New("invalid JSON")
		}
	}
	algorithm, _ := t.header["alg"].(string)
	if algorithm == "none" || gojwt.GetSigningMethod(algorithm) == nil {
		return nil, errors.New("invalid alg")
	}
	var err error
	if t.signature, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[2], "=")); err != nil {
		return nil, errors.New("invalid signature")
	}
	return t, nil
}

// key returns what the signatures of a credential are verified with.
func (p *plugin) key(c *Credential) (any, bool) {
	if strings.HasPrefix(c.Algorithm, "HS") {
		if !p.SecretIsBase64 {
			return []byte(c.Secret), true
		}
		text := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(c.Secret), "=")
		b, err := base64.RawStdEncoding.DecodeString(text)
		return b, err == nil
	}
	if k, ok := p.keys.Load(c.RSAPublicKey); ok {
		return k, true
	}
	k, err := publicKey(c.RSAPublicKey)
	if err != nil {
		return nil, false
	}
	switch k.(type) {
	case *rsa.PublicKey:
		if c.Algorithm[0] != 'R' && c.Algorithm[0] != 'P' {
			return nil, false
		}
	case *ecdsa.PublicKey:
		if c.Algorithm[:2] != "ES" {
			return nil, false
		}
	case ed25519.PublicKey:
		if c.Algorithm != "EdDSA" {
			return nil, false
		}
	}
	p.keys.Store(c.RSAPublicKey, k)
	return k, true
}

// publicKey reads a public key or a certificate in PEM.
func publicKey(text string) (any, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no PEM")
	}
	if k, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
		return k, nil
	}
	if k, err := x509.ParsePKCS1PublicKey(block.Bytes); err == nil {
		return k, nil
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	return c.PublicKey, nil
}

// wrong says which claims about time do not hold.
func (p *plugin) wrong(t *token, now time.Time) map[string]string {
	out := map[string]string{}
	seconds := float64(now.UnixMilli()) / 1000
	for _, name := range p.ClaimsToVerify {
		v, ok := t.claims[name].(float64)
		switch {
		case !ok:
			out[name] = "must be a number"
		case name == "exp" && v <= seconds:
			out[name] = "token expired"
		case name == "nbf" && v > seconds:
			out[name] = "token not valid yet"
		}
	}
	if exp, ok := t.claims["exp"].(float64); p.MaximumExpiration > 0 && len(out) == 0 {
		if !ok || exp-seconds > p.MaximumExpiration {
			out["exp"] = "exceeds maximum allowed expiration"
		}
	}
	return out
}
