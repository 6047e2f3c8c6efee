// Package cors is the plugin cors: it tells browsers which pages of other origins may
// use the answers, and answers their preflight requests.
package cors

import (
	"fmt"
	"net/url"
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
	text string
	// hostOnly is true for entries without a colon: they are compared with the host.
	hostOnly bool
	regex    *schema.Regex // anchored at both ends; nil for plain ones
}

type plugin struct {
	config
	any                               bool
	origins                           []origin
	single                            string // the only origin, when it is plain
	exposed, headers, methods, maxAge string
}

func build(_ pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{
		config: c, any: len(c.Origins) == 0, exposed: strings.Join(c.ExposedHeaders, ","),
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
		o := origin{text: text, hostOnly: !strings.Contains(text, ":")}
		if strings.ContainsAny(text, `\^$*+?()[]{}|`) {
			r, err := schema.CompileRegex("^(?:" + text + ")$")
			if err != nil {
				return pdk.Phases{}, schema.Violate("config.origins", "'"+text+"' is not a valid regex")
			}
			o.regex = r
		}
		p.origins = append(p.origins, o)
	}
	if len(c.Origins) == 1 && len(p.origins) == 1 && p.origins[0].regex == nil {
		p.single = p.origins[0].text
	}
	return pdk.Phases{Access: p.access, HeaderFilter: p.headerFilter}, nil
}

// access answers preflight requests.
func (p *plugin) access(x *pdk.Exchange) error {
	q := &x.Request
	if q.Method != "OPTIONS" || !q.Header.Has("Origin") || !q.Header.Has("Access-Control-Request-Method") || p.PreflightContinue {
		return nil
	}
	h := &x.Response.Header
	if !p.origin(x) {
		// Nothing else is told to who may not ask.
		return x.ExitBody(200, "", []byte{})
	}
	if p.PrivateNetwork && q.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
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
	return x.ExitBody(200, "", []byte{})
}

func (p *plugin) headerFilter(x *pdk.Exchange) error {
	q := &x.Request
	preflight := q.Method == "OPTIONS" && q.Header.Has("Origin") && q.Header.Has("Access-Control-Request-Method")
	if preflight && !p.PreflightContinue {
		return nil
	}
	p.origin(x)
	if p.exposed != "" {
		x.Response.Header.Set("Access-Control-Expose-Headers", p.exposed)
	}
	return nil
}

// origin says who may use the answer, and returns whether that is who asks.
func (p *plugin) origin(x *pdk.Exchange) bool {
	h := &x.Response.Header
	asked := x.Request.Header.Get("Origin")
	allow, vary := "", true
	switch {
	case p.any && !p.Credentials:
		allow, vary = "*", false
	case p.any:
		// Browsers refuse * with credentials.
		if allow = asked; asked == "" {
			allow, vary = "*", false
		}
	case p.single != "" && strings.Contains(p.single, ":"):
		allow = p.single
	case p.allowed(asked):
		allow = asked
	}
	if vary {
		addVary(h)
	}
	if allow == "" {
		h.Del("Access-Control-Allow-Origin")
		return false
	}
	h.Set("Access-Control-Allow-Origin", allow)
	if p.Credentials && allow != "*" {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	return true
}

func addVary(h *pdk.Header) {
	for _, v := range h.Values(nil, "Vary") {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part == "*" || pdk.EqualFold(part, "Origin") {
				return
			}
		}
	}
	h.Add("Vary", "Origin")
}

func (p *plugin) allowed(asked string) bool {
	if asked == "" {
		return false
	}
	full, host := normal(asked)
	for i := range p.origins {
		o := &p.origins[i]
		compare := full
		if o.hostOnly {
			compare = host
		}
		if o.regex != nil && o.regex.Match(compare) {
			return true
		}
		if o.regex == nil && compare == normalEntry(o) {
			return true
		}
	}
	return false
}

// normal takes the scheme's own port off an origin, and returns its host, too.
func normal(origin string) (full, host string) {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return origin, origin
	}
	port := u.Port()
	if port == "" || u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		return u.Scheme + "://" + u.Hostname(), u.Hostname()
	}
	return u.Scheme + "://" + u.Host, u.Hostname()
}

func normalEntry(o *origin) string {
	if o.hostOnly {
		return o.text
	}
	full, _ := normal(o.text)
	return full
}
