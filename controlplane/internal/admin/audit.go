package admin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// filters are the fields by which the two logs can be searched.
var (
	requestFilters = []string{"client_ip", "method", "path", "rbac_user_id", "rbac_user_name", "request_id", "revision", "status", "workspace"}
	objectFilters  = []string{
		"client_ip", "dao_name", "entity_key", "entity_name", "operation", "rbac_user_id", "rbac_user_name", "request_id", "revision", "workspace",
	}
)

func (a *API) addAudit() {
	a.table.get("/audit/requests", auditLog(a.o.Audit.Requests, requestFilters))
	a.table.get("/audit/objects", auditLog(a.o.Audit.Objects, objectFilters))
}

func auditLog(read func(audit.Query) (audit.Page, error), filters []string) handler {
	return func(c *call) (answer, error) {
		query := c.r.URL.Query()
		q := audit.Query{Equal: map[string]string{}}
		var err error
		if q.Size, q.Offset, err = paging(query); err != nil {
			return answer{}, err
		}
		for name := range query {
			if err := readFilter(&q, query, name, filters); err != nil {
				return answer{}, err
			}
		}
		page, err := read(q)
		if errors.Is(err, audit.ErrOffset) {
			return answer{}, invalidOffset(q.Offset)
		}
		if err != nil {
			return answer{}, err
		}
		lines := make([]any, len(page.Lines))
		for i, line := range page.Lines {
			lines[i] = line
		}
		body := schema.Object{"data": lines, "next": nil, "total": int64(page.Total)}
		if page.Next != "" {
			query.Set("offset", page.Next) // the rest is kept, and asks for the same
			body["offset"], body["next"] = page.Next, c.path()+"?"+query.Encode()
		}
		return ok(body)
	}
}

func readFilter(q *audit.Query, query url.Values, name string, filters []string) (err error) {
	switch name {
	case "size", "offset":
	case "before":
		q.Before, err = audit.ParseTime(query.Get(name))
	case "after":
		q.After, err = audit.ParseTime(query.Get(name))
	default:
		if slices.Contains(filters, name) {
			q.Equal[name] = query.Get(name)
			return nil
		}
		err = errors.New("unknown filter")
	}
	if err != nil {
		return &catalog.Error{
			Code: catalog.CodeInvalidOptions, Name: "invalid options",
			Message: "invalid option (" + name + ": " + err.Error() + ")", Fields: schema.Object{name: err.Error()},
		}
	}
	return nil
}

// record passes an answered request on to the audit log.
func (a *API) record(v *visit, status int) {
	if a.o.Audit != nil && v.request.Method != http.MethodOptions {
		a.o.Audit.Answered(v.request, status, v.refused)
	}
}
