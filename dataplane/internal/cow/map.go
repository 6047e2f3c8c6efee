// Package cow has a map that is copied on write in small pieces, so that a plan
// with a hundred thousand entities can be followed by one that differs in a single
// entity at the cost of that piece. It refuses to be written by two goroutines.
package cow

import "hash/maphash"

const (
	fanout = 64
	split  = 32 // entries of a leaf before it becomes a branch
	bits   = 6
	levels = 5 // below it leaves just grow
)

// Map is an immutable map with string keys. The zero value is empty. Reading is safe
// for concurrent use; a change returns another Map and leaves the old one as it was.
type Map[V any] struct {
	root *node[V]
	size int
}

type node[V any] struct {
	entries  []entry[V]        // of a leaf
	children *[fanout]*node[V] // of a branch
	owner    *owner            // the edit that made it
}

// owner marks what an edit has made and may change. It has a size, for pointers to what has
// none may be equal.
type owner struct{ _ byte }

type entry[V any] struct {
	hash  uint32 // of the key
	key   string
	value V
}

// seed of all maps of this process.
var seed = maphash.MakeSeed() //nolint:gochecknoglobals // a constant of the process

func hash(key string) uint32 { return uint32(maphash.String(seed, key)) }

// Len returns the number of entries.
func (m Map[V]) Len() int { return m.size }

// Get returns the value of a key. It does not allocate.
func (m Map[V]) Get(key string) (V, bool) {
	var zero V
	n := m.root
	if n == nil {
		return zero, false
	}
	h := hash(key)
	rest := h
	for n != nil && n.children != nil {
		n, rest = n.children[rest%fanout], rest>>bits
	}
	if n != nil {
		for i := range n.entries {
			if e := &n.entries[i]; e.hash == h && e.key == key {
				return e.value, true
			}
		}
	}
	return zero, false
}

// All calls fn for each entry, in no order, until it returns false.
func (m Map[V]) All(fn func(key string, value V) bool) {
	m.root.all(fn)
}

func (n *node[V]) all(fn func(key string, value V) bool) bool {
	if n == nil {
		return true
	}
	if n.children != nil {
		for _, c := range n.children {
			if !c.all(fn) {
				return false
			}
		}
		return true
	}
	for i := range n.entries {
		if !fn(n.entries[i].key, n.entries[i].value) {
			return false
		}
	}
	return true
}

// With returns a map that has the entry.
func (m Map[V]) With(key string, value V) Map[V] {
	t := m.Edit()
	t.Set(key, value)
	return t.Done()
}

// Edit starts a change of several entries, whose pieces are copied once each.
func (m Map[V]) Edit() *Edit[V] {
	return &Edit[V]{m: m, own: &owner{}}
}

// Edit is a map that is being changed. It is used by one goroutine.
type Edit[V any] struct {
	m   Map[V]
	own *owner
}

// Get returns the value of a key as changed so far.
func (e *Edit[V]) Get(key string) (V, bool) { return e.m.Get(key) }

// Len returns the number of entries as changed so far.
func (e *Edit[V]) Len() int { return e.m.size }

// Set adds or replaces an entry.
func (e *Edit[V]) Set(key string, value V) {
	h := hash(key)
	e.m.root = e.set(e.m.root, key, value, h, h, 0)
}

// Delete removes an entry, if it is there.
func (e *Edit[V]) Delete(key string) {
	if _, ok := e.m.Get(key); ok {
		h := hash(key)
		e.m.root = e.remove(e.m.root, key, h, h)
		e.m.size--
	}
}

// Done returns the changed map. The Edit must not be used any more.
func (e *Edit[V]) Done() Map[V] {
	e.own = nil
	return e.m
}

// mine returns n, or a copy that may be changed.
func (e *Edit[V]) mine(n *node[V]) *node[V] {
	if n == nil {
		return &node[V]{owner: e.own}
	}
	if n.owner == e.own {
		return n
	}
	c := &node[V]{entries: append(make([]entry[V], 0, len(n.entries)+1), n.entries...), owner: e.own}
	if n.children != nil {
		children := *n.children
		c.children = &children
	}
	return c
}

// set adds or replaces an entry below n. rest is what of its hash is not used above.
func (e *Edit[V]) set(n *node[V], key string, value V, h, rest uint32, level int) *node[V] {
	n = e.mine(n)
	if n.children != nil {
		i := rest % fanout
		n.children[i] = e.set(n.children[i], key, value, h, rest>>bits, level+1)
		return n
	}
	for i := range n.entries {
		if n.entries[i].hash == h && n.entries[i].key == key {
			n.entries[i].value = value
			return n
		}
	}
	e.m.size++
	n.entries = append(n.entries, entry[V]{h, key, value})
	if len(n.entries) > split && level < levels {
		old := n.entries
		n.entries, n.children = nil, new([fanout]*node[V])
		for _, en := range old {
			i := en.hash >> (bits * level) % fanout
			c := e.mine(n.children[i])
			c.entries = append(c.entries, en)
			n.children[i] = c
		}
	}
	return n
}

func (e *Edit[V]) remove(n *node[V], key string, h, rest uint32) *node[V] {
	n = e.mine(n)
	if n.children != nil {
		i := rest % fanout
		n.children[i] = e.remove(n.children[i], key, h, rest>>bits)
		return n
	}
	for i := range n.entries {
		if n.entries[i].hash == h && n.entries[i].key == key {
			n.entries = append(n.entries[:i], n.entries[i+1:]...)
			break
		}
	}
	if len(n.entries) == 0 {
		return nil
	}
	return n
}
