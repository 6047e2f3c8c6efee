package entity

import "github.com/sluice-gateway/sluice/shared/schema"

// healthchecks is the field "healthchecks" of an upstream. Each record's default is
// made of the defaults of its fields, as /schemas/upstreams shows it.
func healthchecks() schema.Field {
	active := record("active",
		schema.OneOf("tcp", "http", "https", "grpc", "grpcs").Named("type").Defaults("http"),
		schema.Field{Name: "timeout", Type: schema.Number, Default: 1, Between: []float64{0, 65535}},
		record("healthy", successes(), interval(), statuses(200, 302)),
		schema.SNI().Named("https_sni").AsOptional(),
		schema.Field{Name: "https_verify_certificate", Type: schema.Boolean, Default: true, Required: true},
		record("unhealthy", counter("tcp_failures"), counter("timeouts"), interval(),
			statuses(429, 404, 500, 501, 502, 503, 504, 505), counter("http_failures")),
		schema.MapOf(schema.HeaderName(), schema.ArrayOf(schema.Field{Type: schema.String})).Named("headers").AsOptional(),
		schema.Field{Name: "concurrency", Type: schema.Integer, Default: 10, Between: []float64{1, 1 << 31}},
		schema.Path().Named("http_path").Defaults("/"),
	)
	passive := record("passive",
		schema.OneOf("tcp", "http", "https", "grpc", "grpcs").Named("type").Defaults("http"),
		record("unhealthy", counter("tcp_failures"), counter("timeouts"), statuses(429, 500, 503), counter("http_failures")),
		record("healthy", statuses(200, 201, 202, 203, 204, 205, 206, 207, 208, 226,
			300, 301, 302, 303, 304, 305, 306, 307, 308), successes()),
	)
	all := record("healthchecks", active, passive)
	all.Fields = append(all.Fields, schema.Field{Name: "threshold", Type: schema.Number, Default: 0, Between: []float64{0, 100}})
	return all
}

func record(name string, fields ...schema.Field) schema.Field {
	def := schema.Object{}
	for _, f := range fields {
		if f.Default != nil {
			def[f.Name] = f.Default
		}
	}
	return schema.RecordOf(fields...).Named(name).AsRequired().Defaults(def)
}

func counter(name string) schema.Field {
	return schema.Field{Name: name, Type: schema.Integer, Default: 0, Between: []float64{0, 255}}
}

func successes() schema.Field { return counter("successes") }

func interval() schema.Field {
	return schema.Field{Name: "interval", Type: schema.Number, Default: 0, Between: []float64{0, 65535}}
}

func statuses(defaults ...int) schema.Field {
	list := make([]any, len(defaults))
	for i, d := range defaults {
		list[i] = d
	}
	return schema.ArrayOf(schema.Field{Type: schema.Integer, Between: []float64{100, 999}}).
		Named("http_statuses").Defaults(list)
}
