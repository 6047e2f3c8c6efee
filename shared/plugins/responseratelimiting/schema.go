package responseratelimiting

import (
	"github.com/sluice-gateway/sluice/shared/pdk/calendar"
	"github.com/sluice-gateway/sluice/shared/schema"
)

var pluginSchema = &schema.Schema{
	Name:   "response-ratelimiting",
	Fields: []schema.Field{schema.ProtocolsHTTP(), configField()},
	Checks: schema.RedisChecks(),
}

func configField() schema.Field {
	periods := make([]schema.Field, 0, calendar.Count)
	names := make([]string, 0, calendar.Count)
	for _, p := range calendar.Periods {
		names = append(names, p.Name)
		periods = append(periods, schema.Field{Name: p.Name, Type: schema.Number, Gt: new(float64(0))}.Described("How much may be used in a "+p.Name+"."))
	}
	limit := schema.RecordOf(periods...).AsRequired()
	limit.Checks = []schema.EntityCheck{{AtLeastOneOf: names}}
	limits := schema.MapOf(schema.Field{Type: schema.String}, limit).Named("limits").AsRequired().
		Described("What upstreams count, by name, and how much of it may be used.")
	limits.LenMin = new(1)
	f := schema.PluginConfig(
		schema.Field{Name: "header_name", Type: schema.String, Default: "x-kong-limit"}.
			Described("The header in which an upstream tells what a request has used: name=value, separated by commas."),
		schema.OneOf("consumer", "credential", "ip").Named("limit_by").Defaults("consumer").
			Described("Whose requests are counted together; the client's address stands in where that is not known."),
		schema.OneOf(policyLocal, policyCluster, policyRedis).Named("policy").Defaults(policyLocal).
			Described("Where is counted: on each node, across the cluster, or in Redis."),
		schema.Field{Name: "fault_tolerant", Type: schema.Boolean, Default: true, Required: true}.
			Described("Whether requests pass uncounted, instead of 500, while Redis can not be reached."),
		schema.Redis(),
		schema.Field{Name: "block_on_first_violation", Type: schema.Boolean, Default: false, Required: true}.
			Described("Whether requests are refused before the upstream is called as soon as one limit is used up."),
		schema.Field{Name: "hide_client_headers", Type: schema.Boolean, Default: false, Required: true}.
			Described("Whether answers come without the headers that tell the limits."),
		limits,
	)
	f.Shorthands = schema.RedisShorthands()
	return f
}
