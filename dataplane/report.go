package dataplane

import (
	"bytes"
	"encoding/json"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
)

const (
	// mostTroubles bounds the targets that a report names.
	mostTroubles = 500
	// repeatReport is after how many beats a report is sent again although nothing has
	// changed: the control plane may be another one.
	repeatReport = 6
)

// reporter makes what the node tells with its beats. One goroutine calls it.
type reporter struct {
	balancer *balancer.Balancer
	last     []byte
	quiet    int
}

// report returns nil while nothing has changed.
func (r *reporter) report() []byte {
	b, err := json.Marshal(map[string]any{"balancer": r.balancer.Report(mostTroubles)})
	if err != nil {
		return nil // made of strings and numbers
	}
	if r.quiet++; bytes.Equal(b, r.last) && r.quiet < repeatReport {
		return nil
	}
	r.last, r.quiet = b, 0
	return b
}
