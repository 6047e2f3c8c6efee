package declarative

import (
	"runtime/debug"
	"sync"
)

// sparing makes the collector of memory run more often while large documents are loaded:
// what is kept of them has few pointers, so that this costs little, and by default as much
// again would be waiting to be collected.
var sparing struct {
	mu      sync.Mutex
	loading int
	before  int
}

// sparingPercent is how much may wait, in parts of what is in use.
const sparingPercent = 30

// spare returns what ends it.
func spare() (end func()) {
	sparing.mu.Lock()
	defer sparing.mu.Unlock()
	if sparing.loading++; sparing.loading == 1 {
		sparing.before = debug.SetGCPercent(sparingPercent)
	}
	return func() {
		sparing.mu.Lock()
		defer sparing.mu.Unlock()
		if sparing.loading--; sparing.loading == 0 {
			debug.SetGCPercent(sparing.before)
		}
	}
}
