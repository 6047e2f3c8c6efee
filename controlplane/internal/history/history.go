// Package history reads the change log as people do: which revisions there were, who made
// them, and what they changed, entity by entity and field by field, without secrets. It
// finds out what would have to change for the configuration to be what it was at a
// revision. It owns no data: the store's log is all there is, and how far that reaches is
// how far history goes. It refuses to write, which is the catalog's work.
package history

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Options of a History. All are required.
type Options struct {
	Store store.Store
	Kinds *entity.Kinds
	// Mask returns an entity without its secrets, and their paths.
	Mask func(kind string, o schema.Object) (schema.Object, []string)
}

// History is what was. It is safe for concurrent use.
type History struct {
	o Options

	mu sync.Mutex
	// scanned is how far the log was looked through for change sets that can't be gone
	// behind; oneWay is the newest of them.
	scanned store.Position
	oneWay  uint64
}

// New makes a history.
func New(o Options) (*History, error) {
	if o.Store == nil || o.Kinds == nil || o.Mask == nil {
		return nil, errors.New("history needs a store, kinds and what masks secrets")
	}
	return &History{o: o}, nil
}

// ErrFuture means that there is no such revision yet.
var ErrFuture = errors.New("there is no such revision yet")

// GoneError means that the log does not reach back as far.
type GoneError struct {
	Revision uint64
	// Oldest is the oldest revision that can be asked for in the same way.
	Oldest uint64
}

func (e *GoneError) Error() string {
	return fmt.Sprintf("revision %d is not kept any more; the oldest is %d", e.Revision, e.Oldest)
}

// Revision is a change set in short.
type Revision struct {
	Position store.Position
	At       time.Time
	// Actor is who asked for it, Summary what for; both may be empty.
	Actor, Summary string
	// Changes are how many entities changed, Created those of them that were new. When the
	// log does not tell new ones from others, Reversible is false and Created 0.
	Changes, Created, Updated, Deleted int
	Reversible                         bool
	// Bytes are what nodes are sent at most.
	Bytes int
	// Kinds are how many entities of each kind changed.
	Kinds map[string]int
	// First are the first of the changes, without fields.
	First []Change
	// Omitted tells that there were more changes than the log keeps of one revision: it is
	// not known which.
	Omitted bool
}

