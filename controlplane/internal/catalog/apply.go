package catalog

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// ChangeOp says what a Change does. The zero value is invalid.
type ChangeOp uint8

// Operations of a Change.
const (
	// InsertChange makes a new entity.
	InsertChange ChangeOp = iota + 1
	// UpdateChange merges into an entity that must be there.
	UpdateChange
	// DeleteChange removes an entity that must be there.
	DeleteChange
)

// Change is one of several writes that are done together.
type Change struct {
	Op  ChangeOp
	Def *entity.Def
	// ID of the entity; "" leaves it to the body or to chance, for InsertChange only.
	ID string
	// In is what was given; nil for DeleteChange.
	In schema.Object
}

// Apply makes changes in one transaction, all of them or none. An entity to update or
// delete that is not there, or has ended, is ErrNotFound: of several that want to delete
// the same one, one succeeds. Each change is made in the workspace of the entity, or else
// of what it refers to: who asks need not know it.
func (c *Catalog) Apply(ctx context.Context, changes []Change) (store.Position, error) {
	at, refused := c.ApplyEach(ctx, [][]Change{changes})
	return at, refused[0]
}

// ApplyEach does for several lists of changes what Apply does for one, in one transaction:
// a list that is refused leaves no trace, and the others are made without it. There is
// an error, or nil, for each.
func (c *Catalog) ApplyEach(ctx context.Context, lists [][]Change) (at store.Position, refused []error) {
	refused = make([]error, len(lists))
	for left := len(lists); left > 0; left-- {
		bad := -1
		at, err := c.o.Store.Update(ctx, store.Info{Summary: "changes of nodes"}, func(tx store.WriteTx) error {
			for i := range lists {
				if refused[i] != nil {
					continue
				}
				if err := c.applyList(tx, lists[i]); err != nil {
					bad = i
					return err
				}
			}
			return nil
		})
		switch {
		case bad >= 0:
			refused[bad] = err
		case err != nil: // the store failed, for all of them
			for i := range refused {
				if refused[i] == nil {
					refused[i] = err
				}
			}
			return at, refused
		default:
			return at, refused
		}
	}
	return at, refused
}

func (c *Catalog) applyList(tx store.WriteTx, changes []Change) error {
	for i := range changes {
		k, err := c.kind(changes[i].Def)
		if err != nil {
			return err
		}
		space, err := c.spaceOfChange(tx, k, &changes[i])
		if err != nil {
			return err
		}
		if err := c.in(space).applyOne(tx, k, &changes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *Catalog) applyOne(tx store.WriteTx, k *kind, change *Change) error {
	switch change.Op {
	case DeleteChange:
		if _, err := c.find(tx, k, Key{ID: change.ID}, Scope{}); err != nil {
			return err
		}
		return c.remove(tx, k, change.ID)
	case InsertChange:
		in, err := c.references(tx, k, change.In)
		if err != nil {
			return err
		}
		if change.ID != "" {
			in[k.pk] = change.ID
		}
		_, err = c.insert(tx, k, in)
		return err
	case UpdateChange:
		stored, err := c.find(tx, k, Key{ID: change.ID}, Scope{})
		if err != nil {
			return err
		}
		in, err := c.references(tx, k, change.In)
		if err != nil {
			return err
		}
		o, err := k.schema.Process(in, schema.Update, stored)
		if err != nil {
			return err
		}
		o[k.pk] = k.id(stored)
		_, err = c.write(tx, k, o, in)
		return err
	default:
		return fmt.Errorf("change of %s has no operation", k.name)
	}
}

// spaceOfChange returns the workspace that a change is about.
func (c *Catalog) spaceOfChange(tx store.Tx, k *kind, change *Change) (string, error) {
	if change.Op != InsertChange {
		return c.spaceOfID(tx, k, change.ID)
	}
	for _, r := range k.foreign {
		if id := refID(change.In, r.field); id != "" && r.target.spaced {
			return c.spaceOfID(tx, r.target, id)
		}
	}
	return c.workspace, nil
}

// spaceOfID returns the workspace of an entity, and the catalog's for what is not there.
func (c *Catalog) spaceOfID(tx store.Tx, k *kind, id string) (string, error) {
	o, err := k.load(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return c.workspace, nil
	}
	if err != nil {
		return "", err
	}
	return k.workspace(o), nil
}
