package requesttransformer

import (
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// pair is an entry such as "name:value".
const pair = "^[^:]+:.*$"

func entries(name, match string) schema.Field {
	return schema.ArrayOf(schema.Field{Type: schema.String, Match: match, Check: checkTemplate, CheckName: "template"}).Named(name).AsRequired().Defaults([]any{})
}

// checkTemplate refuses templates that can not be computed.
func checkTemplate(v any) error {
	text, _ := v.(string)
	_, err := parseTemplate(text)
	return err
}

func step(name, description, headers string, more ...schema.Field) schema.Field {
	fields := append([]schema.Field{entries("body", ""), entries("headers", headers), entries("querystring", "")}, more...)
	return schema.RecordOf(fields...).Named(name).AsRequired().Described(description)
}

var pluginSchema = &schema.Schema{
	Name: "request-transformer",
	Fields: []schema.Field{
		schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...),
		schema.PluginConfig(
			schema.HTTPMethod().Named("http_method").Described("Method that the upstream gets; unset leaves it."),
			step("remove", "Names of what is taken out.", ""),
			step("rename", "Old and new names, as old:new.", pair),
			step("replace", "What is set where it is there, as name:value.", pair,
				schema.Field{Name: "uri", Type: schema.String, Check: checkTemplate, CheckName: "template"}.Described("Path that the upstream gets.")),
			step("add", "What is set where it is not there, as name:value.", pair),
			step("append", "What is added to what is there, as name:value.", pair),
		),
	},
}

// named is an entry with its template.
type named struct {
	name  string
	value *template
}

func compile(list []string) ([]named, error) {
	out := make([]named, len(list))
	for i, text := range list {
		name, value, _ := strings.Cut(text, ":")
		t, err := parseTemplate(value)
		if err != nil {
			return nil, err
		}
		out[i] = named{strings.TrimSpace(name), t}
	}
	return out, nil
}
