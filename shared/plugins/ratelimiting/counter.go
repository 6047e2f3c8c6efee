package ratelimiting

import "sync/atomic"

// A cell is the number of a window and the count in it, in one word, so that both
// change together: 24 bits of the window's number, 40 bits of count. A cell of
// another window counts 0. Numbers come again after 2^24 windows, which is half a
// year of seconds; a counter that was not swept away by then is harmless.
const (
	countBits = 40
	countMask = 1<<countBits - 1
)

func cellID(id uint64) uint64 { return id << countBits }

// counter counts the requests of one identity in all periods.
type counter struct {
	kind  kind
	key   string
	cells [periodCount]atomic.Uint64
	// used is when the counter was last asked for, in seconds since 1970.
	used atomic.Int64
	// synced are cells of what Redis has. They belong to whoever holds table.syncing.
	synced [periodCount]uint64
}

// count returns what was counted in a window.
func (c *counter) count(p period, id uint64) uint64 {
	cell := c.cells[p].Load()
	if cell&^countMask != cellID(id) {
		return 0
	}
	return cell & countMask
}

// add counts one more unless limit is reached, and returns the count before.
func (c *counter) add(p period, id uint64, limit float64) (before uint64, ok bool) {
	for {
		cell := c.cells[p].Load()
		before = cell & countMask
		if cell&^countMask != cellID(id) {
			before = 0
		}
		if float64(before) >= limit {
			return before, false
		}
		if c.cells[p].CompareAndSwap(cell, cellID(id)|(before+1)) {
			return before, true
		}
	}
}

// take undoes an add, unless the window has passed.
func (c *counter) take(p period, id uint64) {
	for {
		cell := c.cells[p].Load()
		if cell&^countMask != cellID(id) || cell&countMask == 0 {
			return
		}
		if c.cells[p].CompareAndSwap(cell, cell-1) {
			return
		}
	}
}

// past tells whether nothing is counted in any current window. What was asked for a
// moment ago may be about to count.
func (c *counter) past(w *windows) bool {
	if c.used.Load() >= w.Now-1 {
		return false
	}
	for p := range c.cells {
		if c.count(period(p), w.ID[p]) != 0 {
			return false
		}
	}
	return true
}
