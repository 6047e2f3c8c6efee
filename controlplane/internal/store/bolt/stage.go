package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/sluice-gateway/sluice/controlplane/internal/spool"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// bucketStage has what a Load that is not committed yet has written. One that is left from a
// process that ended is dropped.
var bucketStage = []byte("stage")

// stage writes kinds again beside the old ones.
type stage struct {
	batches
	l      *bulkTx
	swaps  []swap
	failed error // of old
}

// swap is a bucket that is put in the place of another, or, when it is gone, of nothing.
type swap struct {
	top  []byte
	name string
	gone bool
}

// write writes a kind with its indexes.
func (st *stage) write(m *merge) error {
	indexes := map[indexName]*spool.Spool{}
	codec := st.l.s.codec()
	var record []byte
	n := 0
	err := m.resolve(st.old(m.kind), func(id string, old, value []byte) error {
		if err := st.note(m.kind, id, old, value); err != nil || value == nil {
			return err
		}
		n++
		_, entries, err := decodeEntity(value)
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		for _, entry := range entries {
			name := indexName{entry.Name, entry.Exclusive}
			if indexes[name] == nil {
				indexes[name] = codec.New()
			}
			if key := st.l.sealer.indexKey(entry.Name, entry.Key); entry.Exclusive {
				record = append(appendBytes(record[:0], key), id...)
			} else {
				record = appendBytes(record[:0], multiKey(key, id))
			}
			indexes[name].Append(record)
		}
		key := []byte(id)
		if sealer := st.l.sealer; sealer != nil {
			value = sealer.seal(bucketEntity, []byte(m.kind), key, value)
		} else {
			value = bytes.Clone(value) // bbolt needs it until the transaction ends
		}
		return st.append(bucketEntity, m.kind, key, value)
	})
	if err == nil {
		err = st.failed
	}
	if err != nil {
		return err
	}
	m.added = &partitions{} // it is not needed any more
	if n > 0 {
		b, err := st.bucket(bucketEntity, []byte(m.kind))
		if err != nil {
			return err
		}
		if err := b.SetSequence(uint64(n)); err != nil {
			return fmt.Errorf("count bucket %s: %w", m.kind, err)
		}
	}
	st.swaps = append(st.swaps, swap{bucketEntity, m.kind, n == 0})
	for _, name := range slices.SortedFunc(maps.Keys(indexes), indexName.compare) {
		if err := st.index(name, indexes[name]); err != nil {
			return err
		}
		delete(m.indexes, name.name)
	}
	for name := range m.indexes { // no entity has an entry there any more
		st.swaps = append(st.swaps, swap{bucketUnique, name, true}, swap{bucketMulti, name, true})
	}
	return nil
}

// note counts a change in.
func (st *stage) note(kind, id string, old, value []byte) error {
	before, err := optionalBody(old)
	if err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	after, err := optionalBody(value)
	if err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	l := st.l
	switch {
	case before == nil:
		l.tree.Put(kind, id, after)
	case after == nil:
		l.tree.Delete(kind, id, before)
		l.set.add(store.Change{Op: store.Delete, Kind: kind, ID: id, Before: before})
		return nil
	case bytes.Equal(before, after):
		return nil
	default:
		l.tree.Replace(kind, id, before, after)
	}
	l.set.add(store.Change{Op: store.Put, Kind: kind, ID: id, Body: after, Before: before})
	return nil
}

// old gives the entities that there are, from transaction to transaction. It copies them:
// when the file grows they may be elsewhere.
func (st *stage) old(kind string) source {
	var tx *bbolt.Tx
	var cursor *bbolt.Cursor
	last, ended := "", false
	t := &table{}
	*t = *st.l.table(bucketEntity, kind)
	return func() (string, []byte) {
		if ended || t.bucket == nil {
			return "", nil
		}
		var key, value []byte
		switch {
		case st.tx == nil || st.tx != tx:
			if tx = st.tx; tx == nil {
				if _, err := st.bucket(bucketEntity, nil); err != nil {
					st.failed, ended = err, true
					return "", nil
				}
				tx = st.tx
			}
			b := tx.Bucket(bucketEntity).Bucket([]byte(kind))
			if b == nil {
				ended = true
				return "", nil
			}
			cursor = b.Cursor()
			if key, value = cursor.Seek([]byte(last)); key != nil && string(key) == last {
				key, value = cursor.Next()
			}
		default:
			key, value = cursor.Next()
		}
		if ended = key == nil; ended {
			return "", nil
		}
		last = string(key)
		return last, bytes.Clone(t.open(key, value))
	}
}

