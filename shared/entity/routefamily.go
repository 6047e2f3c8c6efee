package entity

import "github.com/sluice-gateway/sluice/shared/schema"

// routeFamilies are the subschemas of routes, by protocol: which fields a family of
// protocols may match by.
func routeFamilies(flavor Flavor) map[string]*schema.Schema {
	expressions := flavor == Expressions
	orExpression := func(names ...string) []string {
		if expressions {
			names = append(names, "expression")
		}
		return names
	}

	http := &schema.Schema{Name: "http", Checks: []schema.EntityCheck{
		oneOfWhen(contains("https"), orExpression("methods", "hosts", "headers", "paths", "snis"), "must set one of %s when 'protocols' is 'https'",
			contains("http"), orExpression("methods", "hosts", "headers", "paths"), "must set one of %s when 'protocols' is 'http'"),
	}}
	if !expressions {
		http.Fields = noFields("'http' or 'https'", "sources", "destinations")
	}

	const streams = "'tcp', 'tls', 'tls_passthrough' or 'udp'"
	stream := &schema.Schema{
		Name:   "tcp",
		Fields: noFields(streams, "methods", "hosts", "paths", "headers"),
		Checks: []schema.EntityCheck{
			oneOfWhen(each("tcp", "tls", "udp"), orExpression("sources", "destinations", "snis"),
				"must set one of %s when 'protocols' is 'tcp', 'tls' or 'udp'", nil, nil, ""),
			oneOfWhen(each("tls_passthrough"), orExpression("snis"),
				"must set snis when 'protocols' is 'tls_passthrough'", nil, nil, ""),
		},
	}

	const calls = "'grpc' or 'grpcs'"
	grpc := &schema.Schema{
		Name: "grpc",
		Fields: append(
			noFields(calls, "methods"),
			schema.Field{
				Name: "strip_path", Type: schema.Boolean, Required: true, Default: false, Ne: schema.Must(true),
				Err: "cannot set 'strip_path' when 'protocols' is " + calls,
			},
		),
		Checks: []schema.EntityCheck{
			oneOfWhen(contains("grpcs"), orExpression("hosts", "headers", "paths", "snis"), "must set one of %s when 'protocols' is 'grpcs'",
				contains("grpc"), orExpression("hosts", "headers", "paths"), "must set one of %s when 'protocols' is 'grpc'"),
		},
	}
	if !expressions {
		grpc.Fields = append(grpc.Fields, noFields(calls, "sources", "destinations")...)
	}

	return map[string]*schema.Schema{
		"http": http, "https": http,
		"tcp": stream, "tls": stream, "udp": stream, "tls_passthrough": stream,
		"grpc": grpc, "grpcs": grpc,
	}
}

// noFields are fields that must be null for a family of protocols.
func noFields(family string, names ...string) []schema.Field {
	out := make([]schema.Field, len(names))
	for i, n := range names {
		out[i] = schema.Field{
			Name: n, Eq: schema.Must(nil),
			Err: "cannot set '" + n + "' when 'protocols' is " + family,
		}
	}
	return out
}

func contains(protocol string) *schema.Field { return &schema.Field{Contains: protocol} }

func each(protocols ...string) *schema.Field {
	e := schema.OneOf(protocols...)
	return &schema.Field{Elements: &e}
}

func oneOfWhen(match *schema.Field, names []string, err string, otherwise *schema.Field, otherNames []string, otherErr string) schema.EntityCheck {
	return schema.EntityCheck{ConditionalAtLeastOneOf: &schema.ConditionalAtLeastOneOf{
		If: "protocols", IfMatch: *match, ThenAtLeastOneOf: names, ThenErr: err,
		ElseMatch: otherwise, ElseAtLeastOneOf: otherNames, ElseErr: otherErr,
	}}
}
