package datadog

// Config is the config of the plugin.
type Config = config
