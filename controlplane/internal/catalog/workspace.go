package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const defaultName = "default"

// reservedNames begin paths of the Admin API that are about no kind: a workspace of that
// name could not be told from them.
var reservedNames = map[string]bool{ //nolint:gochecknoglobals // a constant
	"admin-tokens": true, "audit": true, "cache": true, "clustering": true, "config": true, "debug": true, "endpoints": true, "history": true, "kong": true, "metrics": true,
	"openapi.json": true, "schemas": true, "status": true, "timers": true, "tokens": true,
}

// In implements API.
func (c *Catalog) In(workspace string) API { return c.in(workspace) }

func (c *Catalog) in(workspace string) *Catalog {
	if workspace == c.workspace {
		return c
	}
	other := *c
	other.workspace = workspace
	return &other
}

// Workspace implements API.
func (c *Catalog) Workspace(_ context.Context, nameOrID string) (id, name string, err error) {
	k := c.byName[kindWorkspaces]
	if k == nil {
		return "", "", ErrNotFound
	}
	err = c.o.Store.View(func(tx store.Tx) error {
		o, err := c.findWorkspace(tx, k, nameOrID)
		if err == nil {
			id = spaceOf(k, o)
			name, _ = o["name"].(string)
		}
		return err
	})
	return id, name, err
}

func (c *Catalog) findWorkspace(tx store.Tx, k *kind, nameOrID string) (schema.Object, error) {
	id, err := tx.Lookup(k.name+".name", indexKey(allWorkspaces, nameOrID))
	if errors.Is(err, store.ErrNotFound) {
		id = nameOrID
	} else if err != nil {
		return nil, err
	}
	o, err := k.load(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNotFound
	}
	return o, err
}

// spaceOf returns what the entities of a workspace say of it.
func spaceOf(k *kind, workspace schema.Object) string {
	if workspace["name"] == defaultName {
		return defaultWorkspace
	}
	return k.id(workspace)
}

// EnsureWorkspace returns the id for In of the workspace of a name. When there is none it
// is made.
func (c *Catalog) EnsureWorkspace(ctx context.Context, name string) (id string, err error) {
	if c.byName[kindWorkspaces] == nil {
		return "", ErrNotFound
	}
	if id, _, err := c.Workspace(ctx, name); !errors.Is(err, ErrNotFound) {
		return id, err
	}
	_, err = c.o.Store.Update(ctx, store.Info{Summary: "workspace " + name}, func(tx store.WriteTx) error {
		id, err = c.ensureWorkspace(tx, name)
		return err
	})
	return id, err
}

func (c *Catalog) ensureWorkspace(tx store.WriteTx, name string) (id string, err error) {
	k := c.byName[kindWorkspaces]
	if k == nil {
		return "", ErrNotFound
	}
	o, err := c.findWorkspace(tx, k, name)
	if err == nil {
		return spaceOf(k, o), nil
	}
	if !errors.Is(err, ErrNotFound) {
		return "", err
	}
	if o, err = k.schema.Process(schema.Object{"name": name}, schema.Insert, nil); err != nil {
		return "", err
	}
	if err := c.checkWorkspace(k, o, nil, false); err != nil {
		return "", err
	}
	if err := k.put(tx, o); err != nil {
		return "", err
	}
	return spaceOf(k, o), c.announce(tx, k, o)
}

// announce tells data planes the name of a workspace.
func (c *Catalog) announce(tx store.WriteTx, k *kind, workspace schema.Object) error {
	names, id := c.byName[kindWorkspaceNames], spaceOf(k, workspace)
	if names == nil || id == defaultWorkspace {
		return nil
	}
	o := schema.Object{"id": id, "name": workspace["name"]}
	told, err := names.load(tx, id)
	if err == nil && told["name"] == o["name"] || err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return names.put(tx, o)
}

func (c *Catalog) makeWorkspace(ctx context.Context) error {
	if c.byName[kindWorkspaces] == nil {
		return nil
	}
	if _, err := c.EnsureWorkspace(ctx, defaultName); err != nil {
		return fmt.Errorf("make default workspace: %w", err)
	}
	return nil
}

// checkWorkspace refuses names that paths of the Admin API have, and new names of the
// default workspace and, in a partial update, of any.
func (c *Catalog) checkWorkspace(k *kind, o, stored schema.Object, partial bool) error {
	name, _ := o["name"].(string)
	taken := reservedNames[name]
	for _, other := range c.kinds {
		taken = taken || !other.schema.NoAdmin && other.schema.Collection() == name
	}
	switch {
	case taken:
		return schema.Violate("name", "must not be a path of the Admin API: "+name)
	case stored == nil || stored["name"] == name:
		return nil
	case spaceOf(k, stored) == defaultWorkspace:
		return schema.Violate("name", "cannot rename the default workspace")
	case partial:
		return schema.Violate("name", "cannot rename a workspace")
	}
	return nil
}

// place puts a new entity into the workspace.
func (c *Catalog) place(k *kind, o schema.Object) {
	if k.spaced && c.workspace != defaultWorkspace {
		o[schema.WorkspaceID] = c.workspace
	}
}

