package opentelemetry

import (
	"errors"

	"github.com/sluice-gateway/sluice/shared/schema"
)

var pluginSchema = &schema.Schema{
	Name:   "opentelemetry",
	Fields: []schema.Field{schema.ProtocolsHTTP(), configField()},
}

func configField() schema.Field {
	queue := schema.Queue()
	queue.Default = schema.Object{"max_batch_size": 200}
	attributes := schema.MapOf(schema.Field{Type: schema.String, Required: true}, schema.Field{Type: schema.String, Required: true}).Named("resource_attributes").
		Described("Attributes of the resource, over service.name (kong), service.version and service.instance.id.")
	attributes.Check, attributes.CheckName = notEmpty, "resource_attributes"
	header := schema.HeaderType("opentelemetry")
	header.NotRequired = true
	moved := func(name string, was any, replacement string) schema.Field {
		return schema.Field{Name: name, Type: schema.Integer, Deprecation: &schema.Deprecation{
			Message:          "opentelemetry: config." + name + " is deprecated, please use config.queue." + replacement + " instead",
			RemovalInVersion: "4.0", OldDefault: was,
		}}.Described("The old name of queue." + replacement + ".")
	}
	f := schema.PluginConfig(
		schema.URL().Named("traces_endpoint").AsReferenceable().Described("Where spans are sent, as OTLP over HTTP."),
		schema.URL().Named("logs_endpoint").AsReferenceable().Described("Where the node's own messages are sent, as OTLP over HTTP."),
		schema.MapOf(schema.HeaderName(), schema.Field{Type: schema.String, Referenceable: true}).Named("headers").Described("Headers of the requests, by name."),
		attributes,
		queue,
		moved("batch_span_count", 200, "max_batch_size"),
		moved("batch_flush_delay", 3, "max_coalescing_delay"),
		schema.Timeout().Named("connect_timeout").Defaults(1000).Described("Milliseconds for connecting."),
		schema.Timeout().Named("send_timeout").Defaults(5000).Described("Milliseconds for sending."),
		schema.Timeout().Named("read_timeout").Defaults(5000).Described("Milliseconds for the answer."),
		schema.Field{Name: "http_response_header_for_traceid", Type: schema.String}.Described("Header of responses that tells the trace's id."),
		header,
		schema.Field{Name: "sampling_rate", Type: schema.Number, Between: []float64{0, 1}, NotRequired: true}.
			Described("The part of traces that is sampled, over the setting tracing_sampling_rate."),
		schema.Propagation("w3c"),
	)
	f.Checks = []schema.EntityCheck{{AtLeastOneOf: []string{"traces_endpoint", "logs_endpoint"}}}
	f.Shorthands = []schema.Shorthand{{
		Field: schema.Field{Name: "endpoint", Type: schema.String, Referenceable: true, Check: schema.URL().Check, CheckName: "url", Deprecation: &schema.Deprecation{
			Message:          "OpenTelemetry: config.endpoint is deprecated, please use config.traces_endpoint instead",
			RemovalInVersion: "4.0",
		}},
		Expand: func(v any) (schema.Object, error) { return schema.Object{"traces_endpoint": v}, nil },
	}}
	return f
}

func notEmpty(v any) error {
	o, _ := v.(schema.Object)
	for _, value := range o {
		if value == "" {
			return errors.New("required field missing")
		}
	}
	return nil
}
