package syslog

// Config is the config of the plugin.
type Config = config

// SetSockets sets where the daemon is looked for and returns what undoes it.
func SetSockets(paths ...string) (undo func()) {
	was := sockets
	sockets = paths
	return func() { sockets = was }
}
