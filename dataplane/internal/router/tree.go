package router

import "strings"

// tree is a node of a radix tree over paths. A nil tree is empty.
type tree struct {
	// text below the parent.
	text     string
	children []*tree
	// entries that end here, highest precedence first.
	entries []*entryPoint
}

// candidate is the best entry of a walk so far.
type candidate struct {
	entry  *entryPoint
	groups []int
}

func (t *tree) match(q *Request, best *candidate) {
	rest := q.Path
	for t != nil {
		if !strings.HasPrefix(rest, t.text) {
			return
		}
		rest = rest[len(t.text):]
		for _, e := range t.entries {
			if best.entry != nil && !e.before(best.entry) {
				break
			}
			if groups, ok := e.holds(q); ok {
				best.entry, best.groups = e, groups
				break
			}
		}
		if rest == "" {
			return
		}
		t = t.child(rest[0])
	}
}

func (t *tree) child(c byte) *tree {
	for _, n := range t.children {
		if n.text[0] == c {
			return n
		}
	}
	return nil
}

// mine returns t, or a copy that this editor may change.
func (t *tree) mine(own map[*tree]struct{}) *tree {
	if t == nil {
		t = &tree{}
	} else if _, ok := own[t]; ok {
		return t
	} else {
		t = &tree{
			text:     t.text,
			children: append(make([]*tree, 0, len(t.children)+1), t.children...),
			entries:  append(make([]*entryPoint, 0, len(t.entries)+1), t.entries...),
		}
	}
	own[t] = struct{}{}
	return t
}

// insert returns the tree with an entry at key.
func (t *tree) insert(key string, e *entryPoint, own map[*tree]struct{}) *tree {
	t = t.mine(own)
	if key == "" {
		i := 0
		for i < len(t.entries) && t.entries[i].before(e) {
			i++
		}
		t.entries = append(t.entries, nil)
		copy(t.entries[i+1:], t.entries[i:])
		t.entries[i] = e
		return t
	}
	for i, c := range t.children {
		n := commonPrefix(c.text, key)
		if n == 0 {
			continue
		}
		if n < len(c.text) {
			lower := c.mine(own)
			upper := (*tree)(nil).mine(own)
			upper.text = c.text[:n]
			lower.text = c.text[n:]
			upper.children = append(upper.children, lower)
			c = upper
		}
		t.children[i] = c.insert(key[n:], e, own)
		return t
	}
	leaf := (*tree)(nil).mine(own)
	leaf.text = key
	leaf.entries = append(leaf.entries, e)
	t.children = append(t.children, leaf)
	return t
}

// remove returns the tree without the entries of a route at key, nil when nothing
// is left.
func (t *tree) remove(key, route string, own map[*tree]struct{}) *tree {
	if t == nil {
		return nil
	}
	t = t.mine(own)
	if key == "" {
		kept := t.entries[:0]
		for _, e := range t.entries {
			if e.route.entity.ID != route {
				kept = append(kept, e)
			}
		}
		clear(t.entries[len(kept):])
		t.entries = kept
	} else {
		for i, c := range t.children {
			if !strings.HasPrefix(key, c.text) {
				continue
			}
			if c = c.remove(key[len(c.text):], route, own); c == nil {
				t.children = append(t.children[:i], t.children[i+1:]...)
			} else {
				t.children[i] = c
			}
			break
		}
	}
	switch {
	case len(t.entries) > 0 || len(t.children) > 1:
	case len(t.children) == 0:
		return nil
	case t.text != "":
		only := t.children[0].mine(own)
		only.text = t.text + only.text
		return only
	}
	return t
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
