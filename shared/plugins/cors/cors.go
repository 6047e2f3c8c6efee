// Package cors is the plugin cors: it tells browsers which pages of other origins may
// use the answers, and answers their preflight requests.
package cors

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is cors.
var Plugin = &pdk.Plugin{
	Name:     "cors",
	Priority: 2000,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var methods = []string{"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT"}

func allMethods() []any {
	out := make([]any, len(methods))
	for i, m := range methods {
		out[i] = m
	}
	return out
}

var pluginSchema = &schema.Schema{
	Name: "cors",
	Fields: []schema.Field{
		schema.NoConsumer(),
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			schema.ArrayOf(schema.Field{Type: schema.String, Check: checkOrigin, CheckName: "origin"}).Named("origins").
				Described("Origins that may use answers: *, literally, or as regular expressions; unset means any."),
			schema.ArrayOf(schema.Field{Type: schema.String}).Named("headers").Described("Headers that requests may have; unset allows those that are asked for."),
			schema.ArrayOf(schema.Field{Type: schema.String}).Named("exposed_headers").Described("Headers of answers that pages may read."),
			schema.ArrayOf(schema.OneOf(methods...)).Named("methods").Defaults(allMethods()).Described("Methods that requests may have."),
			schema.Field{Name: "max_age", Type: schema.Number}.Described("How many seconds the answer to a preflight request holds."),
			schema.Field{Name: "credentials", Type: schema.Boolean, Default: false, Required: true}.Described("Whether requests may carry cookies and the like."),
			schema.Field{Name: "private_network", Type: schema.Boolean, Default: false, Required: true}.Described("Whether pages of public sites may ask a private network."),
			schema.Field{Name: "preflight_continue", Type: schema.Boolean, Default: false, Required: true}.Described("Whether the upstream answers preflight requests."),
		),
	},
}

func checkOrigin(v any) error {
	text, _ := v.(string)
	if text == "*" {
		return nil
	}
	if _, err := schema.CompileRegex(text); err != nil {
		return fmt.Errorf("'%s' is not a valid regex", text)
	}
	return nil
}

type config struct {
	Origins           []string `json:"origins"`
	Headers           []string `json:"headers"`
	ExposedHeaders    []string `json:"exposed_headers"`
	Methods           []string `json:"methods"`
	MaxAge            *float64 `json:"max_age"`
	Credentials       bool     `json:"credentials"`
	PrivateNetwork    bool     `json:"private_network"`
	PreflightContinue bool     `json:"preflight_continue"`
}

// origin is one that is allowed.
type origin struct {
	// text is the whole origin without the scheme's own port.
	text string
	// hostOnly is true for entries without a colon: they are compared with the host.
	hostOnly bool
	regex    *schema.Regex // anchored at both ends; nil for plain ones
}

type plugin struct {
	config
	everybody                         bool // no origin is named, or only "*"
	any                               bool // "*" is among several
	origins                           []origin
	single                            string // the only origin, when it is plain
	exposed, headers, methods, maxAge string
}

func build(_ pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{
		config: c, everybody: len(c.Origins) == 0 || len(c.Origins) == 1 && c.Origins[0] == "*", exposed: strings.Join(c.ExposedHeaders, ","),
		headers: strings.Join(c.Headers, ","), methods: strings.Join(c.Methods, ","),
	}
	if c.MaxAge != nil {
		p.maxAge = strconv.FormatFloat(*c.MaxAge, 'f', -1, 64)
	}
	for _, text := range c.Origins {
		if text == "*" {
			p.any = true
			continue
		}
		if plain(text) {
			full, _ := normal(text)
			p.origins = append(p.origins, origin{text: full, hostOnly: !strings.Contains(text, ":")})
			continue
		}
		r, err := schema.CompileRegex("^(?:" + text + ")$")
		if err != nil {
			return pdk.Phases{}, schema.Violate("config.origins", "'"+text+"' is not a valid regex")
		}
		p.origins = append(p.origins, origin{regex: r, hostOnly: !strings.Contains(text, ":")})
	}
	if len(c.Origins) == 1 && len(p.origins) == 1 && p.origins[0].regex == nil {
		p.single = c.Origins[0]
	}
	return pdk.Phases{Access: p.access, HeaderFilter: p.headerFilter}, nil
}

