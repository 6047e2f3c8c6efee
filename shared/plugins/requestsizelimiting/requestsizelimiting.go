// Package requestsizelimiting is the plugin request-size-limiting: requests with a body
// that is too large end here, by what Content-Length says or else by what comes.
package requestsizelimiting

import (
	"errors"
	"math"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Plugin is request-size-limiting.
var Plugin = &pdk.Plugin{
	Name:     "request-size-limiting",
	Priority: 951,
	Schema:   pluginSchema,
	Build:    pdk.Build(build),
}

var pluginSchema = &schema.Schema{
	Name: "request-size-limiting",
	Fields: []schema.Field{
		schema.ProtocolsHTTP(),
		schema.PluginConfig(
			schema.Field{Name: "allowed_payload_size", Type: schema.Integer, Default: 128}.Described("Largest body, in units of size_unit."),
			schema.OneOf("megabytes", "kilobytes", "bytes").Named("size_unit").Defaults("megabytes").AsRequired().Described("Unit of allowed_payload_size, of 1024."),
			schema.Field{Name: "require_content_length", Type: schema.Boolean, Default: false, Required: true}.Described("Whether a request must say how long its body is."),
		),
	},
}

type config struct {
	AllowedPayloadSize   int64  `json:"allowed_payload_size"`
	SizeUnit             string `json:"size_unit"`
	RequireContentLength bool   `json:"require_content_length"`
}

type plugin struct {
	limit   int64
	require bool
}

func build(_ pdk.Env, c config) (pdk.Phases, error) {
	unit := int64(1)
	switch c.SizeUnit {
	case "megabytes":
		unit = 1 << 20
	case "kilobytes":
		unit = 1 << 10
	}
	limit := int64(math.MaxInt64)
	if c.AllowedPayloadSize < math.MaxInt64/unit {
		limit = c.AllowedPayloadSize * unit
	}
	p := &plugin{limit: limit, require: c.RequireContentLength}
	return pdk.Phases{Access: p.access}, nil
}

func (p *plugin) access(x *pdk.Exchange) error {
	q := &x.Request
	said := q.Header.Has("Content-Length")
	switch {
	case said && q.ContentLength > p.limit:
		return p.exceeded(x)
	case said:
		return nil
	case p.require && (q.ContentLength >= 0 || q.Proto >= 20): // chunks have their lengths
		return x.Fail(411, "A valid Content-Length header is required")
	case q.Body == nil && q.Buffered == nil:
		return nil
	}
	// How long it is shows when it was read.
	body, err := x.BufferBody(p.limit)
	switch {
	case errors.Is(err, pdk.ErrBodyTooLarge), err == nil && int64(len(body)) > p.limit:
		return p.exceeded(x)
	case err != nil:
		return x.Fail(400, "")
	}
	return nil
}

func (p *plugin) exceeded(x *pdk.Exchange) error {
	status := 413
	if pdk.EqualFold(x.Request.Header.Get("Expect"), "100-continue") {
		status = 417
	}
	return x.Fail(status, "Request size limit exceeded")
}
