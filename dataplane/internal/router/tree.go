package router

import (
	"bytes"
	"strings"
)

// tree is a node of a radix tree over paths. A nil tree is empty. What a walk reads on
// its way down comes first, in one cache line: with many routes the time of a match is
// that of its cache misses.
type tree struct {
	// short is the text below the parent, when it fits; else wide has it.
	short     [inlineText]byte
	shortSize uint8
	ends      ends
	// first are the first bytes of the children's texts, when they fit; else wide
	// has them.
	first    [inlineFirst]byte
	children []*tree
	// one is the entry that ends here when it is the only one, see ends.
	one [1]*entry

	// priority is that of one: of the routes whose paths are the beginnings of a long one
	// most need not be looked at.
	priority uint64
	list     list   // has the entries that end here, when they are not many
	index    *index // has them otherwise
	wide     *wide  // of few nodes
}

// wide is what does not fit into a node.
type wide struct {
	text  string
	first []byte
}

const (
	inlineText  = 14
	inlineFirst = 16
	// noText as shortSize says that the text is long.
	noText = inlineText + 1
)

// ends says where the entries are that end at a node.
type ends uint8

const (
	endsNone  ends = iota
	endsPlain      // one, which holds wherever a path leads to it
	endsOne
	endsList
	endsIndex
)

// note keeps ends and one true after a change of the list or the index.
func (t *tree) note() {
	var one *entry
	switch n := len(t.list.entries); {
	case t.index != nil:
		t.ends = endsIndex
	case n == 0:
		t.ends = endsNone
	case n == 1:
		t.ends, one = endsOne, t.list.entries[0]
		if t.priority = one.priority; !one.checked && !one.segments {
			t.ends = endsPlain
		}
	default:
		t.ends = endsList
	}
	t.one[0] = one // where the list is, when it has room for one only
}

// cut takes the node's text off a path.
func (t *tree) cut(path string) (rest string, ok bool) {
	n := int(t.shortSize)
	if n == noText {
		return strings.CutPrefix(path, t.wide.text)
	}
	if len(path) < n {
		return path, false
	}
	for i := range n {
		if path[i] != t.short[i] {
			return path, false
		}
	}
	return path[n:], true
}

func (t *tree) text() string {
	if t.shortSize == noText {
		return t.wide.text
	}
	return string(t.short[:t.shortSize])
}

func (t *tree) setText(s string) {
	if len(s) > inlineText {
		t.widen().text, t.shortSize = strings.Clone(s), noText
		return
	}
	if t.shortSize == noText {
		t.widen().text = ""
	}
	t.shortSize = uint8(copy(t.short[:], s))
}

// widen returns what the node has in wide, as a copy that belongs to it alone.
func (t *tree) widen() *wide {
	w := &wide{}
	if t.wide != nil {
		*w = *t.wide
	}
	t.wide = w
	return w
}

// child returns the number of the child whose text begins with c, or -1.
func (t *tree) child(c byte) int {
	if len(t.children) > inlineFirst {
		return bytes.IndexByte(t.wide.first, c)
	}
	for i := range t.children {
		if t.first[i] == c {
			return i
		}
	}
	return -1
}

func (t *tree) firsts() []byte {
	if len(t.children) > inlineFirst {
		return t.wide.first
	}
	return t.first[:len(t.children)]
}

// setChildren sets the children and the first bytes of their texts.
func (t *tree) setChildren(first []byte, children []*tree) {
	if t.children = children; len(first) > inlineFirst {
		t.widen().first = first
		return
	}
	copy(t.first[:], first)
	if t.wide != nil {
		t.widen().first = nil
	}
}

func (t *tree) match(q *Request, best *entry) *entry {
	rest, ok := q.Path, t != nil
	priority := uint64(0) // of best
	if best != nil {
		priority = best.priority
	}
	for ok {
		if rest, ok = t.cut(rest); !ok {
			break
		}
		switch t.ends {
		case endsNone:
		case endsPlain:
			if best == nil || t.priority > priority || t.priority == priority && t.one[0].before(best) {
				best, priority = t.one[0], t.priority
			}
		case endsOne:
			if e := t.one[0]; (best == nil || t.priority >= priority && e.before(best)) && e.holds(q, rest) {
				best, priority = e, t.priority
			}
		default:
			if t.ends == endsList {
				best = t.list.match(q, rest, best)
			} else {
				best = t.index.match(q, rest, best)
			}
			if best != nil {
				priority = best.priority
			}
		}
		if rest == "" {
			break
		}
		i := t.child(rest[0])
		if i < 0 {
			break
		}
		t = t.children[i]
	}
	return best
}