// append puts a key that is behind all others of its bucket, into pages that are full.
func (st *stage) append(top []byte, name string, key, value []byte) error {
	b, err := st.bucket(top, []byte(name))
	if err != nil {
		return err
	}
	b.FillPercent = 1
	st.written += len(key) + len(value)
	return b.Put(key, value)
}

type indexName struct {
	name      string
	exclusive bool
}

func (n indexName) compare(other indexName) int {
	if n.name != other.name {
		return bytes.Compare([]byte(n.name), []byte(other.name))
	}
	if n.exclusive == other.exclusive {
		return 0
	}
	if n.exclusive {
		return -1
	}
	return 1
}

// index writes the entries of an index in their order.
func (st *stage) index(name indexName, entries *spool.Spool) error {
	buffer, err := entries.AppendAll(make([]byte, 0, entries.Bytes()+4*entries.Len()))
	if err != nil {
		return err
	}
	// An entry is where its record begins, behind the beginning of its key, which tells
	// most apart.
	type entry struct {
		start uint64
		at    int
	}
	list := make([]entry, 0, entries.Len())
	_ = entries.Drain(func([]byte) error { return errors.New("only its memory is given back") })
	record := func(at int) (key, id []byte) {
		rec, _, err := spool.Next(buffer[at:])
		if err != nil {
			return nil, nil
		}
		r := reader{rest: rec}
		return r.bytes(), r.rest
	}
	skip := -1 // what all keys begin with
	var first []byte
	for at := 0; at < len(buffer); {
		_, rest, err := spool.Next(buffer[at:])
		if err != nil {
			return err
		}
		key, _ := record(at)
		if skip < 0 {
			first, skip = key, len(key)
		}
		for skip > 0 && (len(key) < skip || !bytes.Equal(key[:skip], first[:skip])) {
			skip--
		}
		list = append(list, entry{at: at})
		at = len(buffer) - len(rest)
	}
	for i := range list {
		key, _ := record(list[i].at)
		var start [8]byte
		copy(start[:], key[skip:])
		list[i].start = binary.BigEndian.Uint64(start[:])
	}
	slices.SortFunc(list, func(a, b entry) int {
		switch {
		case a.start < b.start:
			return -1
		case a.start > b.start:
			return 1
		}
		x, _ := record(a.at)
		y, _ := record(b.at)
		return bytes.Compare(x, y)
	})
	top := bucketMulti
	if name.exclusive {
		top = bucketUnique
	}
	var last []byte
	for i, e := range list {
		key, id := record(e.at)
		if name.exclusive && i > 0 && bytes.Equal(last, key) {
			_, owner := record(list[i-1].at)
			return &store.ConflictError{Index: name.name, Key: string(key), ID: string(owner)}
		}
		last = key
		value := []byte{}
		if name.exclusive {
			value = id
		}
		if err := st.append(top, name.name, key, value); err != nil {
			return fmt.Errorf("index %s: %w", name.name, err)
		}
	}
	st.swaps = append(st.swaps, swap{top, name.name, false})
	return nil
}

// swap puts the buckets that were written in the place of the old ones.
func (st *stage) swap(b *bbolt.Tx) error {
	staged := b.Bucket(bucketStage)
	for _, sw := range st.swaps {
		into, name := b.Bucket(sw.top), []byte(sw.name)
		if into.Bucket(name) != nil {
			if err := into.DeleteBucket(name); err != nil {
				return fmt.Errorf("drop bucket %s %s: %w", sw.top, name, err)
			}
		}
		if sw.gone {
			continue
		}
		if err := staged.Bucket(sw.top).MoveBucket(name, into); err != nil {
			return fmt.Errorf("move bucket %s %s: %w", sw.top, name, err)
		}
	}
	if staged == nil {
		return nil
	}
	return b.DeleteBucket(bucketStage)
}

// unstage drops what a Load has written that failed, and returns why it did.
func (s *Store) unstage(why error) error {
	if s.ReadOnly() != nil {
		return why
	}
	s.staged = true
	if err := s.dropStage(); err != nil {
		s.o.Logger.Warn("what a change that failed has written stays in the store until the next one", "error", err)
	}
	return why
}

// dropStage drops what is staged, if anything is.
func (s *Store) dropStage() error {
	b, err := s.db.Begin(true)
	if err != nil {
		return closedError(err)
	}
	defer func() { _ = b.Rollback() }() // after a commit it does nothing
	switch err := b.DeleteBucket(bucketStage); {
	case errors.Is(err, berrors.ErrBucketNotFound):
		s.staged = false
		return nil
	case err != nil:
		return fmt.Errorf("drop bucket %s: %w", bucketStage, err)
	}
	if err := s.commitTo(b); err != nil {
		return err
	}
	s.staged = false
	return nil
}
