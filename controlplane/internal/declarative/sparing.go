package declarative

import (
	"runtime/debug"
	"sync"
	"time"
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

// sparingOn is how much longer it lasts than a load: what was loaded is answered with, and
// sent to the nodes.
const sparingOn = 10 * time.Second

// spare returns what ends it.
func spare() (end func()) {
	sparing.mu.Lock()
	defer sparing.mu.Unlock()
	if sparing.loading++; sparing.loading == 1 {
		sparing.before = debug.SetGCPercent(sparingPercent)
	}
	return func() { time.AfterFunc(sparingOn, unspare) }
}

func unspare() {
	sparing.mu.Lock()
	defer sparing.mu.Unlock()
	if sparing.loading--; sparing.loading == 0 {
		debug.SetGCPercent(sparing.before)
	}
}
