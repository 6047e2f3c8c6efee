package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/history"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// restoreForm is the body of a restore.
var restoreForm = &schema.Schema{Name: "restore", Fields: []schema.Field{{Name: "head", Type: schema.Integer}}}

const pathHistory = "/history"

// addHistory adds the paths by which people look at what was, and bring it back.
func (a *API) addHistory() {
	a.table.get(pathHistory, a.history)
	a.table.get(pathHistory+"/{revision}", a.historyOf)
	a.table.get(pathHistory+"/{revision}/preview", a.historyPreview)
	a.table.add(pathHistory+"/{revision}/restore", map[string]handler{http.MethodPost: a.historyRestore})
}

// scoped tells whether a path that is about what happens in all workspaces is, behind the
// name of one, about that alone: who may read or write a workspace may use it there.
func scoped(pattern string, action access.Action) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(pattern, "/"), "/")
	return pattern == pathTraffic && action == access.Read || "/"+first == pathHistory
}

// within is the workspace that the path is about, nil for all of them.
func (c *call) within() *string {
	if c.prefix == "" {
		return nil
	}
	return &c.workspace
}

// history lists what was changed, the newest first.
func (a *API) history(c *call) (answer, error) {
	size, before, err := c.revisionPage()
	if err != nil {
		return answer{}, err
	}
	list, more, err := a.o.History.List(before, size, c.within())
	if err != nil {
		return answer{}, err //nolint:wrapcheck // fail logs it with the path
	}
	oldest, err := a.o.History.Oldest()
	if err != nil {
		return answer{}, err //nolint:wrapcheck // as above
	}
	names := c.spaceNames()
	p := catalog.Page{}
	for i := range list {
		row := showRevision(&list[i])
		row["restorable"] = list[i].Position.Revision >= oldest
		first := make([]any, len(list[i].First))
		for j := range list[i].First {
			first[j] = names.change(&list[i].First[j], false)
		}
		row["first"] = first
		p.Entities = append(p.Entities, row)
	}
	if more {
		p.Next = strconv.FormatUint(list[len(list)-1].Position.Revision, 10)
	}
	body := pageBody(c, p, c.r.URL.Query(), true)
	body["oldest_restorable"] = int64(oldest) //nolint:gosec // revisions are not that many
	return ok(body)
}

// historyOf shows what a revision changed, field by field.
func (a *API) historyOf(c *call) (answer, error) {
	n, err := c.revisionNumber()
	if err != nil {
		return answer{}, err
	}
	changes, r, err := a.o.History.Changes(n, c.within())
	if err != nil {
		return answer{}, pastError(err)
	}
	row := showRevision(&r)
	row["request"] = a.requestOf(&r)
	row["entities"] = c.spaceNames().changes(changes)
	return ok(row)
}

// historyPreview shows what a restore would change now.
func (a *API) historyPreview(c *call) (answer, error) {
	n, err := c.revisionNumber()
	if err != nil {
		return answer{}, err
	}
	changes, head, err := a.o.History.Preview(n, c.within())
	if err != nil {
		return answer{}, pastError(err)
	}
	return ok(schema.Object{
		"revision": int64(n), "head": int64(head.Revision), "position": hub.ShowPosition(head), //nolint:gosec // revisions are not that many
		"changes": len(changes), "entities": c.spaceNames().changes(changes),
	})
}

// historyRestore makes the configuration what it was at a revision. The body may say which
// revision the client thinks is the newest: when it is not, nothing is changed.
func (a *API) historyRestore(c *call) (answer, error) {
	n, err := c.revisionNumber()
	if err != nil {
		return answer{}, err
	}
	in, err := c.decode(restoreForm, nil)
	if err != nil {
		return answer{}, err
	}
	expected, given := int64(0), false
	for name, v := range in {
		if expected, given = v.(int64); name != "head" || !given || expected < 0 {
			return answer{}, refuse(http.StatusBadRequest, name+": expected the number of the newest revision as head, or nothing")
		}
	}
	summary := fmt.Sprintf("restore revision %d", n)
	if c.prefix != "" {
		summary += " of workspace " + c.space
	}
	p, changed, err := a.o.Catalog.Restore(c.ctx, summary, func(tx store.Tx) ([]catalog.Restored, error) {
		if head := tx.Position().Revision; given && head != uint64(expected) { //nolint:gosec // not negative
			return nil, refuse(http.StatusConflict, fmt.Sprintf("head: the newest revision is %d, not %d", head, expected))
		}
		list, err := a.o.History.Undo(tx, n, c.within())
		if err != nil {
			return nil, pastError(err)
		}
		out := make([]catalog.Restored, len(list))
		for i, u := range list {
			if u.Kind == entity.WorkspaceNames.Kind() && c.visit.token != nil && !c.visit.token.Allows(access.Use{Action: access.Update, Area: access.Workspaces}) {
				return nil, refuse(http.StatusForbidden, "restoring this revision makes or removes workspaces, which "+c.visit.token.Name+" may not")
			}
			out[i] = catalog.Restored{Kind: u.Kind, ID: u.ID, Body: u.Body}
		}
		return out, nil
	})
	if failed, ok := errors.AsType[*catalog.RestoreError](err); ok {
		return answer{}, restoreRefused(failed)
	}
	if err != nil {
		return answer{}, err
	}
	return c.wrote(p, answer{status: http.StatusOK, body: schema.Object{
		"restored": int64(n), "revision": int64(p.Revision), "changes": changed, //nolint:gosec // revisions are not that many
	}})
}

// restoreRefused says which entity stands against a restore.
func restoreRefused(e *catalog.RestoreError) error {
	m, known := refused(e.Err)
	if !known {
		m = message(http.StatusConflict, e.Err.Error())
	}
	body, _ := m.body.(schema.Object)
	body = schema.Clone(body)
	if body == nil {
		body = schema.Object{}
	}
	body["message"] = fmt.Sprintf("cannot restore %s %s: %v", e.Kind, e.ID, e.Err)
	body["entity"] = schema.Object{"kind": e.Kind, "id": e.ID}
	m.status, m.body = http.StatusConflict, body
	return refusal{m}
}

// pastNames shows changes with the names of their workspaces.
type pastNames struct {
	c     *call
	known map[string]any
}

func (c *call) spaceNames() *pastNames { return &pastNames{c, map[string]any{"": "default"}} }

func (n *pastNames) changes(list []history.Change) []any {
	out := make([]any, len(list))
	for i := range list {
		out[i] = n.change(&list[i], true)
	}
	return out
}

func (n *pastNames) change(c *history.Change, fields bool) schema.Object {
	row := schema.Object{"operation": orNull(c.Operation), "kind": c.Kind, "id": c.ID, "name": orNull(c.Name), "workspace": n.space(c)}
	if !fields {
		return row
	}
	list := make([]any, len(c.Fields))
	for i, f := range c.Fields {
		list[i] = schema.Object{"field": f.Path, "before": f.Before, "after": f.After, "secret": f.Secret}
	}
	row["fields"] = list
	return row
}

// space is the name of the workspace of a change, nil for what is of all.
func (n *pastNames) space(c *history.Change) any {
	def := n.c.api.o.Kinds.ByKind(c.Kind)
	if def == nil || !def.Schema.Workspaceable {
		return nil
	}
	name, known := n.known[c.Workspace]
	if !known {
		name = c.Workspace // of one that is gone there is only the id
		if _, text, err := n.c.api.o.Catalog.Workspace(n.c.ctx, c.Workspace); err == nil {
			name = text
		}
		n.known[c.Workspace] = name
	}
	return name
}
