package statsd

// Config is the config of the plugin.
type Config = config
