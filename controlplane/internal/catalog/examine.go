package catalog

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
)

// Examine looks through all entities of a store and calls found for each that is no JSON
// object, has another id than it is stored under, or refers to what is not there.
func Examine(tx store.Tx, kinds *entity.Kinds, found func(problem string)) error {
	all, _, err := compileKinds(kinds.All())
	if err != nil {
		return err
	}
	for _, k := range all {
		var failed error
		err := tx.List(k.name, "", int(^uint(0)>>1), func(id string, body []byte) bool {
			failed = examine(tx, k, id, body, found)
			return failed == nil
		})
		if err := errors.Join(err, failed); err != nil {
			return fmt.Errorf("read %s: %w", k.name, err)
		}
	}
	return nil
}

func examine(tx store.Tx, k *kind, id string, body []byte, found func(problem string)) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		found(fmt.Sprintf("%s %s is no JSON object: %v", k.name, id, err))
		return nil
	}
	var own string
	if json.Unmarshal(fields[k.pk], &own) != nil || own != id {
		found(fmt.Sprintf("%s %s has %s as its %s", k.name, id, fields[k.pk], k.pk))
	}
	for _, r := range k.foreign {
		raw := fields[r.field]
		if len(raw) == 0 || string(raw) == "null" {
			continue
		}
		var to struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(raw, &to) != nil || to.ID == "" {
			found(fmt.Sprintf("%s %s has no reference in %s", k.name, id, r.field))
			continue
		}
		_, err := tx.Get(r.target.name, to.ID)
		if errors.Is(err, store.ErrNotFound) {
			found(fmt.Sprintf("%s %s refers to %s %s in %s, which is not there", k.name, id, r.target.name, to.ID, r.field))
		} else if err != nil {
			return err
		}
	}
	return nil
}
