//go:build !race

// Under the race detector pools forget on purpose.

package proxy_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/counters"
)

// TestAllocations holds that a proxied request allocates nothing, with its traffic counted.
func TestAllocations(t *testing.T) {
	set := counters.New(counters.Options{})
	g := countingGateway(t, set, flatUpstream(t))
	once := g.keepAlive()
	for range 100 {
		once()
	}
	if got := testing.AllocsPerRun(2000, once); got > 0 {
		t.Errorf("%v allocations a request, want 0", got)
	}
}
