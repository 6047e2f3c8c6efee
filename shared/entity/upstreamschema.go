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
			schema.OneOf("consistent-hashing", "least-connections", "round-robin", "latency").Named("algorithm").Defaults("round-robin").
				And(stickySessions).
				Described("How a target is chosen. Besides those that are listed, sticky-sessions keeps each client at the target that its signed cookie names."),
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
			own(schema.CookieName().Named("sticky_sessions_cookie"), "Name of the cookie that holds a client at its target, with the algorithm sticky-sessions."),
			own(schema.Path().Named("sticky_sessions_cookie_path"), "Path of that cookie, / when it is not set."),
			own(schema.Field{Name: "sticky_sessions_key", Type: schema.String, LenMin: new(16)}, "Secret that signs the cookie; one that the nodes of a cluster have in common is used when it is not set."),
			own(schema.Field{Name: "slow_start", Type: schema.Number, Between: []float64{0, 3600}}, "Seconds over which a target that is new or has recovered gets to its full share."),
			own(schema.Field{Name: "zone_label", Type: schema.String}, "Label of the nodes that names their zone, such as zone: targets with a tag like zone:eu-1 that fits the node's own label are preferred."),
			outlierDetection(),
			limits(),
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
	if o["algorithm"] != stickySessions {
		for _, name := range []string{"sticky_sessions_cookie", "sticky_sessions_cookie_path", "sticky_sessions_key"} {
			if o[name] != nil {
				return schema.Violate(name, "unknown field") // as in Kong's open edition
			}
		}
	}
	switch o["algorithm"] {
	case "least-connections", "latency":
		o["hash_on"] = "none"
	case stickySessions:
		o["hash_on"] = "none"
		if o["sticky_sessions_cookie"] == nil {
			return schema.Violate("sticky_sessions_cookie", "required field missing")
		}
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

// stickySessions is an algorithm of Kong's closed edition, under its names there.
const stickySessions = "sticky-sessions"

func own(f schema.Field, description string) schema.Field {
	f.Extra, f.Description = true, description
	return f
}

func outlierDetection() schema.Field {
	seconds := func(name string, standard float64, description string) schema.Field {
		return schema.Field{Name: name, Type: schema.Number, Default: standard, Between: []float64{0, 86400}, Description: description}
	}
	return own(
		schema.RecordOf(
			schema.Field{Name: "consecutive_errors", Type: schema.Integer, Default: 5, Between: []float64{0, 65535}, Description: "Failures in a row, statuses from 500 to 599 among them, after which a target is ejected; 0 switches the rule off."},
			schema.Field{Name: "error_percent", Type: schema.Number, Default: 0, Between: []float64{0, 100}, Description: "Share of failures in an interval from which on a target is ejected; 0 switches the rule off."},
			schema.Field{Name: "min_requests", Type: schema.Integer, Default: 20, Between: []float64{1, 1000000}, Description: "Requests that an interval must have for error_percent to count."},
			seconds("interval", 10, "Seconds over which error_percent is counted."),
			seconds("ejection_time", 30, "Seconds for which a target is ejected the first time; each further time takes as much longer."),
			seconds("max_ejection_time", 300, "The most seconds for which a target is ejected."),
			schema.Field{Name: "max_ejected_percent", Type: schema.Number, Default: 50, Between: []float64{0, 100}, Description: "The most of an upstream, by weight, that is ejected at the same time."},
		).Named("outlier_detection"),
		"Takes targets out for a while that fail more than they should.",
	)
}

func limits() schema.Field {
	count := func(name, description string) schema.Field {
		return schema.Field{Name: name, Type: schema.Integer, Default: 0, Between: []float64{0, 1 << 31}, Description: description}
	}
	return own(
		schema.RecordOf(
			count("max_connections", "Connections that a node uses at the same time; further requests wait for one. Over HTTP/2, where requests share connections, each request counts as one. 0 is any number."),
			count("max_pending", "Requests that wait for a connection; further ones are answered with 503."),
			count("max_requests", "Requests under way at the same time, those that wait among them; further ones are answered with 503. 0 is any number."),
			schema.Field{Name: "pending_timeout", Type: schema.Number, Default: 1, Between: []float64{0, 3600}, Description: "Seconds for which a request waits at most."},
		).Named("limits"),
		"Bounds what one node does at the upstream at the same time.",
	)
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
