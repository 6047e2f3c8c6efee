package admin

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/history"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// revisionPage reads which page of revisions is asked for: those before one.
func (c *call) revisionPage() (size int, before uint64, err error) {
	size, offset, err := paging(c.r.URL.Query())
	if err != nil || offset == "" {
		return size, 0, err
	}
	if before, err = strconv.ParseUint(offset, 10, 64); err != nil || before == 0 {
		return size, 0, invalidOffset(offset)
	}
	return size, before, nil
}

// revisions lists revisions, the newest first, with how many nodes have applied them.
func (a *API) revisions(c *call) (answer, error) {
	size, before, err := c.revisionPage()
	if err != nil {
		return answer{}, err
	}
	list, more, err := a.o.History.List(before, size, nil)
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail logs it with the path
	}
	numbers := make([]uint64, len(list))
	for i := range list {
		numbers[i] = list[i].Position.Revision
	}
	p := catalog.Page{}
	for i, counts := range a.o.Fleet.RevisionCounts(numbers) {
		row := showRevision(&list[i])
		row["nodes"] = schema.Object{"applied": counts.Applied, "refused": counts.Refused, "missing": counts.Missing}
		row["last_applied_ms"] = lastMillis(counts.Last)
		p.Entities = append(p.Entities, row)
	}
	if more {
		p.Next = strconv.FormatUint(numbers[len(numbers)-1], 10)
	}
	return ok(pageBody(c, p, c.r.URL.Query(), true))
}

// showRevision shows a change set in short.
func showRevision(r *history.Revision) schema.Object {
	kinds := schema.Object{}
	for kind, n := range r.Kinds {
		kinds[kind] = n
	}
	row := schema.Object{
		"revision": int64(r.Position.Revision), "root": r.Position.Root.String(), "committed_at": seconds(r.At),
		"actor": orNull(r.Actor), "summary": orNull(r.Summary), "changes": r.Changes, "size": r.Bytes, "kinds": kinds,
		"created": nil, "updated": nil, "deleted": r.Deleted, "omitted": r.Omitted,
	}
	if r.Omitted { // it is not known what
		row["changes"], row["deleted"], row["size"] = nil, nil, nil
	}
	if r.Reversible {
		row["created"], row["updated"] = r.Created, r.Updated
	}
	return row
}

// seconds since 1970, with milliseconds; nil for no time.
func seconds(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return float64(at.UnixMilli()) / 1000
}

func lastMillis(d time.Duration) any {
	if d == 0 {
		return nil
	}
	return round3(d)
}

// round3 is a duration in milliseconds with microseconds behind the point.
func round3(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// revisionNumber reads the revision of a path.
func (c *call) revisionNumber() (uint64, error) {
	n, err := strconv.ParseUint(c.values[0], 10, 64)
	if err != nil {
		return 0, refuse(http.StatusBadRequest, "revision: expected a number")
	}
	return n, nil
}

// pastError makes the answer of an error of the history.
func pastError(err error) error {
	if errors.Is(err, history.ErrFuture) {
		return errNotFound
	}
	if gone, ok := errors.AsType[*history.GoneError](err); ok {
		m := message(http.StatusGone, gone.Error())
		m.body = schema.Object{"message": gone.Error(), "oldest": int64(gone.Oldest)}
		return refusal{m}
	}
	return err
}

// revision shows who applied a revision when, who refused it why, and who is missing.
func (a *API) revision(c *call) (answer, error) {
	n, err := c.revisionNumber()
	if err != nil {
		return answer{}, err
	}
	r, err := a.o.History.Find(n)
	if err != nil {
		return answer{}, pastError(err)
	}
	became := a.o.Fleet.Revision(n)
	row := showRevision(&r)
	row["position"] = hub.ShowPosition(r.Position)
	row["known"] = became.Known
	row["last_applied_ms"] = lastMillis(became.Last)
	row["nodes"] = schema.Object{"applied": len(became.Applied), "refused": len(became.Refused), "missing": len(became.Missing)}
	row["applied"] = showNodes(became.Applied, r.At, false)
	row["refused"] = showNodes(became.Refused, r.At, true)
	row["missing"] = showNodes(became.Missing, r.At, false)
	row["request"] = a.requestOf(&r)
	return ok(row)
}

func showNodes(list []hub.NodeRevision, committed time.Time, refused bool) []any {
	out := make([]any, len(list))
	for i := range list {
		n := &list[i]
		row := schema.Object{
			"id": n.ID, "hostname": n.Hostname, "connected": n.Connected, "at": seconds(n.At), "after_ms": nil,
			"serving": int64(n.Serving.Revision),
		}
		if !n.At.IsZero() {
			row["after_ms"] = round3(max(0, n.At.Sub(committed)))
		}
		if refused {
			errs := make([]any, len(n.Errors))
			for j, e := range n.Errors {
				errs[j] = schema.Object{"kind": e.Kind, "id": e.ID, "name": orNull(e.Name), "field": orNull(e.Field), "message": e.Message}
			}
			row["errors"] = errs
		}
		out[i] = row
	}
	return out
}

// requestOf looks in the audit log for the request that made a revision; nil when it is not
// there.
func (a *API) requestOf(r *history.Revision) any {
	if a.o.Audit == nil {
		return nil
	}
	// The line of an object is of a moment before the commit.
	page, err := a.o.Audit.Objects(audit.Query{
		Size: 1, After: r.At.Add(-time.Minute), Before: r.At.Add(time.Second), Equal: map[string]string{"revision": strconv.FormatUint(r.Position.Revision, 10)},
	})
	if err != nil || len(page.Lines) == 0 {
		return nil
	}
	line := page.Lines[0]
	return schema.Object{
		"id": line["request_id"], "method": line["method"], "path": line["path"], "client_ip": line["client_ip"],
		"user_id": line["rbac_user_id"], "user_name": line["rbac_user_name"], "workspace": line["workspace"],
	}
}
