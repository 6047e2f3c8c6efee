package filelog

// Config is the config of the plugin.
type Config = config
