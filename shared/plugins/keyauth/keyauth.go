// Package keyauth is the plugin key-auth: consumers show who they are with a key in a
// header, a query argument or an argument of the body. It owns the credentials
// keyauth_credentials.
//
// For each of key_names in turn, a header is looked for, then a query argument, then
// one of the body; the first that is there decides, even when it is empty. A key that
// has outlived its ttl is unknown, also while the control plane is away.
package keyauth

import (
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/auth"
	"github.com/sluice-gateway/sluice/shared/pdk/payload"
)

// MaxBody bounds a body that a key is looked for in, in bytes. Longer ones hold none.
const MaxBody = 8 << 20

// Plugin is key-auth.
var Plugin = &pdk.Plugin{
	Name:     "key-auth",
	Priority: 1250,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
	Entities: []*entity.Def{Credentials},
}

type config struct {
	KeyNames        []string `json:"key_names"`
	HideCredentials bool     `json:"hide_credentials"`
	Anonymous       string   `json:"anonymous"`
	KeyInHeader     bool     `json:"key_in_header"`
	KeyInQuery      bool     `json:"key_in_query"`
	KeyInBody       bool     `json:"key_in_body"`
	RunOnPreflight  bool     `json:"run_on_preflight"`
	Realm           string   `json:"realm"`
}

type plugin struct {
	config
	challenge string
	attempt   func(x *pdk.Exchange) (auth.Failure, error)
}

func build(_ pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{config: c, challenge: auth.Challenge("Key", c.Realm)}
	p.attempt = p.authenticate // made once: a method value allocates
	return pdk.Phases{Access: p.access}, nil
}

func (p *plugin) access(x *pdk.Exchange) error {
	if !p.RunOnPreflight && x.Request.Method == "OPTIONS" {
		return nil
	}
	return auth.Access(x, p.Anonymous, p.attempt)
}

func (p *plugin) authenticate(x *pdk.Exchange) (auth.Failure, error) {
	key, count := p.find(x)
	switch {
	case count > 1:
		return p.unauthorized("Duplicate API key found"), nil
	case key == "":
		return p.unauthorized("No API key found in request"), nil
	}
	c, _ := x.View.ByKey(Credentials, "key", key).(*Credential)
	if c == nil || c.Consumer == nil || c.ExpiresAt > 0 && float64(x.Start.UnixMilli()) >= c.ExpiresAt*1000 {
		return p.unauthorized("Unauthorized"), nil
	}
	consumer := auth.Consumer(x, c.Consumer.ID)
	if consumer == nil {
		return p.unauthorized("Unauthorized"), nil
	}
	auth.Succeed(x, consumer, pdk.Credential{ID: c.ID, ConsumerID: consumer.ID, Key: c.ID})
	return auth.Failure{}, nil
}

func (p *plugin) unauthorized(message string) auth.Failure {
	return auth.Failure{Status: 401, Message: message, Challenge: p.challenge}
}

// find returns the key and how often its name is there, 0 when no name is.
func (p *plugin) find(x *pdk.Exchange) (key string, count int) {
	var body *payload.Payload
	var parsed bool
	for _, name := range p.KeyNames {
		here := false
		if p.KeyInHeader {
			if count = x.Request.Header.Count(name); count > 0 {
				key, here = x.Request.Header.Get(name), true
			}
		}
		if !here && p.KeyInQuery && x.Request.RawQuery != "" {
			if count = pdk.QueryCount(x.Request.RawQuery, name); count > 0 {
				arg, _ := pdk.QueryArg(x.Request.RawQuery, name)
				if count == 1 && !arg.HasValue {
					continue // "?apikey" names a key without holding one
				}
				key, here = pdk.Unescape(&x.Text, arg.Value), true
			}
		}
		if !here && p.KeyInBody {
			if !parsed {
				body, parsed = readBody(x), true
			}
			if body == nil {
				continue
			}
			if count = body.Count(name); count > 0 {
				var text bool
				if key, text, _ = body.Get(name); !text {
					continue
				}
				here = true
			}
		}
		if !here {
			continue
		}
		if p.HideCredentials {
			p.hide(x, name)
		}
		return key, count
	}
	return "", 0
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

// hide takes the key out of what the upstream gets, wherever it is.
func (p *plugin) hide(x *pdk.Exchange, name string) {
	x.Request.Header.Del(name)
	x.RemoveQueryArg(name)
	if p.KeyInBody {
		if body := readBody(x); body != nil && body.Del(name) {
			x.SetBody(body.Encode())
		}
	}
}
