package router

import (
	"slices"

	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// form is what an entry is filed by in an index.
type form uint8

const (
	formRest   form = iota // nothing
	formText               // a piece of text that its regular expression needs
	formHeader             // the values of a header
	formSNI                // server names
	formMethod             // methods
)

// textSize is the number of bytes of a piece of text.
const textSize = 4

// index files entries that end at the same node. It is immutable once the update that
// made it has ended.
type index struct {
	owner *owner
	size  int

	rest    *list
	texts   cow.Map[*list]
	filter  *textFilter
	headers []headerIndex
	snis    cow.Map[*list]
	// named are all entries in snis: without TLS nobody looks at server names.
	named   *list
	methods cow.Map[*list]
}

// headerIndex files entries by the values of one header.
type headerIndex struct {
	name   expression.HeaderName
	size   int
	values cow.Map[*list] // in lower case
}

func (x *index) match(q *Request, rest string, best *entry) *entry {
	if x.rest != nil {
		best = x.rest.match(q, rest, best)
	}
	x.lists(q, func(l *list) { best = l.match(q, rest, best) })
	return best
}

func (x *index) all(q *Request, rest string, fn func(e *entry)) {
	if x.rest != nil {
		x.rest.all(q, rest, fn)
	}
	x.lists(q, func(l *list) { l.all(q, rest, fn) })
}

// lists calls fn with the lists that a request leads to, besides the rest.
func (x *index) lists(q *Request, fn func(l *list)) {
	if x.methods.Len() > 0 {
		if l, ok := x.methods.Get(q.Method); ok {
			fn(l)
		}
	}
	for i := range x.headers {
		h := &x.headers[i]
		if q.Header == nil {
			break
		}
		name := h.name.In(q.Header)
		for _, f := range q.Header.Fields() {
			if !pdk.EqualFold(f.Name, name) {
				continue
			}
			if l, ok := h.values.Get(q.Lower(f.Value)); ok {
				fn(l)
			}
		}
	}
	if x.named != nil {
		if q.Protocol != "https" {
			fn(x.named)
		} else if l, ok := x.snis.Get(q.Lower(withoutDot(q.SNI))); ok {
			fn(l)
		}
	}
	if x.filter != nil {
		for i := 0; i+textSize <= len(q.Path); i++ {
			if text := q.Path[i : i+textSize]; x.filter.has(text) {
				if l, ok := x.texts.Get(text); ok {
					fn(l)
				}
			}
		}
	}
}

// mine returns x, or a copy that the editor may change.
func (x *index) mine(ed *editor) *index {
	switch {
	case x == nil:
		return &index{owner: ed.owner}
	case x.owner == ed.owner:
		return x
	}
	c := *x
	c.owner = ed.owner
	c.headers = slices.Clone(x.headers)
	if x.filter != nil {
		filter := *x.filter
		c.filter = &filter
	}
	return &c
}

func (x *index) add(e *entry, ed *editor) {
	x.size++
	e.form = e.filed()
	switch e.form {
	case formText:
		// The piece that fewest others are filed by.
		least := -1
		for _, text := range e.special.texts {
			l, _ := x.texts.Get(text)
			if n := l.len(); least < 0 || n < least {
				least = n
				copy(e.text[:], text)
			}
		}
		x.texts = put(x.texts, string(e.text[:]), e, ed)
		if x.filter == nil {
			x.filter = &textFilter{}
		}
		x.filter.add(string(e.text[:]))
	case formHeader:
		c := x.leastFiled(e)
		h := x.header(c.name)
		h.size++
		for _, v := range c.values {
			h.values = put(h.values, v, e, ed)
		}
	case formSNI:
		for _, s := range e.route.conditions.snis {
			x.snis = put(x.snis, s, e, ed)
		}
		x.named = x.named.mine(ed)
		x.named.add(e, ed)
	case formMethod:
		for _, m := range e.route.conditions.methods {
			x.methods = put(x.methods, m, e, ed)
		}
	default:
		x.rest = x.rest.mine(ed)
		x.rest.add(e, ed)
	}
}

func (x *index) remove(e *entry, ed *editor) {
	x.size--
	switch e.form {
	case formText:
		x.texts = take(x.texts, string(e.text[:]), e, ed)
	case formHeader:
		c := &e.route.conditions.headers[e.header]
		h := x.header(c.name)
		h.size--
		for _, v := range c.values {
			h.values = take(h.values, v, e, ed)
		}
		x.headers = slices.DeleteFunc(x.headers, func(h headerIndex) bool { return h.size == 0 })
	case formSNI:
		for _, s := range e.route.conditions.snis {
			x.snis = take(x.snis, s, e, ed)
		}
		x.named = x.named.mine(ed)
		x.named.remove(e)
		if len(x.named.entries) == 0 {
			x.named = nil
		}
	case formMethod:
		for _, m := range e.route.conditions.methods {
			x.methods = take(x.methods, m, e, ed)
		}
	default:
		x.rest = x.rest.mine(ed)
		x.rest.remove(e)
	}
}

// entries returns all entries, each once.
func (x *index) entries() []*entry {
	seen := map[*entry]struct{}{}
	var out []*entry
	collect := func(l *list) {
		for _, e := range l.entries {
			if _, ok := seen[e]; !ok {
				seen[e] = struct{}{}
				out = append(out, e)
			}
		}
	}
	maps := []cow.Map[*list]{x.texts, x.snis, x.methods}
	for i := range x.headers {
		maps = append(maps, x.headers[i].values)
	}
	for _, m := range maps {
		m.All(func(_ string, l *list) bool { collect(l); return true })
	}
	if x.rest != nil {
		collect(x.rest)
	}
	return out
}

// leastFiled chooses the header by whose values the fewest others are filed.
func (x *index) leastFiled(e *entry) *headerCondition {
	headers, least := e.route.conditions.headers, -1
	for i := range headers[:min(len(headers), 1<<8)] {
		if !headers[i].fileable() {
			continue
		}
		n := 0
		for _, other := range x.headers {
			if other.name == headers[i].name {
				for _, v := range headers[i].values {
					l, _ := other.values.Get(v)
					n += 1 + l.len()
				}
			}
		}
		if least < 0 || n < least {
			least, e.header = n, uint8(i)
		}
	}
	return &headers[e.header]
}

func (x *index) header(name expression.HeaderName) *headerIndex {
	for i := range x.headers {
		if x.headers[i].name == name {
			return &x.headers[i]
		}
	}
	x.headers = append(x.headers, headerIndex{name: name})
	return &x.headers[len(x.headers)-1]
}

func (l *list) len() int {
	if l == nil {
		return 0
	}
	return len(l.entries)
}

func put(m cow.Map[*list], key string, e *entry, ed *editor) cow.Map[*list] {
	old, ok := m.Get(key)
	l := old.mine(ed)
	l.add(e, ed)
	if ok && l == old {
		return m
	}
	return m.With(key, l)
}

func take(m cow.Map[*list], key string, e *entry, ed *editor) cow.Map[*list] {
	old, ok := m.Get(key)
	if !ok {
		return m
	}
	l := old.mine(ed)
	l.remove(e)
	if len(l.entries) == 0 {
		edit := m.Edit()
		edit.Delete(key)
		return edit.Done()
	}
	if l == old {
		return m
	}
	return m.With(key, l)
}

// textFilter says which pieces of text are surely not in an index. Pieces that were
// removed stay.
type textFilter [1 << 10]uint64

func textHash(s string) uint32 {
	h := uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
	return h * 2654435761 >> 16
}

func (f *textFilter) add(s string) { h := textHash(s); f[h>>6] |= 1 << (h & 63) }

func (f *textFilter) has(s string) bool { h := textHash(s); return f[h>>6]&(1<<(h&63)) != 0 }
