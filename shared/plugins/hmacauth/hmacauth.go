// Package hmacauth is the plugin hmac-auth: consumers sign parts of a request with a
// secret that only they and the gateway know. It owns the credentials
// hmacauth_credentials.
package hmacauth

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // clients choose among the algorithms that are allowed
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/auth"
)

// Plugin is hmac-auth.
var Plugin = &pdk.Plugin{
	Name:     "hmac-auth",
	Priority: 1030,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
	Entities: []*entity.Def{Credentials},
}

// MaxBody bounds a body whose digest is verified, in bytes.
const MaxBody = 128 << 20

const (
	unverified = "HMAC signature cannot be verified"
	mismatch   = "HMAC signature does not match"
	undated    = "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication"
)

var algorithms = map[string]func() hash.Hash{
	"hmac-sha1": sha1.New, "hmac-sha256": sha256.New, "hmac-sha384": sha512.New384, "hmac-sha512": sha512.New,
}

type config struct {
	HideCredentials     bool     `json:"hide_credentials"`
	ClockSkew           float64  `json:"clock_skew"`
	Anonymous           string   `json:"anonymous"`
	ValidateRequestBody bool     `json:"validate_request_body"`
	EnforceHeaders      []string `json:"enforce_headers"`
	Algorithms          []string `json:"algorithms"`
	Realm               string   `json:"realm"`
}

type plugin struct {
	config
	challenge string
	attempt   func(x *pdk.Exchange) (auth.Failure, error)
}

func build(_ pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{config: c, challenge: auth.Challenge("hmac", c.Realm)}
	p.attempt = p.authenticate
	return pdk.Phases{Access: p.access}, nil
}

func (p *plugin) access(x *pdk.Exchange) error { return auth.Access(x, p.Anonymous, p.attempt) }

// signature is what the header says.
type signature struct {
	username, algorithm, value string
	headers                    []string
}

func (p *plugin) authenticate(x *pdk.Exchange) (auth.Failure, error) {
	refuse := func(message string) (auth.Failure, error) {
		return auth.Failure{Status: 401, Message: message, Challenge: p.challenge}, nil
	}
	h := &x.Request.Header
	if !h.Has("Proxy-Authorization") && !h.Has("Authorization") {
		return refuse("Unauthorized")
	}
	if !p.dated(x, "X-Date") && !p.dated(x, "Date") {
		return refuse(undated)
	}
	from := "Proxy-Authorization"
	s, ok := parse(h.Get(from))
	if !ok {
		from = "Authorization"
		s, ok = parse(h.Get(from))
	}
	if !ok || !p.acceptable(s) {
		return refuse(unverified)
	}
	c, _ := x.View.ByKey(Credentials, "username", s.username).(*Credential)
	if c == nil || c.Consumer == nil {
		return refuse(unverified)
	}
	given, err := base64.StdEncoding.DecodeString(s.value)
	if err != nil {
		return refuse(mismatch)
	}
	mac := hmac.New(algorithms[s.algorithm], []byte(c.Secret))
	mac.Write(signed(x, s.headers))
	if !hmac.Equal(mac.Sum(nil), given) {
		return refuse(mismatch)
	}
	if p.ValidateRequestBody && !bodyMatches(x) {
		return refuse(mismatch)
	}
	consumer := auth.Consumer(x, c.Consumer.ID)
	if consumer == nil {
		return refuse(unverified)
	}
	if p.HideCredentials {
		h.Del(from)
	}
	auth.Succeed(x, consumer, pdk.Credential{ID: c.ID, ConsumerID: consumer.ID, Key: c.Username})
	return auth.Failure{}, nil
}

// dated tells whether the request says in a header a time that is near enough.
func (p *plugin) dated(x *pdk.Exchange, header string) bool {
	at, err := http.ParseTime(x.Request.Header.Get(header))
	return err == nil && x.Start.Sub(at).Abs() <= time.Duration(p.ClockSkew*float64(time.Second))
}

// acceptable tells whether the signature covers what it must, in a way that is allowed.
func (p *plugin) acceptable(s *signature) bool {
	if s.username == "" || s.value == "" || !slices.Contains(p.Algorithms, s.algorithm) {
		return false
	}
	for _, name := range p.EnforceHeaders {
		if !slices.Contains(s.headers, name) {
			return false
		}
	}
	return true
}

// parse takes `hmac username="u", algorithm="a", headers="h h", signature="s"` apart.
func parse(text string) (*signature, bool) {
	const scheme = "hmac "
	text = strings.TrimSpace(text)
	if len(text) < len(scheme) || !strings.EqualFold(text[:len(scheme)], scheme) {
		return nil, false
	}
	s := &signature{}
	for text = text[len(scheme):]; ; {
		text = strings.TrimLeft(text, " \t,")
		name, rest, ok := strings.Cut(text, `="`)
		if !ok {
			return s, text == "" && s.username != "" && len(s.headers) > 0
		}
		value, after, ok := strings.Cut(rest, `"`)
		if !ok {
			return nil, false
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "username":
			s.username = value
		case "algorithm":
			s.algorithm = value
		case "headers":
			s.headers = strings.Split(value, " ")
		case "signature":
			s.value = value
		}
		text = after
	}
}

// signed is what the client has signed.
func signed(x *pdk.Exchange, headers []string) []byte {
	q := &x.Request
	target := q.RawPath
	if q.HasQuery {
		target += "?" + q.RawQuery
	}
	var b []byte
	for i, name := range headers {
		if i > 0 {
			b = append(b, '\n')
		}
		switch {
		case q.Header.Has(name):
			b = append(b, name+": "+q.Header.Get(name)...)
		case pdk.EqualFold(name, "host"):
			b = append(b, name+": "+q.Host...)
		case name == "request-line":
			version := "1.1"
			switch q.Proto {
			case 10:
				version = "1.0"
			case 20:
				version = "2.0"
			}
			b = append(b, q.Method+" "+target+" HTTP/"+version...)
		case name == "@request-target":
			b = append(b, name+": "+strings.ToLower(q.Method)+" "+target...)
		default:
			b = append(b, name+":"...)
		}
	}
	return b
}

// bodyMatches verifies the header Digest. Without one there must be no body.
func bodyMatches(x *pdk.Exchange) bool {
	body, err := x.BufferBody(MaxBody)
	if err != nil {
		return false
	}
	given := x.Request.Header.Get("Digest")
	if given == "" {
		return len(body) == 0
	}
	sum := sha256.Sum256(body)
	return hmac.Equal([]byte("SHA-256="+base64.StdEncoding.EncodeToString(sum[:])), []byte(given))
}
