package router

import "strings"

// tree is a node of a radix tree over paths. A nil tree is empty.
type tree struct {
	// text below the parent.
	text string
	// first are the first bytes of the children's texts.
	first    []byte
	children []*tree
	// list are the entries that end here; index has them instead when they are many.
	list  list
	index *index
}

func (t *tree) match(q *Request, best *entry) *entry {
	rest := q.Path
	for t != nil {
		if !strings.HasPrefix(rest, t.text) {
			return best
		}
		rest = rest[len(t.text):]
		if len(t.list.entries) > 0 {
			best = t.list.match(q, rest, best)
		} else if t.index != nil {
			best = t.index.match(q, rest, best)
		}
		if rest == "" {
			return best
		}
		t = t.child(rest[0])
	}
	return best
}

// all calls fn for each entry that holds, some of them twice.
func (t *tree) all(q *Request, fn func(e *entry)) {
	rest := q.Path
	for t != nil && strings.HasPrefix(rest, t.text) {
		rest = rest[len(t.text):]
		t.list.all(q, rest, fn)
		if t.index != nil {
			t.index.all(q, rest, fn)
		}
		if rest == "" {
			return
		}
		t = t.child(rest[0])
	}
}

func (t *tree) child(c byte) *tree {
	for i, b := range t.first {
		if b == c {
			return t.children[i]
		}
	}
	return nil
}

// mine returns t, or a copy that the editor may change.
func (t *tree) mine(ed *editor) *tree {
	switch {
	case t == nil:
		return &tree{list: list{owner: ed.owner}}
	case t.list.owner == ed.owner:
		return t
	}
	return &tree{
		text: t.text, index: t.index,
		first:    append(make([]byte, 0, len(t.first)+1), t.first...),
		children: append(make([]*tree, 0, len(t.children)+1), t.children...),
		list:     list{owner: ed.owner, entries: append(make([]*entry, 0, len(t.list.entries)+1), t.list.entries...)},
	}
}

// insert returns the tree with an entry at key.
func (t *tree) insert(key string, e *entry, ed *editor) *tree {
	t = t.mine(ed)
	if key == "" {
		t.add(e, ed)
		return t
	}
	for i, c := range t.children {
		if t.first[i] != key[0] {
			continue
		}
		if n := commonPrefix(c.text, key); n < len(c.text) {
			lower, upper := c.mine(ed), (*tree)(nil).mine(ed)
			upper.text, lower.text = c.text[:n], c.text[n:]
			upper.first, upper.children = []byte{lower.text[0]}, []*tree{lower}
			c = upper
		}
		t.children[i] = c.insert(key[len(c.text):], e, ed)
		return t
	}
	leaf := (*tree)(nil).mine(ed)
	leaf.text = key
	leaf.add(e, ed)
	t.first, t.children = append(t.first, key[0]), append(t.children, leaf)
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
	} else {
		for i, c := range t.children {
			if t.first[i] != key[0] {
				continue
			}
			if !strings.HasPrefix(key, c.text) {
				break
			}
			if c = c.remove(key[len(c.text):], e, ed); c == nil {
				t.first, t.children = append(t.first[:i], t.first[i+1:]...), append(t.children[:i], t.children[i+1:]...)
			} else {
				t.children[i] = c
			}
			break
		}
	}
	switch {
	case len(t.list.entries) > 0 || t.index != nil || len(t.children) > 1:
	case len(t.children) == 0:
		return nil
	case t.text != "":
		only := t.children[0].mine(ed)
		only.text = t.text + only.text
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
