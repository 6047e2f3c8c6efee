package balancer

import (
	"context"
	"sync"
	"testing"
)

// ProbeWith replaces the network of checks until the test ends. count is called for each,
// one at a time.
func ProbeWith(t testing.TB, probe func(ctx context.Context, address string) (int, error), count func()) {
	t.Helper()
	var mu sync.Mutex
	before := probeNetwork
	probeNetwork = func(ctx context.Context, _ *prober, _ *Upstream, s *state) (int, error) {
		mu.Lock()
		count()
		mu.Unlock()
		return probe(ctx, s.address)
	}
	t.Cleanup(func() { probeNetwork = before })
}

// Below is the draw of weighted hashing.
func Below(v uint64) float64 { return below(v) }
