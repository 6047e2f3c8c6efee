package queue

// Legacy are the fields that Config replaced. A value other than the old default wins
// over the new field, as in Kong.
type Legacy struct {
	RetryCount   *int     `json:"retry_count"`
	QueueSize    *int     `json:"queue_size"`
	FlushTimeout *float64 `json:"flush_timeout"`
}

// Apply returns the config with the old fields in it.
func (l *Legacy) Apply(c Config) Config {
	if l.QueueSize != nil && *l.QueueSize != 1 {
		c.MaxBatchSize = *l.QueueSize
	}
	if l.FlushTimeout != nil && *l.FlushTimeout != 2 {
		c.MaxCoalescingDelay = *l.FlushTimeout
	}
	return c
}