// vacant refuses an id that an entity of whichever workspace has.
func (c *Catalog) vacant(tx store.Tx, k *kind, id string) error {
	switch _, err := tx.Get(k.name, id); {
	case err == nil:
		return primaryKeyViolation(k.pk, id)
	case errors.Is(err, store.ErrNotFound):
		return nil
	default:
		return err
	}
}

// reachable looks for what a reference of the workspace leads to, and returns
// store.ErrNotFound when it is not there.
func (c *Catalog) reachable(tx store.Tx, target *kind, id string) error {
	body, err := tx.Get(target.name, id)
	if err != nil || !target.spaced {
		return err
	}
	if c.workspace == defaultWorkspace && !bytes.Contains(body, spaceMark) {
		return nil // the nearly only case is fast
	}
	o, err := target.schema.Decode(body)
	if err != nil {
		return err
	}
	if !target.in(o, c.workspace) {
		return store.ErrNotFound
	}
	return nil
}

// owns tells whether a stored body is one that a Replace of the workspace may remove.
func (c *Catalog) owns(k *kind, body []byte) (bool, error) {
	switch {
	case !k.spaced:
		return c.workspace == defaultWorkspace, nil
	case !bytes.Contains(body, spaceMark):
		return c.workspace == defaultWorkspace, nil
	}
	o, err := k.schema.Decode(body)
	return err == nil && k.in(o, c.workspace), err
}

// elsewhereReferenced refuses to take away what lists of another workspace need.
func (c *Catalog) elsewhereReferenced(tx store.Tx, k *kind, id string) error {
	for _, s := range k.softReferrers {
		var ids []string
		if err := tx.Scan(s.index, id, "", everything, func(id string) bool {
			ids = append(ids, id)
			return true
		}); err != nil {
			return err
		}
		for _, other := range ids {
			o, err := s.kind.load(tx, other)
			if err != nil {
				return err
			}
			if !s.kind.in(o, c.workspace) {
				return stillReferenced(id, s.kind.name, other)
			}
		}
	}
	return nil
}

// spaceMark is what a body has in it when it says its workspace. In texts the quotes
// would be escaped.
var spaceMark = []byte(`"` + schema.WorkspaceID + `":`) //nolint:gochecknoglobals // a constant

// Counts implements API.
func (c *Catalog) Counts(_ context.Context) (map[string]int, error) {
	counts := map[string]int{}
	err := c.o.Store.View(func(tx store.Tx) error {
		for _, k := range c.kinds {
			if !k.spaced || k.local {
				continue
			}
			n, err := c.count(tx, k, everything)
			if err != nil {
				return err
			}
			counts[k.name] = n
		}
		return nil
	})
	return counts, err
}

// count returns how many entities of a kind the workspace has, but at most limit.
func (c *Catalog) count(tx store.Tx, k *kind, limit int) (n int, err error) {
	if c.workspace != defaultWorkspace {
		err = tx.Scan(workspaceIndex(k.name), c.workspace, "", limit, func(string) bool {
			n++
			return true
		})
		return n, err
	}
	err = tx.List(k.name, "", everything, func(_ string, body []byte) bool {
		if bytes.Contains(body, spaceMark) {
			o, err := k.schema.Decode(body)
			if err == nil && !k.in(o, defaultWorkspace) {
				return true
			}
		}
		n++
		return n < limit
	})
	return n, err
}

// DeleteWorkspace implements API.
func (c *Catalog) DeleteWorkspace(ctx context.Context, key Key, cascade bool) (w Written, err error) {
	k := c.byName[kindWorkspaces]
	if k == nil {
		return w, ErrNotFound
	}
	w.Position, err = c.o.Store.Update(ctx, store.Info{Summary: "delete " + k.name, RemovalIntended: cascade}, func(tx store.WriteTx) error {
		o, err := c.find(tx, k, key, Scope{})
		if errors.Is(err, ErrNotFound) {
			return key.allows(nil)
		}
		if err != nil {
			return err
		}
		w.Before = k.schema.Read(o)
		if err := key.allows(w.Before); err != nil {
			return err
		}
		space := spaceOf(k, o)
		if space == defaultWorkspace {
			return ErrDefaultWorkspace
		}
		if err := c.in(space).clear(tx, cascade); err != nil {
			return err
		}
		if names := c.byName[kindWorkspaceNames]; names != nil {
			if err := c.remove(tx, names, space); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		return c.remove(tx, k, k.id(o))
	})
	return w, err
}

// clear removes what the workspace has, or refuses to when there is something.
func (c *Catalog) clear(tx store.WriteTx, cascade bool) error {
	for _, k := range slices.Backward(c.kinds) { // those that refer to others first
		if !k.spaced {
			continue
		}
		var ids []string
		if err := tx.Scan(workspaceIndex(k.name), c.workspace, "", everything, func(id string) bool {
			ids = append(ids, id)
			return cascade
		}); err != nil {
			return err
		}
		if len(ids) > 0 && !cascade {
			return ErrNotEmpty
		}
		for _, id := range ids {
			if err := c.remove(tx, k, id); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
	}
	return nil
}
