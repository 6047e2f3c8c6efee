package catalog

import (
	"bytes"
	"errors"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// listJSON lists as List does, without decoding more of an entity than what it is selected
// by: most of the time of a long list goes there.
func (c *Catalog) listJSON(tx store.Tx, k *kind, o *ListOptions, size int, after string) (page Page, err error) {
	l := jsonList{c: c, tx: tx, k: k, o: o, size: size, after: after, peeked: k.selectors(o)}
	l.page.JSON = make([]byte, 0, 1<<16)
	l.page.Ends = make([]End, 0, min(size, DefaultPageSize))
	if k.listsAll(o) && c.workspace == defaultWorkspace {
		var failed error
		err := tx.List(k.name, after, everything, func(id string, body []byte) bool {
			var more bool
			more, failed = l.add(id, body)
			return more
		})
		return l.page, errors.Join(err, failed)
	}
	for {
		ids, err := c.ids(tx, k, o, l.after, size+1)
		if err != nil {
			return l.page, err
		}
		for _, id := range ids {
			body, err := tx.Get(k.name, id)
			if err != nil {
				return l.page, err
			}
			if more, err := l.add(id, body); !more || err != nil {
				return l.page, err
			}
		}
		if len(ids) <= size {
			return l.page, nil
		}
	}
}

// listsAll tells whether a list selects nothing but the workspace.
func (k *kind) listsAll(o *ListOptions) bool {
	return o.Scope.Field == "" && len(o.Tags) == 0 && o.NameContains == ""
}

// jsonList is a page that grows.
type jsonList struct {
	c      *Catalog
	tx     store.Tx
	k      *kind
	o      *ListOptions
	size   int
	peeked []string
	after  string // the last entity that was looked at
	n      int
	page   Page
}

// add adds an entity that is selected, and tells whether more may follow.
func (l *jsonList) add(id string, body []byte) (more bool, err error) {
	if !l.selects(body) {
		l.after = id
		return true, nil
	}
	if l.n == l.size {
		l.page.Next = makeOffset(l.after)
		return false, nil
	}
	l.after = id
	if l.n++; l.n > 1 {
		l.page.JSON = append(l.page.JSON, ',')
	}
	if l.page.JSON, err = l.c.appendJSON(l.tx, l.k, l.page.JSON, body); err != nil {
		return false, err
	}
	l.page.Ends = append(l.page.Ends, End{id, len(l.page.JSON)})
	return true, nil
}

func (l *jsonList) selects(body []byte) bool {
	if len(l.peeked) == 0 {
		return true
	}
	if len(l.peeked) == 1 && l.peeked[0] == schema.WorkspaceID && l.c.workspace == defaultWorkspace && !bytes.Contains(body, spaceMark) {
		return true // the nearly only case is fast
	}
	some := schema.Peek(body, l.peeked...)
	return l.k.in(some, l.c.workspace) && l.k.matches(l.o, some)
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
