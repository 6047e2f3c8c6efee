package history

import (
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Operations of a Change.
const (
	Created = "create"
	Updated = "update"
	Deleted = "delete"
)

// Change is what happened to an entity, or would.
type Change struct {
	Operation string
	Kind, ID  string
	// Name is what people call it, "" when it has none.
	Name string
	// Workspace by id, "" for the default one.
	Workspace string
	// Fields that changed, by their paths; all that are set of an entity that is new or gone.
	Fields []Field
}

// Field is a field that changed. Secrets are masked.
type Field struct {
	Path          string
	Before, After any
	// Secret tells that the values are not shown.
	Secret bool
}

// quiet fields change with every write and tell nothing.
var quiet = []string{"updated_at", "created_at", "id", schema.WorkspaceID} //nolint:gochecknoglobals // a constant

// Changes returns what a revision changed, in the order of kinds and ids. A workspace
// limits it as in List.
func (h *History) Changes(n uint64, workspace *string) (out []Change, r Revision, err error) {
	err = h.read(n, func(_ store.Tx, c *store.ChangeSet) error {
		changes, some := h.within(c, workspace)
		if !some {
			return ErrFuture // nothing of it is there, as far as the workspace can see
		}
		r = h.short(c, changes)
		for i := range changes {
			change := &changes[i]
			before := change.Before
			one := h.change(change.Kind, change.ID, before, change.Body)
			if !c.Reversible && change.Op == store.Put {
				one.Operation = "" // it is not known whether it was there
			}
			out = append(out, one)
		}
		return nil
	})
	return out, r, err
}

// Compare shows changes that have both bodies, such as those of a catalog.Preview.
func (h *History) Compare(changes []store.Change) []Change {
	out := make([]Change, len(changes))
	for i := range changes {
		c := &changes[i]
		out[i] = h.change(c.Kind, c.ID, c.Before, c.Body)
	}
	return out
}

// change compares two bodies of an entity; nil is none.
func (h *History) change(kind, id string, before, after []byte) Change {
	c := Change{Operation: Updated, Kind: kind, ID: id}
	was, is := h.object(kind, before), h.object(kind, after)
	shown := is
	switch {
	case before == nil:
		c.Operation = Created
	case after == nil:
		c.Operation, shown = Deleted, was
	}
	c.Name = nameOf(shown)
	c.Workspace, _ = shown[schema.WorkspaceID].(string)
	d := differ{}
	maskedWas, _ := h.o.Mask(kind, was)
	maskedIs, _ := h.o.Mask(kind, is)
	d.objects("", was, is, maskedWas, maskedIs)
	c.Fields = d.fields
	return c
}

// object decodes a body; of what can't be read there is nothing to show.
func (h *History) object(kind string, body []byte) schema.Object {
	if body == nil {
		return nil
	}
	decode := schema.DecodeObject
	if def := h.o.Kinds.ByKind(kind); def != nil {
		decode = def.Schema.Decode
	}
	o, err := decode(body)
	if err != nil {
		return nil
	}
	return o
}

// nameOf is what people call an entity.
func nameOf(o schema.Object) string {
	for _, field := range []string{"name", "username", "target", "prefix", "custom_id", "group"} {
		if name, ok := o[field].(string); ok && name != "" {
			return name
		}
	}
	return ""
}

// differ collects the fields in which objects differ. What is shown are masked copies.
type differ struct{ fields []Field }

func (d *differ) objects(path string, was, is, shownWas, shownIs schema.Object) {
	names := map[string]bool{}
	for name := range was {
		names[name] = true
	}
	for name := range is {
		names[name] = true
	}
	list := make([]string, 0, len(names))
	for name := range names {
		if path != "" || !slices.Contains(quiet, name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	for _, name := range list {
		at := name
		if path != "" {
			at = path + "." + name
		}
		d.values(at, was[name], is[name], shownWas[name], shownIs[name])
	}
}

func (d *differ) values(path string, was, is, shownWas, shownIs any) {
	if equal(was, is) {
		return
	}
	a, isObject := was.(schema.Object)
	b, wasObject := is.(schema.Object)
	if isObject && wasObject || isObject && is == nil || wasObject && was == nil {
		shownA, _ := shownWas.(schema.Object)
		shownB, _ := shownIs.(schema.Object)
		d.objects(path, a, b, shownA, shownB)
		return
	}
	d.fields = append(d.fields, Field{Path: path, Before: shownWas, After: shownIs, Secret: !equal(was, shownWas) || !equal(is, shownIs)})
}

func equal(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	x, errX := schema.EncodeJSON(a)
	y, errY := schema.EncodeJSON(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// Undo is what brings an entity back. Body is nil for one that was not there.
type Undo struct {
	Kind, ID string
	Body     []byte
}

// Undo returns what has to change for the configuration to be what it was at a revision,
// in the state that a transaction sees. What nodes write while they serve stays. A
// workspace limits it to what is in there. Its error is ErrFuture, a *GoneError, or the
// store's.
func (h *History) Undo(tx store.Tx, n uint64, workspace *string) ([]Undo, error) {
	head := tx.Position().Revision
	if n > head {
		return nil, ErrFuture
	}
	oldest, err := oldestKept(tx)
	if err != nil {
		return nil, err
	}
	oldest-- // the oldest change set leads from there
	if n < oldest {
		return nil, &GoneError{n, max(oldest, h.lastOneWay(tx, oldest))}
	}
	type key struct{ kind, id string }
	first := map[key][]byte{}
	var order []key
	oneWay := uint64(0)
	if err := forward(tx, n+1, head, func(c *store.ChangeSet) {
		if !c.Reversible {
			oneWay = c.To.Revision
			return
		}
		for i := range c.Changes {
			change := &c.Changes[i]
			k := key{change.Kind, change.ID}
			if _, known := first[k]; known || !h.undone(change.Kind, workspace) {
				continue
			}
			first[k] = slices.Clone(change.Before)
			order = append(order, k)
		}
	}); err != nil {
		return nil, fmt.Errorf("read change log: %w", err)
	}
	if oneWay > 0 {
		return nil, &GoneError{n, oneWay}
	}
	var out []Undo
	for _, k := range order {
		now, err := current(tx, k.kind, k.id)
		if err != nil {
			return nil, err
		}
		was := first[k]
		if string(now) == string(was) && (now == nil) == (was == nil) || !h.undoneIn(k.kind, now, was, workspace) {
			continue
		}
		out = append(out, Undo{k.kind, k.id, was})
	}
	return out, nil
}

// lastOneWay returns the newest revision that can't be gone behind, 0 for none.
func (h *History) lastOneWay(tx store.Tx, after uint64) (last uint64) {
	_ = forward(tx, after+1, tx.Position().Revision, func(c *store.ChangeSet) {
		if !c.Reversible {
			last = c.To.Revision
		}
	})
	return last
}

// undone tells whether entities of a kind are brought back.
func (h *History) undone(kind string, workspace *string) bool {
	def := h.o.Kinds.ByKind(kind)
	switch {
	case def == nil:
		return workspace == nil
	case workspace != nil:
		return def.Schema.Workspaceable && !def.Schema.Runtime
	}
	return !def.Schema.Runtime || def == entity.WorkspaceNames
}

// undoneIn tells whether an entity is in the workspace, now or then.
func (h *History) undoneIn(kind string, now, was []byte, workspace *string) bool {
	if workspace == nil {
		return true
	}
	body := now
	if body == nil {
		body = was
	}
	def := h.o.Kinds.ByKind(kind)
	return def != nil && workspaceOf(def, body) == *workspace
}

func current(tx store.Tx, kind, id string) ([]byte, error) {
	body, err := tx.Get(kind, id)
	if isNotFound(err) {
		return nil, nil
	}
	return body, err
}

// Preview returns what a restore of a revision would change now, and the head that it
// would change.
func (h *History) Preview(n uint64, workspace *string) (out []Change, head store.Position, err error) {
	err = h.o.Store.View(func(tx store.Tx) error {
		head = tx.Position()
		list, err := h.Undo(tx, n, workspace)
		if err != nil {
			return err
		}
		for _, u := range list {
			now, err := current(tx, u.Kind, u.ID)
			if err != nil {
				return err
			}
			out = append(out, h.change(u.Kind, u.ID, now, u.Body))
		}
		return nil
	})
	slices.SortStableFunc(out, func(a, b Change) int { return compareKeys(a.Kind, b.Kind, a.ID, b.ID) })
	return out, head, err
}

// Oldest returns the oldest revision that can be restored.
func (h *History) Oldest() (oldest uint64, err error) {
	err = h.o.Store.View(func(tx store.Tx) error {
		kept, err := oldestKept(tx)
		if err != nil {
			return err
		}
		head := tx.Position()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.scanned.Lineage != head.Lineage || h.scanned.Generation != head.Generation || h.scanned.Revision > head.Revision {
			h.scanned, h.oneWay = store.Position{}, 0
		}
		h.oneWay = max(h.oneWay, h.lastOneWay(tx, max(h.scanned.Revision, kept-1)))
		h.scanned = head
		oldest = max(kept-1, h.oneWay)
		return nil
	})
	return oldest, err
}
