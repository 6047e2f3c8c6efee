package admin

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// route finds the endpoint of the path. A path that is none by itself may have the name or
// id of a workspace in front.
func (c *call) route(t *table) (e *endpoint, found bool) {
	path := c.r.URL.EscapedPath()
	if e, c.values, found = t.find(path); found {
		c.pattern = e.pattern
		return e, true
	}
	prefix, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	name, err := url.PathUnescape(prefix)
	if err != nil || name == "" || rest == "" || !strings.HasPrefix(path, "/") {
		return nil, false
	}
	if rest == "kong" { // what GET / is to clients that have a workspace
		rest = ""
	}
	if e, c.values, found = t.find("/" + rest); found {
		c.prefix, c.pattern = name, e.pattern
	}
	return e, found
}

// enter looks for the workspace that the path begins with.
func (c *call) enter() error {
	if c.prefix == "" {
		return nil
	}
	id, name, err := c.api.o.Catalog.Workspace(c.ctx, c.prefix)
	if errors.Is(err, catalog.ErrNotFound) {
		c.space = c.prefix
		return refuse(http.StatusNotFound, "Workspace '"+c.prefix+"' not found")
	}
	c.workspace, c.space = id, name
	return err //nolint:wrapcheck // fail logs it with the path
}

// use tells what the request is about, in which workspace. What is no workspace's own is
// written by those who may write all of them.
func (c *call) use(e *endpoint) access.Use {
	u := useOf(c.r, e)
	u.Workspace = c.space
	if e == nil {
		return u
	}
	first, rest, _ := strings.Cut(strings.TrimPrefix(e.pattern, "/"), "/")
	def := c.api.o.Kinds.ByCollection(first)
	switch {
	case def == nil:
		if c.space != "" && scoped(e.pattern, u.Action) {
			u.Area = access.Entities // of the workspace alone
		}
	case def.Kind() == kindWorkspaces:
		if c.space != "" && rest == strings.TrimPrefix(item(def), "/") && c.values[0] == c.space && u.Action == access.Read {
			u.Area = access.Entities // clients ask so whether their workspace is there
		}
	case u.Area == access.Entities && !def.Schema.Workspaceable && u.Action != access.Read:
		u.Area = access.Configuration
	}
	return u
}

// catalog is the configuration of the workspace that the path is about.
func (c *call) catalog() catalog.API {
	if c.workspace == "" {
		return c.api.o.Catalog
	}
	return c.api.o.Catalog.In(c.workspace)
}

// spaces returns what the catalog calls all workspaces.
func (a *API) spaces(c *call) ([]string, error) {
	def := a.o.Kinds.ByKind(kindWorkspaces)
	if def == nil {
		return []string{""}, nil
	}
	var out []string
	err := each(c, a.o.Catalog, def, catalog.ListOptions{}, func(e schema.Object) error {
		id, _ := e["id"].(string)
		space, _, err := a.o.Catalog.Workspace(c.ctx, id)
		out = append(out, space)
		return err //nolint:wrapcheck // each's caller says what it was about
	})
	return out, err
}

// each calls fn for all entities that o selects.
func each(c *call, in catalog.API, def *entity.Def, o catalog.ListOptions, fn func(e schema.Object) error) error {
	o.Size = maxPageSize
	for {
		page, err := in.List(c.ctx, def, o)
		if err != nil {
			return err //nolint:wrapcheck // fail makes the answer of it
		}
		for _, e := range page.Entities {
			if err := fn(e); err != nil {
				return err
			}
		}
		if o.Offset = page.Next; page.Next == "" {
			return nil
		}
	}
}

// addWorkspaces adds what workspaces have besides the paths of all kinds.
func (a *API) addWorkspaces() {
	def := a.o.Kinds.ByKind(kindWorkspaces)
	if def == nil || def.Schema.NoAdmin {
		return
	}
	a.table.get("/"+def.Schema.Collection()+item(def)+"/meta", func(c *call) (answer, error) {
		o, err := c.find(def, c.values[0])
		if err != nil {
			return answer{}, err
		}
		id, _ := o["id"].(string)
		space, _, err := a.o.Catalog.Workspace(c.ctx, id)
		if err != nil {
			return answer{}, err //nolint:wrapcheck // fail makes the answer of it
		}
		counts, err := a.o.Catalog.In(space).Counts(c.ctx)
		if err != nil {
			return answer{}, err //nolint:wrapcheck // fail makes the answer of it
		}
		return ok(schema.Object{"counts": counts})
	})
}

// deleteWorkspace removes a workspace that has no entities, or with cascade=true any.
func deleteWorkspace(c *call) (answer, error) {
	cascade := false
	switch text := c.r.URL.Query().Get("cascade"); text {
	case "", "false":
	case "true":
		cascade = true
	default:
		return answer{}, refuse(http.StatusBadRequest, "cascade: expected true or false")
	}
	w, err := c.api.o.Catalog.DeleteWorkspace(c.ctx, keyOf(c.values[0]), cascade)
	switch {
	case errors.Is(err, catalog.ErrNotEmpty):
		return answer{}, refuse(http.StatusBadRequest, "Workspace is not empty")
	case errors.Is(err, catalog.ErrDefaultWorkspace):
		return answer{}, refuse(http.StatusBadRequest, "Cannot delete default workspace")
	case err != nil:
		return answer{}, err //nolint:wrapcheck // fail makes the answer of it
	}
	return c.wrote(w.Position, answer{status: http.StatusNoContent})
}
