package dataplane

import (
	"bytes"
	"encoding/json"
	"os"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/controlclient"
	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
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
	// integrity is what the node found out about its memory; nil tells nothing.
	integrity func() controlclient.Integrity
	plan      func() *plan.Plan
	// draining tells whether the node asks to get no more requests.
	draining func() bool
	// cache is the folder of the disk cache.
	cache string
	last  []byte
	quiet int
}

// report returns nil while nothing has changed.
func (r *reporter) report() []byte {
	p := r.plan()
	told := map[string]any{
		"balancer":      r.balancer.Report(mostTroubles),
		"configuration": map[string]any{"entities": p.Entities(), "routes": p.Routes(), "disk_bytes": sizeOf(r.cache)},
	}
	if r.draining != nil && r.draining() {
		told["draining"] = true
	}
	if r.integrity != nil {
		if i := r.integrity(); i.Found > 0 {
			told["integrity"] = map[string]any{
				"found": i.Found, "repaired": i.Repaired, "kind": i.Last.Kind, "id": i.Last.ID, "message": i.Last.Message, "at": i.LastAt.Unix(),
			}
		}
	}
	b, err := json.Marshal(told)
	if err != nil {
		return nil // made of strings and numbers
	}
	if r.quiet++; bytes.Equal(b, r.last) && r.quiet < repeatReport {
		return nil
	}
	r.last, r.quiet = b, 0
	return b
}

// sizeOf is how many bytes the files of a folder have.
func sizeOf(folder string) (n int64) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return 0 // nothing is cached yet
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
	}
	return n
}
