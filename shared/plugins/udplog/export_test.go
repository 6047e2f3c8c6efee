package udplog

// Config is the config of the plugin.
type Config = config
