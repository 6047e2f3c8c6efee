package router

import "slices"

// list is entries at one place, the highest precedence first.
type list struct {
	entries []*entry
	owner   *owner
	// moved counts the entries that made way for new ones in this update; when it gets
	// too many, the list is dirty, and sorted when the update ends.
	moved int32
	dirty bool
}

// maxMoved is how many entries of a list an update moves before it sorts.
const maxMoved = 1 << 20

func (l *list) match(q *Request, rest string, best *entry) *entry {
	for _, e := range l.entries {
		if best != nil && !e.before(best) {
			break
		}
		if e.holds(q, rest) {
			return e
		}
	}
	return best
}

// all calls fn for each entry that holds.
func (l *list) all(q *Request, rest string, fn func(e *entry)) {
	for _, e := range l.entries {
		if e.holds(q, rest) {
			fn(e)
		}
	}
}

// mine returns a list that the editor may change.
func (l *list) mine(ed *editor) *list {
	switch {
	case l == nil:
		return &list{owner: ed.owner}
	case l.owner == ed.owner:
		return l
	}
	return &list{owner: ed.owner, entries: append(make([]*entry, 0, len(l.entries)+1), l.entries...)}
}

// add adds to a list that is the editor's own.
func (l *list) add(e *entry, ed *editor) {
	n := len(l.entries)
	if n == 0 || l.entries[n-1].before(e) {
		l.entries = append(l.entries, e)
		return
	}
	if !l.dirty && l.moved < maxMoved {
		i, _ := slices.BinarySearchFunc(l.entries, e, (*entry).compare)
		l.moved += int32(min(n-i, maxMoved))
		l.entries = slices.Insert(l.entries, i, e)
		return
	}
	l.entries = append(l.entries, e)
	if !l.dirty {
		l.dirty, ed.dirty = true, append(ed.dirty, l)
	}
}

func (l *list) remove(e *entry) {
	if i := slices.Index(l.entries, e); i >= 0 {
		l.entries = slices.Delete(l.entries, i, i+1)
	}
}
