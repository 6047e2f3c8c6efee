package loggly

// Config is the config of the plugin.
type Config = config
