package plan

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
)

// group is the entities that refer to the same one, in the order of their ids. A small
// one is a list; one that is large, such as the routes of a service that has all of
// them, is a map, so that a change costs the same however large it is, and becomes a
// list when somebody asks. It is immutable and never empty.
type group struct {
	list atomic.Pointer[[]any]
	byID cow.Map[any] // of a large one
	id   column
}

// largeGroup is from how many entities a group is a map.
const largeGroup = 128

// all returns the entities. The list must not be changed.
func (g *group) all() []any {
	if g == nil {
		return nil
	}
	if list := g.list.Load(); list != nil {
		return *list
	}
	list := make([]any, 0, g.byID.Len())
	g.byID.All(func(_ string, v any) bool {
		list = append(list, v)
		return true
	})
	g.sort(list)
	g.list.Store(&list)
	return list
}

func (g *group) sort(list []any) {
	slices.SortFunc(list, func(a, b any) int { return strings.Compare(g.id.text(a), g.id.text(b)) })
}

// changed returns the group without some entities and then with others; nil when none are
// left. g may be nil.
func (g *group) changed(s *shape, without []string, with []change) *group {
	next := &group{id: s.id}
	if g != nil && g.byID.Len() > 0 {
		edit := g.byID.Edit()
		for _, id := range without {
			edit.Delete(id)
		}
		for _, c := range with {
			edit.Set(c.id, c.value)
		}
		if next.byID = edit.Done(); next.byID.Len() >= largeGroup/2 {
			return next
		}
		list := next.all()
		if next.byID = (cow.Map[any]{}); len(list) == 0 {
			return nil
		}
		return next
	}
	list := make([]any, 0, len(g.all())+len(with))
	for _, v := range g.all() {
		if !slices.Contains(without, next.id.text(v)) {
			list = append(list, v)
		}
	}
	for _, c := range with {
		list = append(list, c.value)
	}
	switch {
	case len(list) == 0:
		return nil
	case len(list) < largeGroup:
		next.sort(list)
		next.list.Store(&list)
		return next
	}
	edit := next.byID.Edit()
	for _, v := range list {
		edit.Set(next.id.text(v), v)
	}
	next.byID = edit.Done()
	return next
}
