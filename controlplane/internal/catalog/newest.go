package catalog

import (
	"sort"
	"strconv"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// newest lists what a scope holds in the order of age, the youngest first. Its offsets are
// numbers, as Kong's. It reads the whole scope, which must be small.
func (c *Catalog) newest(tx store.Tx, k *kind, o *ListOptions, size int) (page Page, err error) {
	start := 0
	if o.Offset != "" {
		if start, err = strconv.Atoi(o.Offset); err != nil || start < 0 {
			return page, invalidOffset(o.Offset, "not a number")
		}
	}
	ids, err := c.ids(tx, k, o, "", everything)
	if err != nil {
		return page, err
	}
	all := make([]schema.Object, 0, len(ids))
	for _, id := range ids {
		stored, err := k.load(tx, id)
		if err != nil {
			return page, err
		}
		if c.ended(k, stored) || !k.in(stored, c.workspace) || !k.matches(o, stored) {
			continue
		}
		all = append(all, stored)
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := age(all[i]), age(all[j])
		if a != b {
			return a > b
		}
		return k.id(all[i]) > k.id(all[j])
	})
	page.Entities = []schema.Object{}
	for _, stored := range all[min(start, len(all)):min(start+size, len(all))] {
		shown, err := c.show(tx, k, stored)
		if err != nil {
			return page, err
		}
		page.Entities = append(page.Entities, shown)
	}
	if start+size < len(all) {
		page.Next = strconv.Itoa(start + size)
	}
	return page, nil
}

// age is when an entity was made, in seconds since 1970.
func age(o schema.Object) float64 {
	switch at := o["created_at"].(type) {
	case int64:
		return float64(at)
	case float64:
		return at
	}
	return 0
}
