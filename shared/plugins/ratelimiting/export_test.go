package ratelimiting

import "time"

// Config is exported for the tests.
type Config = config

// Counters returns how many counters a node keeps for a plugin.
func Counters(state any) int { return state.(*table).len() }

// Table is a table of counters with one period, for the tests.
type Table struct{ t *table }

// NewTable makes a table of that limit.
func NewTable(limit int) Table { return Table{newTable(limit)} }

// Add counts one request in the minute of t.
func (t Table) Add(key string, at time.Time, limit float64) bool {
	var w windows
	w.Fill(at, true)
	_, ok := t.t.get(byHeader, key, &w).add(minute, w.ID[minute], limit)
	return ok
}

// Sweep drops what has passed at that time.
func (t Table) Sweep(at time.Time) {
	var w windows
	w.Fill(at, true)
	t.t.sweep(&w)
}

// Len returns the number of counters.
func (t Table) Len() int { return t.t.len() }
