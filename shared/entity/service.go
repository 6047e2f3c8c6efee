package entity

import (
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Service is a typed services entity. Times are in milliseconds.
type Service struct {
	ID                string   `json:"id"`
	Name              string   `json:"name"`
	Enabled           bool     `json:"enabled"`
	Protocol          string   `json:"protocol"`
	Host              string   `json:"host"`
	Port              int      `json:"port"`
	Path              string   `json:"path"`
	Retries           int      `json:"retries"`
	ConnectTimeout    int      `json:"connect_timeout"`
	WriteTimeout      int      `json:"write_timeout"`
	ReadTimeout       int      `json:"read_timeout"`
	Tags              []string `json:"tags"`
	ClientCertificate *Ref     `json:"client_certificate"`
	TLSVerify         *bool    `json:"tls_verify"`
	TLSVerifyDepth    *int     `json:"tls_verify_depth"`
	CACertificates    []string `json:"ca_certificates"`
	CreatedAt         int64    `json:"created_at"`
	UpdatedAt         int64    `json:"updated_at"`
	// WorkspaceID is "" for the default workspace, whose id data planes do not know.
	WorkspaceID string `json:"ws_id"`
}

// Services is the kind "services": what requests are sent to.
var Services = &Def{
	New: func() any { return new(Service) },
	Schema: &schema.Schema{
		Name:          "services",
		PrimaryKey:    []string{"id"},
		EndpointKey:   "name",
		Workspaceable: true,
		Fields: []schema.Field{
			stated(schema.ID()),
			schema.CreatedAt(),
			schema.UpdatedAt(),
			stated(schema.Name().Named("name").AsUnique()),
			{Name: "retries", Type: schema.Integer, Default: 5, Between: []float64{0, 32767}},
			stated(schema.OneOf(schema.AllProtocols...).Named("protocol").Defaults("http").AsRequired()),
			stated(schema.Host().Named("host").AsRequired()),
			schema.Port().Named("port").Defaults(80).AsRequired(),
			stated(schema.Path().Named("path")),
			serviceTimeout("connect_timeout"),
			serviceTimeout("write_timeout"),
			serviceTimeout("read_timeout"),
			schema.Tags(),
			schema.ForeignTo("certificates", "").Named("client_certificate"),
			{Name: "tls_verify", Type: schema.Boolean},
			{Name: "tls_verify_depth", Type: schema.Integer, Default: schema.Null, Between: []float64{0, 64}},
			schema.ArrayOf(schema.UUID()).Named("ca_certificates"),
			{Name: "enabled", Type: schema.Boolean, Default: true, Required: true},
		},
		Checks: []schema.EntityCheck{
			{Conditional: &schema.Conditional{
				If: "protocol", IfMatch: schema.Field{OneOf: []any{"tcp", "tls", "udp", "grpc", "grpcs"}},
				Then: "path", ThenMatch: schema.Field{Eq: schema.Must(nil)},
			}},
			onlyWithTLS("client_certificate"),
			onlyWithTLS("tls_verify"),
			onlyWithTLS("tls_verify_depth"),
			onlyWithTLS("ca_certificates"),
		},
		Shorthands: []schema.Shorthand{
			{Field: schema.Field{Name: "url", Type: schema.String}, Expand: expandURL},
		},
	},
}

// stated spells out the least length of strings, which /schemas/services does.
func stated(f schema.Field) schema.Field { f.LenMin = new(1); return f }

func serviceTimeout(name string) schema.Field {
	return schema.Field{Name: name, Type: schema.Integer, Default: 60000, Between: []float64{1, 1<<31 - 2}}
}

func onlyWithTLS(field string) schema.EntityCheck {
	return schema.EntityCheck{Conditional: &schema.Conditional{
		If: "protocol", IfMatch: schema.Field{NotOneOf: []any{"https", "tls"}},
		Then: field, ThenMatch: schema.Field{Eq: schema.Must(nil)},
	}}
}

// expandURL takes a URL apart. What it does not hold stays as it is.
func expandURL(v any) (schema.Object, error) {
	s, _ := v.(string)
	out := schema.Object{}
	rest, _, _ := strings.Cut(s, "#")
	rest, _, _ = strings.Cut(rest, "?")
	scheme, after, ok := strings.Cut(rest, "://")
	if !ok {
		if rest != "" {
			out["path"] = rest
		}
		return out, nil
	}
	out["protocol"] = scheme
	authority := after
	if i := strings.IndexByte(after, '/'); i >= 0 {
		authority, out["path"] = after[:i], after[i:]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host != "" {
		out["host"] = host
	}
	switch n, err := strconv.ParseInt(port, 10, 64); {
	case port != "" && err == nil:
		out["port"] = n
	case port != "":
		out["port"] = port
	case scheme == "http":
		out["port"] = int64(80)
	case scheme == "https":
		out["port"] = int64(443)
	}
	return out, nil
}
