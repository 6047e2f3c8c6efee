package schema

// Fields of the schemas of logging and tracing plugins.

// CustomFieldsByLua is the field of that name: what a plugin adds to its records.
func CustomFieldsByLua() Field {
	code := Field{Type: String, LenMin: new(1)}
	return MapOf(code, code).Named("custom_fields_by_lua").
		Described("Fields of the record by name, as Lua code that returns their values; nil removes a field, a dot in a name leads into an object.")
}

// LegacyQueue are the fields retry_count, queue_size and flush_timeout, which Queue
// replaced. plugin goes into the warnings.
func LegacyQueue(plugin string) []Field {
	moved := func(name string, t Type, was any, message string) Field {
		return Field{Name: name, Type: t, Deprecation: &Deprecation{
			Message: plugin + ": config." + name + message, RemovalInVersion: "4.0", OldDefault: was,
		}}
	}
	return []Field{
		moved("retry_count", Integer, 10, " no longer works, please use config.queue.max_retry_time instead").
			Described("Accepted and without effect; queue.max_retry_time bounds the retries."),
		moved("queue_size", Integer, 1, " is deprecated, please use config.queue.max_batch_size instead").
			Described("Entries in a batch; the old name of queue.max_batch_size."),
		moved("flush_timeout", Number, 2, " is deprecated, please use config.queue.max_coalescing_delay instead").
			Described("Seconds that a batch waits to fill; the old name of queue.max_coalescing_delay."),
	}
}

// Propagation is the field "propagation": which tracing headers are read and written.
func Propagation(format string) Field {
	formats := []string{"b3", "gcp", "b3-single", "jaeger", "aws", "ot", "w3c", "datadog"}
	f := RecordOf(
		ArrayOf(OneOf("b3", "gcp", "jaeger", "aws", "ot", "w3c", "datadog")).Named("extract").
			Described("Formats in which the client's trace is looked for, in this order; none starts a new trace."),
		ArrayOf(Field{Type: String, Check: onString(checkHeaderName), CheckName: "header_name"}).Named("clear").
			Described("Headers that are removed after they were read."),
		ArrayOf(OneOf(append([]string{"preserve"}, formats...)...)).Named("inject").
			Described("Formats in which the upstream is told; preserve is the one that was found."),
		OneOf(formats...).Named("default_format").AsRequired().
			Described("Format that preserve writes when none was found."),
	).Named("propagation").AsRequired()
	f.Default = Object{"default_format": format}
	return f
}

// HeaderType is the field that Propagation replaced.
func HeaderType(plugin string) Field {
	f := OneOf("preserve", "ignore", "b3", "b3-single", "w3c", "jaeger", "ot", "aws", "gcp", "datadog").Named("header_type").Defaults("preserve").
		Described("Format of the tracing headers; the old name of propagation.")
	f.Deprecation = &Deprecation{
		Message: plugin + ": config.header_type is deprecated, please use config.propagation options instead", RemovalInVersion: "4.0", OldDefault: "preserve",
	}
	return f
}
