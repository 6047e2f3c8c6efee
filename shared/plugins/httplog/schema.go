package httplog

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

var pluginSchema = &schema.Schema{
	Name:   "http-log",
	Fields: []schema.Field{schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...), configField()},
}

func configField() schema.Field {
	name := schema.HeaderName()
	name.MatchNone = []schema.Pattern{
		{Pattern: "^[Hh][Oo][Ss][Tt]$", Err: "cannot contain 'Host' header"},
		{Pattern: "^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]%-[Ll][Ee][nn][Gg][Tt][Hh]$", Err: "cannot contain 'Content-Length' header"},
		{Pattern: "^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]%-[Tt][Yy][Pp][Ee]$", Err: "cannot contain 'Content-Type' header"},
	}
	f := schema.PluginConfig(slices.Concat(
		[]schema.Field{
			schema.URL().Named("http_endpoint").AsRequired().AsReferenceable().AsEncrypted().
				Described("Where records are sent; a user and password in it become basic authentication."),
			schema.OneOf("POST", "PUT", "PATCH").Named("method").Defaults("POST").Described("Method of the requests."),
			schema.OneOf("application/json", "application/json; charset=utf-8").Named("content_type").Defaults("application/json").
				Described("Content type of the requests."),
			schema.Field{Name: "timeout", Type: schema.Number, Default: 10000}.Described("Milliseconds for connecting, sending and the answer, each."),
			schema.Field{Name: "keepalive", Type: schema.Number, Default: 60000}.Described("Milliseconds that an unused connection stays open."),
		},
		schema.LegacyQueue("http-log"),
		[]schema.Field{
			schema.MapOf(name, schema.Field{Type: schema.String, Referenceable: true}).Named("headers").Described("Headers of the requests, by name."),
			schema.Queue(),
			schema.CustomFieldsByLua(),
		},
	)...)
	f.Check, f.CheckName = checkConfig, "http_log"
	return f
}

func checkConfig(v any) error {
	o, _ := v.(schema.Object)
	endpoint, _ := o["http_endpoint"].(string)
	headers, _ := o["headers"].(schema.Object)
	u, err := url.Parse(endpoint)
	if err != nil || u.User == nil {
		return nil //nolint:nilerr // the field's own check reports what is no URL
	}
	for name := range headers {
		if pdk.EqualFold(name, "authorization") {
			return errors.New("specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed")
		}
	}
	return nil
}

// userInfo takes the user and password off a URL, as they are written there.
func userInfo(endpoint string) (rest, user string) {
	scheme, after, ok := strings.Cut(endpoint, "://")
	if !ok {
		return endpoint, ""
	}
	authority, path := after, ""
	if i := strings.IndexAny(after, "/?#"); i >= 0 {
		authority, path = after[:i], after[i:]
	}
	i := strings.LastIndexByte(authority, '@')
	if i < 0 {
		return endpoint, ""
	}
	return scheme + "://" + authority[i+1:] + path, authority[:i]
}
