package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// upgradeBatch bounds how many entities one call of Upgrade brings into a better form: a
// password takes tens of milliseconds, which must not fill a core for long.
const upgradeBatch = 16

// outdatedIndex holds under an empty key the entities that are in a form which there is a
// better one of.
func outdatedIndex(kind string) string { return kind + ".outdated" }

// Upgrade brings some entities into a better form, such as passwords that were imported
// as weak hashes, and tells how many there were. The work is done outside of the
// transaction; what has changed in between is left for the next call.
func (c *Catalog) Upgrade(ctx context.Context) (int, error) {
	type better struct {
		kind *kind
		id   string
		was  []byte
		now  schema.Object
	}
	var list []better
	err := c.o.Store.View(func(tx store.Tx) error {
		for _, k := range c.kinds {
			if k.schema.Outdated == nil {
				continue
			}
			var ids []string
			if err := tx.Scan(outdatedIndex(k.name), "", "", upgradeBatch-len(list), func(id string) bool {
				ids = append(ids, id)
				return true
			}); err != nil {
				return err
			}
			for _, id := range ids {
				body, err := tx.Get(k.name, id)
				if err != nil {
					return err
				}
				list = append(list, better{kind: k, id: id, was: bytes.Clone(body)})
			}
		}
		return nil
	})
	if err != nil || len(list) == 0 {
		return 0, err
	}
	for i := range list {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		o, err := list[i].kind.schema.Decode(list[i].was)
		if err != nil {
			return 0, err
		}
		list[i].now = list[i].kind.schema.Upgrade(o)
	}
	_, err = c.o.Store.Update(ctx, store.Info{Summary: "upgrade of stored passwords"}, func(tx store.WriteTx) error {
		for _, b := range list {
			body, err := tx.Get(b.kind.name, b.id)
			if errors.Is(err, store.ErrNotFound) || err == nil && !bytes.Equal(body, b.was) {
				continue
			}
			if err != nil {
				return err
			}
			if err := b.kind.put(tx, b.now); err != nil {
				return fmt.Errorf("upgrade %s %s: %w", b.kind.name, b.id, err)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(list), nil
}
