package plan

import "slices"

// slots are routes by the small numbers that the router gives them: one step from a match
// to the route, however many routes there are. It is immutable.
type slots struct{ pages []*page }

// page is what a change copies.
type page [pageSize]*Route

const pageSize = 256

// get returns the route of a slot, nil when it has none.
func (s *slots) get(slot uint32) *Route {
	at := int(slot / pageSize)
	if at >= len(s.pages) || s.pages[at] == nil {
		return nil
	}
	return s.pages[at][slot%pageSize]
}

// edit starts a change.
func (s *slots) edit() *slotsEdit {
	return &slotsEdit{pages: slices.Clone(s.pages), own: map[int]struct{}{}}
}

// slotsEdit is slots that are being changed, by one goroutine.
type slotsEdit struct {
	pages []*page
	own   map[int]struct{}
}

func (e *slotsEdit) set(slot uint32, r *Route) {
	at := int(slot / pageSize)
	for at >= len(e.pages) {
		e.pages = append(e.pages, nil)
	}
	if _, ok := e.own[at]; !ok {
		e.own[at] = struct{}{}
		next := new(page)
		if old := e.pages[at]; old != nil {
			*next = *old
		}
		e.pages[at] = next
	}
	e.pages[at][slot%pageSize] = r
}

// done returns the changed slots. The edit must not be used any more.
func (e *slotsEdit) done() slots { return slots{e.pages} }
