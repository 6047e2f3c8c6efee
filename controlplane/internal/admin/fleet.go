package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Fleet is what the Admin API asks of the data planes. It is safe for concurrent use.
type Fleet interface {
	// Nodes returns the rows of /clustering/data-planes in the order of their ids.
	// Each has Kong's fields: id, ip, hostname, version, config_hash, last_seen,
	// updated_at, sync_status, labels, cert_details, rpc_capabilities, ttl.
	Nodes() []map[string]any
	// Wait returns when as many nodes as spec asks for serve p or something newer, with
	// hub.ErrNotApplied when ctx ends before or too many nodes refuse.
	Wait(ctx context.Context, p store.Position, spec hub.Spec) (hub.Result, error)
	// Broadcast sends a command to all connected nodes; see pdk.Fleet.
	Broadcast(ctx context.Context, target, name string, arguments any) []pdk.NodeReply
	// Revision and RevisionCounts tell what became of revisions at the nodes.
	Revision(n uint64) hub.Revision
	RevisionCounts(revisions []uint64) []hub.Counts
	// Figures returns what the link has done since the start.
	Figures() hub.Figures
}

const (
	headerRevision    = "X-Sluice-Revision"
	headerWait        = "X-Sluice-Wait"
	headerWaitTimeout = "X-Sluice-Wait-Timeout"
	headerApplied     = "X-Sluice-Applied"
	headerMissing     = "X-Sluice-Missing"
	headerRefused     = "X-Sluice-Refused"

	defaultWait = 10 * time.Second
	longestWait = 10 * time.Minute
	// mostListed bounds the ids in a header.
	mostListed = 20
)

// wait is what a client waits for after its write.
type wait struct {
	spec    hub.Spec
	timeout time.Duration
}

// parseWait reads the X-Sluice-Wait headers, before anything is written.
func (c *call) parseWait() error {
	asked := strings.TrimSpace(c.r.Header.Get(headerWait))
	if asked == "" {
		return nil
	}
	spec, err := hub.ParseSpec(asked)
	if err != nil {
		return refuse(http.StatusBadRequest, headerWait+" "+err.Error())
	}
	c.wait = &wait{spec: spec, timeout: defaultWait}
	text := strings.TrimSpace(c.r.Header.Get(headerWaitTimeout))
	if text == "" {
		return nil
	}
	timeout, err := time.ParseDuration(text)
	if seconds, e := strconv.ParseFloat(text, 64); e == nil && seconds >= 0 && seconds <= longestWait.Seconds() {
		timeout, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || timeout < 0 || timeout > longestWait {
		return refuse(http.StatusBadRequest, fmt.Sprintf("%s: %q is not a number of seconds from 0 to %.0f", headerWaitTimeout, text, longestWait.Seconds()))
	}
	c.wait.timeout = timeout
	return nil
}

// wrote completes the answer of a write: its revision and, when the client asked to wait,
// how many nodes serve it by now. That not all do is no error: the write is durable.
func (c *call) wrote(p store.Position, out answer) (answer, error) {
	out.header = append(out.header, [2]string{headerRevision, strconv.FormatUint(p.Revision, 10)})
	if c.wait == nil {
		return out, nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.wait.timeout)
	defer cancel()
	result, err := c.api.o.Fleet.Wait(ctx, p, c.wait.spec)
	if err != nil && !errors.Is(err, hub.ErrNotApplied) {
		// What was written is written: saying otherwise would make the client do it again.
		c.api.log.Warn("waiting for data planes ended", "revision", p.Revision, "error", err)
	}
	out.header = append(out.header, [2]string{headerApplied, fmt.Sprintf("%d/%d", result.Applied, result.Total)})
	if len(result.Missing) > 0 {
		out.header = append(out.header, [2]string{headerMissing, listed(result.Missing)})
	}
	if len(result.Refused) > 0 {
		ids := make([]string, 0, len(result.Refused))
		for id := range result.Refused {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		out.header = append(out.header, [2]string{headerRefused, listed(ids)})
	}
	return out, nil
}

func listed(ids []string) string {
	more := ""
	if len(ids) > mostListed {
		more = fmt.Sprintf(", and %d more", len(ids)-mostListed)
		ids = ids[:mostListed]
	}
	return strings.Join(ids, ", ") + more
}
