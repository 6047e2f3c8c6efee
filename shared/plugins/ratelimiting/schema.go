package ratelimiting

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/shared/schema"
)

var pluginSchema = &schema.Schema{
	Name:   "rate-limiting",
	Fields: []schema.Field{schema.ProtocolsHTTP(), configField()},
	Checks: slices.Concat(
		[]schema.EntityCheck{{AtLeastOneOf: []string{"config.second", "config.minute", "config.hour", "config.day", "config.month", "config.year"}}},
		schema.RedisChecks(),
		[]schema.EntityCheck{requiredIf("config.limit_by", "header", "config.header_name"), requiredIf("config.limit_by", "path", "config.path")},
	),
}

func configField() schema.Field {
	limit := func(name string) schema.Field {
		return schema.Field{Name: name, Type: schema.Number, Gt: new(float64(0))}.Described("Requests allowed in a " + name + ".")
	}
	policy := schema.OneOf(policyLocal, policyCluster, policyRedis).Named("policy").Defaults(policyLocal).
		Described("Where requests are counted: on each node, across the cluster, or in Redis.")
	policy.LenMin = new(0)
	f := schema.PluginConfig(
		limit("second"), limit("minute"), limit("hour"), limit("day"), limit("month"), limit("year"),
		schema.OneOf("consumer", "credential", "ip", "service", "header", "path").Named("limit_by").Defaults("consumer").
			Described("Whose requests are counted together; the client's address stands in where that is not known."),
		schema.HeaderName().Named("header_name").Described("The header whose value limit_by header goes by."),
		schema.Path().Named("path").Described("The path whose requests limit_by path counts."),
		policy,
		schema.Field{Name: "fault_tolerant", Type: schema.Boolean, Default: true, Required: true}.
			Described("Whether requests pass uncounted, instead of 500, while Redis can not be reached."),
		schema.Redis(),
		schema.Field{Name: "hide_client_headers", Type: schema.Boolean, Default: false, Required: true}.
			Described("Whether answers come without the headers that tell the limits."),
		schema.Field{Name: "error_code", Type: schema.Number, Default: 429, Gt: new(float64(0))}.
			Described("Status for requests above a limit."),
		schema.Field{Name: "error_message", Type: schema.String, Default: "API rate limit exceeded"}.
			Described("Message for requests above a limit."),
		schema.Field{Name: "sync_rate", Type: schema.Number, Default: -1, Required: true}.
			Described("Seconds between two exchanges of counts with Redis; -1 asks Redis for every request."),
	)
	f.Shorthands = schema.RedisShorthands()
	f.Check, f.CheckName = checkConfig, "rate_limits"
	return f
}

func requiredIf(field, value, then string) schema.EntityCheck {
	return schema.EntityCheck{Conditional: &schema.Conditional{
		If: field, IfMatch: schema.Field{Eq: schema.Must(value)},
		Then: then, ThenMatch: schema.Field{Required: true},
	}}
}

// checkConfig checks that longer periods do not allow less than shorter ones, and
// that sync_rate goes with the policy.
func checkConfig(v any) error {
	o, ok := v.(schema.Object)
	if !ok {
		return nil
	}
	for i, short := range periods {
		low, ok := number(o[short.Name])
		if !ok {
			continue
		}
		for _, long := range periods[i+1:] {
			if high, ok := number(o[long.Name]); ok && high < low {
				return fmt.Errorf("The limit for %s(%.1f) cannot be lower than the limit for %s(%.1f)", long.Name, high, short.Name, low) //nolint:staticcheck // Kong's words
			}
		}
	}
	rate, ok := number(o["sync_rate"])
	switch {
	case !ok || rate == syncAlways:
	case o["policy"] != policyRedis:
		return errors.New("sync_rate can only be used with the redis policy")
	case rate < 0.02:
		return errors.New("sync_rate must be greater than 0.02, or -1 to disable")
	}
	return nil
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
