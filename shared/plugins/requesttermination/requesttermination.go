// Package requesttermination is the plugin request-termination: requests end here,
// with a set answer or, with echo, with what the gateway knows about them.
package requesttermination

import (
	"errors"
	"net/http"
	"os"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is request-termination.
var Plugin = &pdk.Plugin{
	Name:     "request-termination",
	Priority: 2,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name:   "request-termination",
	Fields: []schema.Field{schema.ProtocolsHTTP(), configField()},
}

func configField() schema.Field {
	f := schema.PluginConfig(
		schema.Field{Name: "status_code", Type: schema.Integer, Default: 503, Required: true, Between: []float64{100, 599}}.
			Described("Status of the answer."),
		schema.Field{Name: "message", Type: schema.String}.Described("Message of the answer, as JSON; unset takes the standard one of the status."),
		schema.Field{Name: "content_type", Type: schema.String}.Described("Content type of body; unset means JSON."),
		schema.Field{Name: "body", Type: schema.String}.Described("Body of the answer, instead of a message."),
		schema.Field{Name: "echo", Type: schema.Boolean, Default: false, Required: true}.
			Described("Whether the answer tells about the request, its route and its service, for finding errors."),
		schema.HeaderName().Named("trigger").Described("Header or query argument that a request must have to end here; unset ends all."),
	)
	f.Check, f.CheckName = checkConfig, "termination"
	return f
}

func checkConfig(v any) error {
	o, _ := v.(schema.Object)
	switch {
	case o["message"] != nil && (o["content_type"] != nil || o["body"] != nil):
		return errors.New("message cannot be used with content_type or body")
	case o["content_type"] != nil && o["body"] == nil:
		return errors.New("content_type requires a body")
	case o["echo"] == true && (o["content_type"] != nil || o["body"] != nil):
		return errors.New("echo cannot be used with content_type and body")
	}
	return nil
}

type config struct {
	StatusCode  int    `json:"status_code"`
	Message     string `json:"message"`
	ContentType string `json:"content_type"`
	Body        string `json:"body"`
	Echo        bool   `json:"echo"`
	Trigger     string `json:"trigger"`
}

type plugin struct {
	config
	message  string
	body     []byte
	nodeID   string
	hostname string
}

func build(env pdk.Env, c config) (pdk.Phases, error) {
	p := &plugin{config: c, message: c.Message, nodeID: env.ID()}
	if p.message == "" {
		p.message = standard[c.StatusCode]
	}
	switch {
	case c.Echo && !env.Validating():
		p.hostname, _ = os.Hostname()
	case c.Body != "":
		p.body = []byte(c.Body)
		if p.ContentType == "" {
			p.ContentType = pdk.JSONType
		}
	case p.message != "":
		p.ContentType = pdk.JSONType
		p.body = append(pdk.AppendQuoted([]byte(`{"message":`), p.message), '}')
	}
	return pdk.Phases{Access: p.access}, nil
}

// standard messages of statuses.
var standard = map[int]string{
	401: "Unauthorized",
	404: "Not found",
	405: "Method not allowed",
	500: "An unexpected error occurred",
	502: "Bad Gateway",
	503: "Service unavailable",
}

func (p *plugin) access(x *pdk.Exchange) error {
	switch {
	case !p.triggered(x):
		return nil
	case p.Echo:
		return p.echo(x)
	case p.Body == "" && x.IsGRPC():
		return x.Exit(p.StatusCode, p.message)
	case p.body != nil:
		return x.ExitBody(p.StatusCode, p.ContentType, p.body)
	case p.StatusCode >= 400 && http.StatusText(p.StatusCode) != "" && p.StatusCode != http.StatusTeapot:
		return x.FailWithDefault(p.StatusCode, "", pdk.ErrorText)
	}
	return x.ExitBody(p.StatusCode, "", nil)
}

func (p *plugin) triggered(x *pdk.Exchange) bool {
	if p.Trigger == "" || x.Request.Header.Has(p.Trigger) {
		return true
	}
	_, ok := pdk.QueryValue(x.Request.RawQuery, p.Trigger)
	return ok
}
