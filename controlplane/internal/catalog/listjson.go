package catalog

import (
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// listJSON lists as List does, without decoding more of an entity than what it is selected
// by: most of the time of a long list goes there.
func (c *Catalog) listJSON(tx store.Tx, k *kind, o *ListOptions, size int, after string) (page Page, err error) {
	peeked := k.selectors(o)
	page.JSON = make([]byte, 0, 1<<16)
	page.Ends = make([]End, 0, min(size, DefaultPageSize))
	for n := 0; ; {
		ids, err := c.ids(tx, k, o, after, size+1)
		if err != nil {
			return page, err
		}
		for _, id := range ids {
			body, err := tx.Get(k.name, id)
			if err != nil {
				return page, err
			}
			if len(peeked) > 0 {
				if some := schema.Peek(body, peeked...); !k.in(some, c.workspace) || !k.matches(o, some) {
					after = id
					continue
				}
			}
			if n == size {
				page.Next = makeOffset(after)
				return page, nil
			}
			after = id
			if n++; n > 1 {
				page.JSON = append(page.JSON, ',')
			}
			if page.JSON, err = c.appendJSON(tx, k, page.JSON, body); err != nil {
				return page, err
			}
			page.Ends = append(page.Ends, End{id, len(page.JSON)})
		}
		if len(ids) <= size {
			return page, nil
		}
	}
}

// appendJSON appends an entity as answers show it.
func (c *Catalog) appendJSON(tx store.Tx, k *kind, to, body []byte) ([]byte, error) {
	if out, ok := k.schema.AppendAnswer(to, body); ok {
		return out, nil
	}
	stored, err := k.schema.Decode(body)
	if err != nil {
		return to, err
	}
	shown, err := c.show(tx, k, stored)
	if err != nil {
		return to, err
	}
	return schema.AppendJSON(to, shown)
}

// selectors are the members of an entity by which a list selects.
func (k *kind) selectors(o *ListOptions) []string {
	var out []string
	if k.spaced {
		out = append(out, schema.WorkspaceID)
	}
	if o.Scope.Field != "" {
		out = append(out, o.Scope.Field)
	}
	if len(o.Tags) > 0 {
		out = append(out, fieldTags)
	}
	if o.NameContains != "" {
		out = append(out, k.named()...)
	}
	return out
}