// List returns revisions before one, the newest first; 0 begins with the head. workspace
// limits it to those that changed something in a workspace, by its id; nil does not. more
// tells that there are older ones.
func (h *History) List(before uint64, size int, workspace *string) (out []Revision, more bool, err error) {
	err = h.o.Store.View(func(tx store.Tx) error {
		head := tx.Position().Revision
		oldest, err := oldestKept(tx)
		if err != nil {
			return err
		}
		last := head
		if before > 0 {
			last = min(head, before-1)
		}
		// The log is read forwards: in stretches as long as what is still wanted, which is
		// all at once unless most of it is of other workspaces.
		for last >= oldest && last > 0 && len(out) <= size {
			first := max(oldest, last-min(last-1, stretch(size)-1))
			var part []Revision
			if err := forward(tx, first, last, func(c *store.ChangeSet) {
				if changes, some := h.within(c, workspace); some {
					part = append(part, h.short(c, changes))
				}
			}); err != nil {
				return err
			}
			slices.Reverse(part)
			out = append(out, part...)
			last = first - 1
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("read change log: %w", err)
	}
	if len(out) > size {
		return out[:size], true, nil
	}
	return out, false, nil
}

// forward calls fn for the change sets of some revisions, all of which are kept. One that
// is too large for the log does not end it.
func forward(tx store.Tx, first, last uint64, fn func(c *store.ChangeSet)) error {
	for next := first; next <= last; {
		began := next
		err := tx.ChangeSets(next-1, func(c *store.ChangeSet) bool {
			fn(c)
			next = c.To.Revision + 1
			return next <= last
		})
		if err != nil && (!errors.Is(err, store.ErrCompacted) || next == began) {
			return err
		}
		if next == began {
			return nil // the head
		}
	}
	return nil
}

// stretch is how many revisions are read at once for a page.
func stretch(size int) uint64 { return uint64(max(size+1, 50)) } //nolint:gosec // the size of a page

// Find returns a revision in short. Its error is ErrFuture or a *GoneError, or the store's.
func (h *History) Find(n uint64) (out Revision, err error) {
	err = h.read(n, func(_ store.Tx, c *store.ChangeSet) error {
		out = h.short(c, c.Changes)
		return nil
	})
	return out, err
}

// read calls fn for the change set that led to a revision.
func (h *History) read(n uint64, fn func(tx store.Tx, c *store.ChangeSet) error) error {
	return h.o.Store.View(func(tx store.Tx) error {
		head := tx.Position().Revision
		if n > head {
			return ErrFuture
		}
		oldest, err := oldestKept(tx)
		if err != nil {
			return err
		}
		if n < oldest || n == 0 {
			return &GoneError{n, oldest}
		}
		var failed error
		err = tx.ChangeSets(n-1, func(c *store.ChangeSet) bool {
			failed = fn(tx, c)
			return false
		})
		return errors.Join(err, failed)
	})
}

// oldestKept returns the oldest revision whose change set is there; one more than the head
// when there is none.
func oldestKept(tx store.Tx) (uint64, error) {
	head := tx.Position().Revision
	low, high := uint64(1), head+1 // the oldest is in [low, high]
	for low < high {
		middle := low + (high-low)/2
		err := tx.ChangeSets(middle-1, func(*store.ChangeSet) bool { return false })
		switch {
		case errors.Is(err, store.ErrCompacted):
			low = middle + 1
		case err != nil:
			return 0, err
		default:
			high = middle
		}
	}
	return low, nil
}

func (h *History) short(c *store.ChangeSet, changes []store.Change) Revision {
	r := Revision{
		Position: c.To, At: c.At, Actor: c.Actor, Summary: c.Summary, Changes: len(changes), Reversible: c.Reversible, Kinds: map[string]int{}, Omitted: c.Omitted,
	}
	for i := range changes {
		change := &changes[i]
		r.Bytes += len(change.Body) + len(change.Kind) + len(change.ID)
		r.Kinds[change.Kind]++
		if len(r.First) < mostFirst {
			r.First = append(r.First, h.brief(c, change))
		}
		switch {
		case change.Op == store.Delete:
			r.Deleted++
		case c.Reversible && change.Before == nil:
			r.Created++
		case c.Reversible:
			r.Updated++
		}
	}
	return r
}

// mostFirst is how many changes a list shows of each revision.
const mostFirst = 5

// brief is a change without its fields.
func (h *History) brief(c *store.ChangeSet, change *store.Change) Change {
	out := Change{Kind: change.Kind, ID: change.ID}
	body := change.Body
	switch {
	case change.Op == store.Delete:
		out.Operation, body = Deleted, change.Before
	case c.Reversible && change.Before == nil:
		out.Operation = Created
	case c.Reversible:
		out.Operation = Updated
	}
	o := h.object(change.Kind, body)
	out.Name = nameOf(o)
	out.Workspace, _ = o[schema.WorkspaceID].(string)
	return out
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

func compareKeys(kindA, kindB, idA, idB string) int {
	return cmp.Or(strings.Compare(kindA, kindB), strings.Compare(idA, idB))
}

// within returns the changes of a set that are in a workspace, and whether there are some.
func (h *History) within(c *store.ChangeSet, workspace *string) ([]store.Change, bool) {
	if workspace == nil {
		return c.Changes, true
	}
	var out []store.Change
	for i := range c.Changes {
		if h.isIn(&c.Changes[i], *workspace) {
			out = append(out, c.Changes[i])
		}
	}
	return out, len(out) > 0
}

// isIn tells whether a change is of a workspace. What belongs to all workspaces is of none.
func (h *History) isIn(c *store.Change, workspace string) bool {
	def := h.o.Kinds.ByKind(c.Kind)
	if def == nil || !def.Schema.Workspaceable {
		return false
	}
	body := c.Body
	if body == nil {
		body = c.Before
	}
	return workspaceOf(def, body) == workspace
}

func workspaceOf(def *entity.Def, body []byte) string {
	o, err := def.Schema.Decode(body)
	if err != nil {
		return ""
	}
	id, _ := o[schema.WorkspaceID].(string)
	return id
}
