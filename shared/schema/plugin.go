package schema

import "errors"

// Fields of plugin schemas: each plugin lists them in its Schema beside its
// PluginConfig.

// ProtocolsHTTP is the field "protocols" of plugins for HTTP and gRPC.
func ProtocolsHTTP() Field { return Protocols(HTTPProtocols, HTTPProtocols...) }

// ProtocolsHTTPAndStream is the field "protocols" of plugins for all protocols.
func ProtocolsHTTPAndStream() Field { return Protocols(AllProtocols, AllProtocols...) }

// NoConsumer forbids configs of the plugin for one consumer.
func NoConsumer() Field { return noScope("consumer", "consumers") }

// NoService forbids configs of the plugin for one service.
func NoService() Field { return noScope("service", "services") }

// NoRoute forbids configs of the plugin for one route.
func NoRoute() Field { return noScope("route", "routes") }

func noScope(name, kind string) Field {
	return Field{Name: name, Type: Foreign, Reference: kind, Eq: Must(nil)}
}

// PluginConfig is the field "config" of a plugin schema.
func PluginConfig(fields ...Field) Field {
	return RecordOf(fields...).Named("config").AsRequired()
}

// Redis is the field "redis": how to reach a Redis server. The fields for Sentinel and
// Cluster have the names of Kong's enterprise edition.
func Redis() Field {
	node := func(host string) Field {
		return ArrayOf(RecordOf(
			Host().Named(host).AsRequired().Defaults("127.0.0.1"),
			Port().Named("port").Defaults(6379),
		))
	}
	extension := func(f Field, name, text string) Field {
		f.Extra = true
		f.LenMin = new(1)
		return f.Named(name).Described(text)
	}
	f := RecordOf(
		Host().Named("host"),
		Port().Named("port").Defaults(6379),
		Timeout().Named("timeout").Defaults(2000),
		Field{Name: "username", Type: String, Referenceable: true},
		Field{Name: "password", Type: String, LenMin: new(0), Referenceable: true, Encrypted: true},
		Field{Name: "database", Type: Integer, Default: 0},
		Field{Name: "ssl", Type: Boolean, Default: false, NotRequired: true},
		Field{Name: "ssl_verify", Type: Boolean, Default: false, NotRequired: true},
		SNI().Named("server_name").AsOptional(),
		extension(node("ip"), "cluster_nodes", "Nodes of a Redis Cluster to begin with; host and port are not used then."),
		extension(node("host"), "sentinel_nodes", "Redis Sentinels that know where the server is; host and port are not used then."),
		extension(Field{Type: String}, "sentinel_master", "Name of the master that the Sentinels watch."),
		extension(OneOf("master", "any"), "sentinel_role", "Which of its servers may be used; it is always the master, as counting writes."),
		extension(Field{Type: String, Referenceable: true}, "sentinel_username", "User name at the Sentinels."),
		extension(Field{Type: String, Referenceable: true, Encrypted: true}, "sentinel_password", "Password at the Sentinels."),
	).Named("redis").AsRequired()
	f.Check, f.CheckName = checkRedis, "redis_deployment"
	return f
}

// RedisChecks are the checks of a plugin whose field config.policy may be redis.
func RedisChecks() []EntityCheck {
	list := make([]EntityCheck, 0, 3)
	for _, name := range []string{"host", "port", "timeout"} {
		list = append(list, EntityCheck{Conditional: &Conditional{
			If: "config.policy", IfMatch: Field{Eq: Must("redis")},
			Then: "config.redis." + name, ThenMatch: Field{Required: true},
			Unless: []string{"config.redis.cluster_nodes", "config.redis.sentinel_nodes"},
		}})
	}
	return list
}

// checkRedis wants one way to reach Redis, and all of it.
func checkRedis(v any) error {
	o, _ := v.(Object)
	sentinels, cluster, master := o["sentinel_nodes"] != nil, o["cluster_nodes"] != nil, o["sentinel_master"] != nil
	switch {
	case sentinels && cluster:
		return errors.New("sentinel_nodes and cluster_nodes can not both be set")
	case sentinels != master:
		return errors.New("sentinel_nodes and sentinel_master must be set together")
	case cluster && o["database"] != nil && o["database"] != int64(0):
		return errors.New("a Redis Cluster has database 0 only")
	}
	return nil
}

// RedisShorthands are the flat fields that Redis replaced: redis_host and the
// like, for the Shorthands of a PluginConfig.
func RedisShorthands() []Shorthand {
	moved := func(old, replacement string, f Field) Shorthand {
		f.Name = old
		f.Deprecation = &Deprecation{
			Message:          "config." + old + " is deprecated, please use config.redis." + replacement + " instead",
			RemovalInVersion: "4.0",
			ReplacedWith:     []Replacement{{Path: []string{"redis", replacement}}},
		}
		return Shorthand{Field: f}
	}
	return []Shorthand{
		moved("redis_host", "host", Field{Type: String}),
		moved("redis_port", "port", Field{Type: Integer}),
		moved("redis_password", "password", Field{Type: String, LenMin: new(0)}),
		moved("redis_username", "username", Field{Type: String}),
		moved("redis_ssl", "ssl", Field{Type: Boolean}),
		moved("redis_ssl_verify", "ssl_verify", Field{Type: Boolean}),
		moved("redis_server_name", "server_name", Field{Type: String}),
		moved("redis_timeout", "timeout", Field{Type: Integer}),
		moved("redis_database", "database", Field{Type: Integer}),
	}
}

// Queue is the field "queue": how entries are batched, kept and sent again.
func Queue() Field {
	return RecordOf(
		Field{Name: "max_batch_size", Type: Integer, Default: 1, Between: []float64{1, 1e6}},
		Field{Name: "max_coalescing_delay", Type: Number, Default: 1, Between: []float64{0, 3600}},
		Field{Name: "max_entries", Type: Integer, Default: 10000, Between: []float64{1, 1e6}},
		Field{Name: "max_bytes", Type: Integer},
		Field{Name: "max_retry_time", Type: Number, Default: 60},
		Field{Name: "initial_retry_delay", Type: Number, Default: 0.01, Between: []float64{0.001, 1e6}},
		Field{Name: "max_retry_delay", Type: Number, Default: 60, Between: []float64{0.001, 1e6}},
		Field{Name: "concurrency_limit", Type: Integer, Default: 1, OneOf: []any{-1, 1}},
	).Named("queue").AsRequired()
}
