// Package redirect is the plugin redirect: requests are answered with where to go
// instead.
package redirect

import (
	"net/url"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is redirect.
var Plugin = &pdk.Plugin{
	Name:     "redirect",
	Priority: 779,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name: "redirect",
	Fields: []schema.Field{
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			schema.Field{Name: "status_code", Type: schema.Integer, Default: 301, Required: true, Between: []float64{100, 599}}.Described("Status of the answer."),
			schema.URL().Named("location").AsRequired().Described("URL that clients are sent to."),
			schema.Field{Name: "keep_incoming_path", Type: schema.Boolean, Default: false}.Described("Whether the path and query of the request take the place of location's."),
		),
	},
}

type config struct {
	StatusCode       int    `json:"status_code"`
	Location         string `json:"location"`
	KeepIncomingPath bool   `json:"keep_incoming_path"`
}

type plugin struct {
	status   int
	location string
	// origin is location without path and query, with keep_incoming_path.
	origin string
}

func build(_ pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{status: c.StatusCode, location: c.Location}
	if c.KeepIncomingPath {
		u, err := url.Parse(c.Location)
		if err != nil {
			return pdk.Phases{}, schema.Violate("config.location", "not a valid URL: "+err.Error())
		}
		p.origin = strings.TrimSuffix((&url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host}).String(), "/")
	}
	return pdk.Phases{Access: p.access}, nil
}

var body = []byte("redirecting")

func (p *plugin) access(x *pdk.Exchange) error {
	location := p.location
	if p.origin != "" {
		q := &x.Request
		location = x.Text.Concat(p.origin, q.RawPath)
		if q.HasQuery && q.RawQuery != "" {
			location = x.Text.Concat(location, "?", q.RawQuery)
		}
	}
	x.Response.Header.Set("Location", location)
	if x.IsGRPC() {
		return x.Exit(p.status, "redirecting")
	}
	return x.ExitBody(p.status, "", body)
}
