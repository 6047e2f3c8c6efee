package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Restored is an entity as it was: in its stored form, or nil for one that was not there.
type Restored struct {
	Kind, ID string
	Body     []byte
}

// RestoreError says which entity can't be what it was, and why.
type RestoreError struct {
	Kind, ID string
	Err      error
}

func (e *RestoreError) Error() string { return fmt.Sprintf("%s %s: %v", e.Kind, e.ID, e.Err) }

// Unwrap returns the cause.
func (e *RestoreError) Unwrap() error { return e.Err }

// Restore implements API.
func (c *Catalog) Restore(ctx context.Context, summary string, what func(tx store.Tx) ([]Restored, error)) (p store.Position, changed int, err error) {
	p, err = c.o.Store.Update(ctx, store.Info{Summary: summary, RemovalIntended: true}, func(tx store.WriteTx) error {
		list, err := what(tx)
		if err != nil {
			return err
		}
		r := &restoring{c: c, tx: tx, list: map[*kind][]*restored{}}
		if err := r.take(list); err != nil {
			return err
		}
		changed = len(list)
		return r.run()
	})
	if err != nil {
		return p, 0, err
	}
	return p, changed, nil
}

// restoring is one Restore. Unlike other writes it does not care for an order in which all
// of them are allowed: what there was together is there together again.
type restoring struct {
	c    *Catalog
	tx   store.WriteTx
	list map[*kind][]*restored
}

type restored struct {
	Restored

	o schema.Object // nil when there is to be none
}

// take decodes and judges what there is to be.
func (r *restoring) take(list []Restored) error {
	for _, e := range list {
		k := r.c.byName[e.Kind]
		if k == nil {
			return &RestoreError{e.Kind, e.ID, errors.New("this control plane does not know the kind any more")}
		}
		one := &restored{Restored: e}
		if e.Body != nil {
			o, err := k.schema.Decode(e.Body)
			if err != nil {
				return &RestoreError{e.Kind, e.ID, err}
			}
			if !r.c.ended(k, o) {
				one.o = o
				if err := r.judge(k, o); err != nil {
					return &RestoreError{e.Kind, e.ID, err}
				}
			}
		}
		r.list[k] = append(r.list[k], one)
	}
	return nil
}

// judge tells whether an entity is still one that the schema and the nodes accept.
func (r *restoring) judge(k *kind, o schema.Object) error {
	in := schema.Clone(o)
	delete(in, schema.WorkspaceID)
	delete(in, schema.ExpiresAt)
	if _, err := k.schema.Process(in, schema.DeclareStored, nil); err != nil {
		return err
	}
	return r.c.check(k, o)
}

func (r *restoring) run() error {
	// Everything that changes goes first, so that nothing stands in the way of a unique
	// value.
	for _, k := range slices.Backward(r.c.kinds) {
		for _, e := range r.list[k] {
			if err := r.remove(k, e.ID); err != nil {
				return &RestoreError{k.name, e.ID, err}
			}
		}
	}
	for _, k := range r.c.kinds {
		for _, e := range r.list[k] {
			if e.o == nil {
				continue
			}
			if err := k.putBody(r.tx, e.o, e.Body); err != nil {
				return &RestoreError{k.name, e.ID, err}
			}
		}
	}
	if err := r.workspaces(); err != nil {
		return err
	}
	for _, k := range r.c.kinds {
		for _, e := range r.list[k] {
			check := r.references
			if e.o == nil {
				check = r.unreferenced
			}
			if err := check(k, e); err != nil {
				return &RestoreError{k.name, e.ID, err}
			}
		}
	}
	return nil
}

func (r *restoring) remove(k *kind, id string) error {
	remove := r.tx.Delete
	if k.local {
		remove = r.tx.DeleteLocal
	}
	if err := remove(k.name, id); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}

// references tells whether what an entity refers to is there.
func (r *restoring) references(k *kind, e *restored) error {
	in := r.c.in(k.workspace(e.o))
	for _, f := range k.foreign {
		id := refID(e.o, f.field)
		if id == "" {
			continue
		}
		if err := in.reachable(r.tx, f.target, id); errors.Is(err, store.ErrNotFound) {
			return foreignKeyViolation(f.field, f.target.name, id)
		} else if err != nil {
			return err
		}
	}
	return in.checkOrdering(r.tx, k, e.o)
}

// unreferenced tells whether nothing refers to an entity that is gone. What nodes have
// written goes along with it.
func (r *restoring) unreferenced(k *kind, e *restored) error {
	for _, s := range k.softReferrers {
		ids, err := scanAll(r.tx, s.index, e.ID)
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			return stillReferenced(e.ID, s.kind.name, ids[0])
		}
	}
	for _, f := range k.referrers {
		ids, err := scanAll(r.tx, f.index, e.ID)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !f.kind.schema.Runtime {
				return referencedBy(k.name, f.kind.name)
			}
			if err := r.c.remove(r.tx, f.kind, id); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
	}
	return nil
}

func scanAll(tx store.Tx, index, key string) (ids []string, err error) {
	err = tx.Scan(index, key, "", everything, func(id string) bool {
		ids = append(ids, id)
		return true
	})
	return ids, err
}

// workspaces makes and removes those whose names came and went. The log has no more of
// them: what people wrote about one that was deleted is lost.
func (r *restoring) workspaces() error {
	names, k := r.c.byName[kindWorkspaceNames], r.c.byName[kindWorkspaces]
	if names == nil || k == nil {
		return nil
	}
	for _, e := range r.list[names] {
		_, err := k.load(r.tx, e.ID)
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		case e.o == nil && err == nil:
			if err := r.c.in(e.ID).clear(r.tx, false); err != nil {
				return &RestoreError{k.name, e.ID, err}
			}
			if err := r.remove(k, e.ID); err != nil {
				return err
			}
		case e.o != nil && err != nil:
			o, err := k.schema.Process(schema.Object{"id": e.ID, "name": e.o["name"]}, schema.Insert, nil)
			if err == nil {
				err = k.put(r.tx, o)
			}
			if err != nil {
				return &RestoreError{k.name, e.ID, err}
			}
		}
	}
	return nil
}
