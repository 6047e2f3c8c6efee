package entity

import (
	"fmt"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Upstreams is the kind "upstreams": a name that stands for targets.
var Upstreams = &Def{
	New: func() any { return new(Upstream) },
	Schema: &schema.Schema{
		Name:          "upstreams",
		PrimaryKey:    []string{"id"},
		EndpointKey:   "name",
		Workspaceable: true,
		Fields: []schema.Field{
			schema.ID(),
			schema.CreatedAt(),
			{Name: "name", Type: schema.String, Required: true, Unique: true, Check: checkUpstreamName, CheckName: "upstream_name"},
			schema.UpdatedAt(),
			schema.OneOf("consistent-hashing", "least-connections", "round-robin", "latency").Named("algorithm").Defaults("round-robin"),
			schema.OneOf(hashOn...).Named("hash_on").Defaults("none"),
			schema.OneOf(hashOn...).Named("hash_fallback").Defaults("none"),
			schema.HeaderName().Named("hash_on_header"),
			schema.HeaderName().Named("hash_fallback_header"),
			schema.CookieName().Named("hash_on_cookie"),
			schema.Path().Named("hash_on_cookie_path").Defaults("/"),
			stated(schema.Field{Name: "hash_on_query_arg", Type: schema.String}),
			stated(schema.Field{Name: "hash_fallback_query_arg", Type: schema.String}),
			stated(schema.Field{Name: "hash_on_uri_capture", Type: schema.String}),
			stated(schema.Field{Name: "hash_fallback_uri_capture", Type: schema.String}),
			{Name: "slots", Type: schema.Integer, Default: 10000, Between: []float64{10, 1 << 16}},
			healthchecks(),
			schema.Tags(),
			schema.HostWithOptionalPort().Named("host_header"),
			schema.ForeignTo("certificates", "").Named("client_certificate"),
			{Name: "use_srv_name", Type: schema.Boolean, Default: false},
		},
		Checks:    upstreamChecks(),
		Normalize: chooseHashing,
		Transform: settleAlgorithm,
	},
}

var hashOn = []string{"none", "consumer", "ip", "header", "cookie", "path", "query_arg", "uri_capture"}

func checkUpstreamName(v any) error {
	s, _ := v.(string)
	h, err := schema.ParseHostPort(s)
	why := ""
	switch {
	case err != nil:
		why = "must be a valid hostname"
	case h.Kind != schema.HostName:
		why = "no ip addresses allowed"
	case h.Port >= 0:
		why = "no port allowed"
	default:
		return nil
	}
	return fmt.Errorf("Invalid name ('%s'); %s", s, why) //nolint:staticcheck // Kong's words
}

// chooseHashing: who asks for hashing and names no algorithm gets one that hashes.
func chooseHashing(o schema.Object) error {
	on, _ := o["hash_on"].(string)
	if _, given := o["algorithm"]; on != "" && on != "none" && !given {
		o["algorithm"] = "consistent-hashing"
	}
	return nil
}

// settleAlgorithm makes algorithm and hash_on fit: what balances by load does not
// hash, what hashes needs something to hash on.
func settleAlgorithm(o schema.Object) error {
	on, _ := o["hash_on"].(string)
	hashes := on != "" && on != "none"
	switch o["algorithm"] {
	case "least-connections", "latency":
		o["hash_on"] = "none"
	case "consistent-hashing":
		if !hashes {
			o["algorithm"] = "round-robin"
		}
	default:
		if hashes {
			o["algorithm"] = "consistent-hashing"
		}
	}
	return nil
}

func upstreamChecks() []schema.EntityCheck {
	var out []schema.EntityCheck
	when := func(field, value, then string, match schema.Field) {
		out = append(out, schema.EntityCheck{Conditional: &schema.Conditional{
			If: field, IfMatch: schema.Field{Match: "^" + value + "$"}, Then: then, ThenMatch: match,
		}})
	}
	needs := func(field, value, then string) { when(field, value, then, schema.Field{Required: true}) }
	fallback := func(on string, allowed ...string) {
		when("hash_on", on, "hash_fallback", schema.Field{OneOf: schema.OneOf(allowed...).OneOf})
	}
	distinct := func(a, b string) { out = append(out, schema.EntityCheck{Distinct: []string{a, b}}) }

	needs("hash_on", "header", "hash_on_header")
	needs("hash_fallback", "header", "hash_fallback_header")
	needs("hash_on", "cookie", "hash_on_cookie")
	needs("hash_fallback", "cookie", "hash_on_cookie")
	fallback("none", "none")
	fallback("cookie", "none")
	fallback("consumer", "none", "ip", "header", "cookie", "path", "query_arg", "uri_capture")
	fallback("ip", "none", "consumer", "header", "cookie", "path", "query_arg", "uri_capture")
	fallback("path", "none", "consumer", "header", "cookie", "query_arg", "ip", "uri_capture")
	distinct("hash_on_header", "hash_fallback_header")
	needs("hash_on", "query_arg", "hash_on_query_arg")
	needs("hash_fallback", "query_arg", "hash_fallback_query_arg")
	distinct("hash_on_query_arg", "hash_fallback_query_arg")
	needs("hash_on", "uri_capture", "hash_on_uri_capture")
	needs("hash_fallback", "uri_capture", "hash_fallback_uri_capture")
	distinct("hash_on_uri_capture", "hash_fallback_uri_capture")
	return out
}
