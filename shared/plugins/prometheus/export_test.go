package prometheus

// Config is the config of the plugin.
type Config = config

// SetMaxSeries sets the bound of the next node's series and returns what undoes it.
func SetMaxSeries(n int) (undo func()) {
	was := maxSeries
	maxSeries = n
	return func() { maxSeries = was }
}
