package proxycache

import (
	"fmt"
	"strings"

	"github.com/sluice-gateway/sluice/shared/schema"
)

var pluginSchema = &schema.Schema{
	Name: "proxy-cache",
	Fields: []schema.Field{
		schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...),
		schema.PluginConfig(
			responseCodes(),
			schema.ArrayOf(schema.OneOf("HEAD", "GET", "POST", "PATCH", "PUT")).Named("request_method").AsRequired().
				Defaults([]any{"GET", "HEAD"}).Described("Methods of requests that the cache is asked for."),
			schema.ArrayOf(schema.Field{Type: schema.String}).Named("content_type").AsRequired().
				Defaults([]any{"text/plain", "application/json"}).Described("Content types that are stored, parameters included; * stands for any type or subtype."),
			schema.Field{Name: "cache_ttl", Type: schema.Integer, Default: 300, Gt: new(float64(0))}.
				Described("Seconds that an answer stays fresh, unless cache_control lets the answer decide."),
			schema.OneOf("memory").Named("strategy").AsRequired().Described("Where answers are stored."),
			schema.Field{Name: "cache_control", Type: schema.Boolean, Default: false, Required: true}.
				Described("Whether Cache-Control of requests and answers is obeyed."),
			schema.Field{Name: "ignore_uri_case", Type: schema.Boolean, Default: false}.AsOptional().
				Described("Whether paths that differ in case only share an answer."),
			schema.Field{Name: "storage_ttl", Type: schema.Integer}.
				Described("Seconds that an answer is kept, fresh or not; unset drops it with its freshness."),
			memoryField(),
			schema.ArrayOf(schema.Field{Type: schema.String}).Named("vary_query_params").
				Described("Query arguments that tell answers apart; unset means all."),
			schema.ArrayOf(schema.Field{Type: schema.String}).Named("vary_headers").
				Described("Request headers that tell answers apart; unset means none."),
			schema.RecordOf(
				schema.Field{Name: "age", Type: schema.Boolean, Default: true}.Described("Whether stored answers come with their age."),
				schema.Field{Name: "X-Cache-Status", Type: schema.Boolean, Default: true}.Described("Whether answers come with X-Cache-Status."),
				schema.Field{Name: "X-Cache-Key", Type: schema.Boolean, Default: true}.Described("Whether answers come with X-Cache-Key."),
			).Named("response_headers").AsRequired().Described("Headers about the cache that answers come with."),
		),
	},
	Checks: []schema.EntityCheck{{Fields: []string{"config"}, FuncName: "dictionary", Func: checkDictionary}},
}

func responseCodes() schema.Field {
	f := schema.ArrayOf(schema.Field{Type: schema.Integer, Between: []float64{100, 900}}).Named("response_code").AsRequired().
		Defaults([]any{200, 301, 404}).Described("Statuses of answers that are stored.")
	f.LenMin = new(1)
	return f
}

func memoryField() schema.Field {
	return schema.RecordOf(
		schema.Field{Name: "dictionary_name", Type: schema.String, Default: "kong_db_cache", Required: true}.
			Described("Accepted for compatibility: a node has one memory for all answers."),
	).Named("memory").AsRequired().Described("Settings of the strategy memory.")
}

// checkDictionary refuses names that no dictionary can have.
func checkDictionary(o schema.Object) error {
	name := schema.GetString(o, "config.memory.dictionary_name")
	if strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
	}) {
		return fmt.Errorf("missing shared dict '%s'", name)
	}
	return nil
}
