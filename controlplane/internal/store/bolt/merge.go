package bolt

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/spool"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

const (
	// rewriteFrom is how many changes of a kind make it worth being written again.
	rewriteFrom = 2000
	// rewritePart is which part of the entities has to change for it, too: an eighth.
	rewritePart = 8
)

// partitions are entities of one kind, apart by how their ids begin, so that they can be put
// in order a part at a time.
type partitions struct {
	codec *spool.Codec
	parts [partCount]*spool.Spool
	n     int
	buf   []byte
}

const (
	partCount = 64
	// perPart is how many beginnings of two digits a part has.
	perPart = 256 / partCount
)

// part returns where an id belongs. Ids are UUIDs nearly always, of which the first two digits
// tell; others are put beside them so that the order of parts is that of ids.
func part(id string) int {
	n, last := 0, -1 // last fills the rest once an id has something else than a digit
	for i := range 2 {
		digit := last
		if digit < 0 {
			switch {
			case i >= len(id) || id[i] < '0':
				digit, last = 0, 0
			case id[i] <= '9':
				digit = int(id[i] - '0')
			case id[i] < 'a':
				digit, last = 9, 15
			case id[i] <= 'f':
				digit = int(id[i]-'a') + 10
			default:
				digit, last = 15, 15
			}
		}
		n = n*16 + digit
	}
	return n / perPart
}

func (p *partitions) add(id string, value []byte) {
	s := p.parts[part(id)]
	if s == nil {
		s = p.codec.New()
		p.parts[part(id)] = s
	}
	p.buf = append(appendBytes(p.buf[:0], id), value...)
	s.Append(p.buf)
	p.n++
}

// each calls fn with all entities in the order of ids.
func (p *partitions) each(fn func(id string, value []byte) error) error {
	type entry struct {
		id    string
		value []byte
	}
	var buffer []byte
	var entries []entry
	for _, s := range p.parts {
		if s == nil {
			continue
		}
		var err error
		if buffer, err = s.AppendAll(buffer[:0]); err != nil {
			return err
		}
		entries = entries[:0]
		for rest := buffer; len(rest) > 0; {
			var record []byte
			if record, rest, err = spool.Next(rest); err != nil {
				return err
			}
			r := reader{rest: record}
			id := r.text()
			entries = append(entries, entry{id, r.rest})
		}
		slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.id, b.id) })
		for i, e := range entries {
			if i > 0 && entries[i-1].id == e.id {
				return &store.ConflictError{Index: "id", Key: e.id, ID: e.id}
			}
			if err := fn(e.id, e.value); err != nil {
				return err
			}
		}
	}
	return nil
}

// merge is one kind of a Load: what was added beside what there is.
type merge struct {
	l     *bulkTx
	kind  string
	added *partitions
	// kept tells of each entity that there is and that was not added, in their order,
	// whether it stays.
	kept bits
	// changes counts the entities that differ, after those that there will be.
	changes, after int
	// rewrites tells that the kind is written again.
	rewrites bool
	// indexes of the entities that there are.
	indexes map[string]bool
	list    []listed
}

// compare finds what changes.
func (m *merge) compare(keep func(kind, id string, body []byte) (bool, error), changed func(kind, id string, before, after []byte) error) error {
	table := m.l.table(bucketEntity, m.kind)
	before, n := table.count(), 0
	m.indexes = map[string]bool{}
	if len(table.pending) > 0 {
		m.list = []listed{}
		table.each(nil, nil, func(key, value []byte) bool {
			m.list = append(m.list, listed{string(key), bytes.Clone(value)})
			return true
		})
	}
	err := m.walk(m.old(), func(id string, old, value []byte) error {
		if n++; n%1024 == 0 && m.l.ctx.Err() != nil {
			return m.l.ctx.Err()
		}
		if err := m.noteIndexes(old); err != nil {
			return err
		}
		was, err := optionalBody(old)
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		if value == nil {
			stays, err := keep(m.kind, id, was)
			if err != nil {
				return err
			}
			m.kept.add(stays)
			if stays {
				m.after++
				return nil
			}
		} else {
			m.after++
		}
		if value != nil && bytes.Equal(old, value) {
			return nil
		}
		m.changes++
		is, err := optionalBody(value)
		if err != nil || value != nil && was != nil && bytes.Equal(was, is) {
			return err
		}
		return changed(m.kind, id, was, is)
	})
	m.rewrites = m.changes >= m.l.s.rewriteFrom && m.changes >= (before+m.after)/rewritePart && m.list == nil
	return err
}

// noteIndexes remembers which indexes an entity has entries in.
func (m *merge) noteIndexes(value []byte) error {
	if value == nil {
		return nil
	}
	r := reader{rest: value}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		r.byte()
		name := r.bytes()
		if !m.indexes[string(name)] {
			m.indexes[string(name)] = true
		}
		r.bytes()
	}
	if r.err != nil {
		return fmt.Errorf("decode entity: %w", r.err)
	}
	return nil
}

// source gives entities in the order of ids, and "" after the last.
type source func() (id string, value []byte)

// listed is an entity of a kind that was written to before it was merged: there are few.
type listed struct {
	id    string
	value []byte
}

// old are the entities that there are as the transaction that reads sees them, without what
// update writes.
func (m *merge) old() source {
	t := m.l.table(bucketEntity, m.kind)
	if m.list == nil {
		return cursorOf(t)
	}
	i := -1
	return func() (string, []byte) {
		if i++; i >= len(m.list) {
			return "", nil
		}
		return m.list[i].id, m.list[i].value
	}
}

func cursorOf(t *table) source {
	if t.bucket == nil {
		return func() (string, []byte) { return "", nil }
	}
	var cursor *bbolt.Cursor
	return func() (string, []byte) {
		var key, value []byte
		if cursor == nil {
			cursor = t.bucket.Cursor()
			key, value = cursor.First()
		} else {
			key, value = cursor.Next()
		}
		if key == nil {
			return "", nil
		}
		return string(key), t.open(key, value)
	}
}

// walk calls fn for each id with what there is and what was added, nil for none.
func (m *merge) walk(next source, fn func(id string, old, value []byte) error) error {
	id, old := next()
	before := func(bound string) error {
		for ; id != "" && (bound == "" || id < bound); id, old = next() {
			if err := fn(id, old, nil); err != nil {
				return err
			}
		}
		return nil
	}
	if err := m.added.each(func(added string, value []byte) error {
		if err := before(added); err != nil {
			return err
		}
		if id != added {
			return fn(added, nil, value)
		}
		err := fn(added, old, value)
		id, old = next()
		return err
	}); err != nil {
		return err
	}
	return before("")
}

// resolve is walk after compare: what goes has no value, what stays has its old one.
func (m *merge) resolve(next source, fn func(id string, old, value []byte) error) error {
	n := 0
	return m.walk(next, func(id string, old, value []byte) error {
		if value == nil {
			if m.kept.has(n) {
				value = old
			}
			n++
		}
		return fn(id, old, value)
	})
}

// bits are a list of facts.
type bits struct {
	words []uint64
	n     int
}

func (b *bits) add(v bool) {
	if b.n%64 == 0 {
		b.words = append(b.words, 0)
	}
	if v {
		b.words[b.n/64] |= 1 << (b.n % 64)
	}
	b.n++
}

func (b *bits) has(i int) bool { return b.words[i/64]&(1<<(i%64)) != 0 }
