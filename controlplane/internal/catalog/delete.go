package catalog

import (
	"context"
	"errors"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Delete implements API.
func (c *Catalog) Delete(ctx context.Context, def *entity.Def, key Key, scope Scope) (w Written, err error) {
	k, err := c.kind(def)
	if err != nil {
		return w, err
	}
	if k.name == kindWorkspaces {
		return c.DeleteWorkspace(ctx, key, false)
	}
	w.Position, err = c.o.Store.Update(ctx, store.Info{Summary: "delete " + k.name}, func(tx store.WriteTx) error {
		o, err := c.find(tx, k, key, scope)
		if errors.Is(err, ErrNotFound) {
			if scope.Field == "" {
				return key.allows(nil)
			}
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if w.Before, err = c.show(tx, k, o); err != nil {
			return err
		}
		if err := key.allows(w.Before); err != nil {
			return err
		}
		return c.remove(tx, k, k.id(o))
	})
	return w, err
}

// DeleteAll implements API.
func (c *Catalog) DeleteAll(ctx context.Context, def *entity.Def, scope Scope) (w Written, err error) {
	k, err := c.kind(def)
	if err != nil {
		return w, err
	}
	w.Position, err = c.o.Store.Update(ctx, store.Info{Summary: "delete " + k.name}, func(tx store.WriteTx) error {
		ids, err := c.ids(tx, k, &ListOptions{Scope: scope}, "", everything)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := c.find(tx, k, Key{ID: id}, scope); errors.Is(err, ErrNotFound) {
				continue // of another workspace, or removed with one before
			} else if err != nil {
				return err
			}
			if err := c.remove(tx, k, id); err != nil {
				return err
			}
		}
		return nil
	})
	return w, err
}

// remove deletes an entity, and does with what refers to it as the schema says.
func (c *Catalog) remove(tx store.WriteTx, k *kind, id string) error {
	for _, s := range k.softReferrers {
		other := ""
		if err := tx.Scan(s.index, id, "", 1, func(id string) bool {
			other = id
			return false
		}); err != nil {
			return err
		}
		if other != "" {
			return stillReferenced(id, s.kind.name, other)
		}
	}
	for _, r := range k.referrers {
		var ids []string
		if err := tx.Scan(r.index, id, "", everything, func(id string) bool {
			ids = append(ids, id)
			return true
		}); err != nil {
			return err
		}
		if len(ids) == 0 {
			continue
		}
		for _, other := range ids {
			var err error
			switch r.onDelete {
			case onDeleteCascade:
				err = c.remove(tx, r.kind, other)
			case onDeleteNull:
				err = r.kind.clear(tx, other, r.field)
			default:
				err = referencedBy(k.name, r.kind.name)
			}
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
	}
	if k.local {
		return tx.DeleteLocal(k.name, id)
	}
	return tx.Delete(k.name, id)
}

// clear takes a reference out of an entity.
func (k *kind) clear(tx store.WriteTx, id, field string) error {
	o, err := k.load(tx, id)
	if err != nil {
		return err
	}
	o, err = k.schema.Process(schema.Object{field: nil}, schema.Update, o)
	if err != nil {
		return err
	}
	return k.put(tx, o)
}
