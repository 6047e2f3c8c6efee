package statsd

import (
	"slices"

	"github.com/sluice-gateway/sluice/shared/schema"
)

var pluginSchema = &schema.Schema{
	Name:   "statsd",
	Fields: []schema.Field{schema.Protocols(schema.AllProtocols, schema.HTTPProtocols...), configField()},
}

func configField() schema.Field {
	consumer := schema.OneOf("consumer_id", "custom_id", "username")
	service := schema.OneOf("service_id", "service_name", "service_host", "service_name_or_host")
	workspace := schema.OneOf("workspace_id", "workspace_name")
	metric := schema.RecordOf(
		schema.OneOf("kong_latency", "latency", "request_count", "request_per_user", "request_size", "response_size", "status_count",
			"status_count_per_user", "unique_users", "upstream_latency", "status_count_per_workspace", "status_count_per_user_per_route",
			"shdict_usage").Named("name").AsRequired().Described("What is measured."),
		schema.OneOf("counter", "gauge", "histogram", "meter", "set", "timer").Named("stat_type").AsRequired().Described("Type that the server is told."),
		schema.Field{Name: "sample_rate", Type: schema.Number, Gt: new(float64(0))}.Described("Rate that the server is told."),
		consumer.Named("consumer_identifier").Described("What names a consumer, instead of consumer_identifier_default."),
		service.Named("service_identifier").Described("What names a service, instead of service_identifier_default."),
		workspace.Named("workspace_identifier").Described("What names a workspace, instead of workspace_identifier_default."),
	)
	metric.Checks = []schema.EntityCheck{{Conditional: &schema.Conditional{
		If: "stat_type", IfMatch: schema.Field{OneOf: []any{"counter", "gauge"}}, Then: "sample_rate", ThenMatch: schema.Field{Required: true},
	}}}
	of := func(name, kind string) any {
		o := schema.Object{"name": name, "stat_type": kind}
		if kind == "counter" || kind == "gauge" {
			o["sample_rate"] = 1
		}
		return o
	}
	return schema.PluginConfig(slices.Concat(
		[]schema.Field{
			schema.Host().Named("host").Defaults("localhost").Described("Host name or address of the server."),
			schema.Port().Named("port").Defaults(8125).Described("Port of the server."),
			schema.Field{Name: "prefix", Type: schema.String, Default: "kong"}.Described("What the names of all metrics begin with."),
			schema.ArrayOf(metric).Named("metrics").Defaults([]any{
				of("request_count", "counter"), of("latency", "timer"), of("request_size", "counter"), of("status_count", "counter"),
				of("response_size", "counter"), of("unique_users", "set"), of("request_per_user", "counter"), of("upstream_latency", "timer"),
				of("kong_latency", "timer"), of("status_count_per_user", "counter"), of("status_count_per_workspace", "counter"),
				of("status_count_per_user_per_route", "counter"), of("shdict_usage", "gauge"),
			}).Described("What is measured, and how."),
			schema.ArrayOf(schema.Field{Type: schema.String, Match: "^[0-9]+-[0-9]+$"}).Named("allow_status_codes").
				Described("Ranges of statuses that are measured; all when unset."),
			schema.Field{Name: "udp_packet_size", Type: schema.Number, Default: 0, Between: []float64{0, 65507}}.
				Described("Bytes that metrics are gathered into one datagram of; 0 sends each one by itself."),
			schema.Field{Name: "use_tcp", Type: schema.Boolean, Default: false}.Described("Whether to use TCP instead of UDP."),
			schema.Field{Name: "hostname_in_prefix", Type: schema.Boolean, Default: false}.Described("Whether the prefix names the node."),
			consumer.Named("consumer_identifier_default").Defaults("custom_id").AsRequired().Described("What names a consumer."),
			service.Named("service_identifier_default").Defaults("service_name_or_host").AsRequired().Described("What names a service."),
			workspace.Named("workspace_identifier_default").Defaults("workspace_id").AsRequired().Described("What names a workspace."),
		},
		schema.LegacyQueue("statsd"),
		[]schema.Field{
			schema.OneOf("dogstatsd", "influxdb", "librato", "signalfx").Named("tag_style").AsOptional().
				Described("How tags are written; without it names tell what tags would."),
			schema.Queue(),
		},
	)...)
}