// plain tells whether an entry is no regex.
func plain(text string) bool {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte(".:/-", c) < 0 {
			return false
		}
	}
	return true
}

func preflight(x *pdk.Exchange) bool {
	q := &x.Request
	return q.Method == "OPTIONS" && q.Header.Has("Origin") && q.Header.Has("Access-Control-Request-Method")
}

// access answers preflight requests.
func (p *plugin) access(x *pdk.Exchange) error {
	if p.PreflightContinue || !preflight(x) {
		return nil
	}
	p.origin(x)
	q, h := &x.Request, &x.Response.Header
	switch {
	case p.headers != "":
		h.Set("Access-Control-Allow-Headers", p.headers)
	default:
		if asked := q.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked)
		}
	}
	h.Set("Access-Control-Allow-Methods", p.methods)
	if p.maxAge != "" {
		h.Set("Access-Control-Max-Age", p.maxAge)
	}
	if p.PrivateNetwork && q.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	return x.ExitBody(200, "", []byte{})
}

func (p *plugin) headerFilter(x *pdk.Exchange) error {
	if preflight(x) {
		return nil // it is answered, or the upstream has answered it
	}
	p.origin(x)
	if p.exposed != "" {
		x.Response.Header.Set("Access-Control-Expose-Headers", p.exposed)
	}
	return nil
}

// origin says who may use the answer, and whether with credentials.
func (p *plugin) origin(x *pdk.Exchange) {
	h, asked := &x.Response.Header, x.Request.Header.Get("Origin")
	all := p.allow(x, asked)
	switch {
	case !p.Credentials:
	case !all:
		h.Set("Access-Control-Allow-Credentials", "true")
	case asked != "":
		// Browsers refuse * with credentials.
		addVary(h)
		h.Set("Access-Control-Allow-Origin", asked)
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}

// allow sets who may use the answer, and returns whether that is everybody.
func (p *plugin) allow(x *pdk.Exchange, asked string) (all bool) {
	const name = "Access-Control-Allow-Origin"
	h := &x.Response.Header
	if p.everybody {
		h.Set(name, "*")
		return true
	}
	addVary(h)
	switch {
	case p.single != "":
		h.Set(name, p.single)
	case asked == "":
		h.Del(name)
	case p.any:
		h.Set(name, "*")
		return true
	default:
		if found := p.allowed(asked); found != "" {
			h.Set(name, found)
		} else {
			h.Del(name)
		}
	}
	return false
}

func addVary(h *pdk.Header) {
	if !h.Has("Vary") {
		h.Add("Vary", "Origin")
		return
	}
	for _, v := range h.Values(nil, "Vary") {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part == "*" || pdk.EqualFold(part, "Origin") {
				return
			}
		}
	}
	h.Add("Vary", "Origin")
}

// allowed returns an origin that is allowed without the scheme's own port, "" for others.
func (p *plugin) allowed(asked string) string {
	full, host := normal(asked)
	for i := range p.origins {
		o, compare := &p.origins[i], full
		if o.hostOnly {
			compare = host
		}
		if o.regex == nil && compare == o.text || o.regex != nil && o.regex.Match(compare) {
			return full
		}
	}
	return ""
}

// normal takes the scheme's own port off an origin, and returns its host, too. It
// returns parts of what it is given.
func normal(origin string) (full, host string) {
	scheme, rest, ok := strings.Cut(origin, "://")
	if !ok {
		return origin, origin
	}
	authority, _, _ := strings.Cut(rest, "/")
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		host, port = authority[:i], authority[i+1:]
	}
	end := len(scheme) + len("://") + len(authority)
	if port == "80" && scheme == "http" || port == "443" && scheme == "https" {
		end -= len(port) + 1
	}
	return origin[:end], host
}