// all calls fn for each entry that holds, some of them twice.
func (t *tree) all(q *Request, fn func(e *entry)) {
	rest, ok := q.Path, t != nil
	for ok {
		if rest, ok = t.cut(rest); !ok {
			return
		}
		t.list.all(q, rest, fn)
		if t.index != nil {
			t.index.all(q, rest, fn)
		}
		if rest == "" {
			return
		}
		i := t.child(rest[0])
		if i < 0 {
			return
		}
		t = t.children[i]
	}
}

// mine returns t, or a copy that the editor may change.
func (t *tree) mine(ed *editor) *tree {
	if t != nil && t.list.owner == ed.owner {
		return t
	}
	c := &tree{list: list{owner: ed.owner}}
	c.list.entries = c.one[:0:1]
	if t != nil {
		c.short, c.shortSize, c.wide, c.index = t.short, t.shortSize, t.wide, t.index
		c.setChildren(append(make([]byte, 0, len(t.children)+1), t.firsts()...), append(make([]*tree, 0, len(t.children)+1), t.children...))
		c.list.entries = append(c.list.entries, t.list.entries...)
		c.note()
	}
	return c
}

// insert returns the tree with an entry at key.
func (t *tree) insert(key string, e *entry, ed *editor) *tree {
	t = t.mine(ed)
	if key == "" {
		t.add(e, ed)
		return t
	}
	if i := t.child(key[0]); i >= 0 {
		c := t.children[i]
		text := c.text()
		if n := commonPrefix(text, key); n < len(text) {
			lower, upper := c.mine(ed), (*tree)(nil).mine(ed)
			lower.setText(text[n:])
			upper.setText(text[:n])
			upper.setChildren([]byte{text[n]}, []*tree{lower})
			c, text = upper, text[:n]
		}
		t.children[i] = c.insert(key[len(text):], e, ed)
		return t
	}
	leaf := (*tree)(nil).mine(ed)
	leaf.setText(key)
	leaf.add(e, ed)
	t.setChildren(append(t.firsts(), key[0]), append(t.children, leaf))
	return t
}

// remove returns the tree without an entry at key, nil when nothing is left.
func (t *tree) remove(key string, e *entry, ed *editor) *tree {
	if t == nil {
		return nil
	}
	t = t.mine(ed)
	if key == "" {
		t.drop(e, ed)
	} else if i := t.child(key[0]); i >= 0 {
		c := t.children[i]
		if rest, ok := strings.CutPrefix(key, c.text()); ok {
			if c = c.remove(rest, e, ed); c != nil {
				t.children[i] = c
			} else {
				first := t.firsts()
				t.setChildren(append(append(make([]byte, 0, len(first)), first[:i]...), first[i+1:]...), append(t.children[:i], t.children[i+1:]...))
			}
		}
	}
	switch {
	case len(t.list.entries) > 0 || t.index != nil || len(t.children) > 1:
	case len(t.children) == 0:
		return nil
	case t.text() != "":
		only := t.children[0].mine(ed)
		only.setText(t.text() + only.text())
		return only
	}
	return t
}

// Numbers of entries from which a node has an index, and below which it has a list again.
const (
	indexFrom = 24
	listBelow = 12
)

// add adds an entry that ends at this node.
func (t *tree) add(e *entry, ed *editor) {
	defer t.note()
	if t.index != nil {
		t.index = t.index.mine(ed)
		t.index.add(e, ed)
		return
	}
	t.list.add(e, ed)
	if len(t.list.entries) < indexFrom {
		return
	}
	t.index = (*index)(nil).mine(ed)
	for _, e := range t.list.entries {
		t.index.add(e, ed)
	}
	t.list.entries = nil
}

// drop removes an entry that ends at this node.
func (t *tree) drop(e *entry, ed *editor) {
	defer t.note()
	if t.index == nil {
		t.list.remove(e)
		return
	}
	t.index = t.index.mine(ed)
	t.index.remove(e, ed)
	if t.index.size >= listBelow {
		return
	}
	for _, e := range t.index.entries() {
		t.list.add(e, ed)
	}
	t.index = nil
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
