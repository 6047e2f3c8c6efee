package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

var errEmptyName = errors.New("kinds, ids, indexes and their keys must not be empty")

// maxKey is what bbolt takes as a key.
const maxKey = bbolt.MaxKeySize

// writeTx implements store.WriteTx.
type writeTx struct{ *tx }

func (w *writeTx) Put(kind, id string, body []byte, indexes []store.Index) error {
	return w.put(bucketEntity, bucketLocal, kind, id, body, indexes)
}

func (w *writeTx) PutLocal(kind, id string, body []byte, indexes []store.Index) error {
	return w.put(bucketLocal, bucketEntity, kind, id, body, indexes)
}

// put writes an entity into one top bucket; the kind must not be in the other.
func (w *writeTx) put(top, other []byte, kind, id string, content []byte, indexes []store.Index) error {
	if err := checkNames(kind, id, indexes); err != nil {
		return err
	}
	indexes = distinct(indexes)
	if w.table(other, kind).count() > 0 {
		return fmt.Errorf("put %s: %w", kind, store.ErrWrongKind)
	}
	for i := range indexes {
		if !indexes[i].Exclusive {
			continue
		}
		if owner := w.table(bucketUnique, indexes[i].Name).get(w.sealer.indexKey(indexes[i].Name, indexes[i].Key)); owner != nil && string(owner) != id {
			return &store.ConflictError{Index: indexes[i].Name, Key: indexes[i].Key, ID: string(owner)}
		}
	}
	entities := w.table(top, kind)
	value := encodeEntity(content, indexes)
	old := entities.get(id)
	if bytes.Equal(old, value) {
		return nil
	}
	if err := w.unindex(id, old); err != nil {
		return fmt.Errorf("put %s %s: %w", kind, id, err)
	}
	for i := range indexes {
		w.index(indexes[i], id, true)
	}
	entities.set(id, value)
	return nil
}

// distinct leaves out entries that are there twice.
func distinct(indexes []store.Index) []store.Index {
	for i := range indexes {
		if slices.Contains(indexes[:i], indexes[i]) {
			out := slices.Clone(indexes[:i])
			for _, entry := range indexes[i:] {
				if !slices.Contains(out, entry) {
					out = append(out, entry)
				}
			}
			return out
		}
	}
	return indexes
}

func checkNames(kind, id string, indexes []store.Index) error {
	ok := kind != "" && id != "" && len(id) <= maxKey
	for i := range indexes {
		ok = ok && indexes[i].Name != "" && (indexes[i].Key != "" || !indexes[i].Exclusive)
		if len(indexes[i].Key)+len(id)+8 > maxKey {
			return fmt.Errorf("put %s %s: index %s: key has %d bytes, which is too long", kind, id, indexes[i].Name, len(indexes[i].Key))
		}
	}
	if !ok {
		return fmt.Errorf("put %q %q: %w", kind, id, errEmptyName)
	}
	return nil
}

func (w *writeTx) index(entry store.Index, id string, add bool) {
	table, key, value := w.table(bucketMulti, entry.Name), w.sealer.indexKey(entry.Name, entry.Key), []byte{}
	if entry.Exclusive {
		table, value = w.table(bucketUnique, entry.Name), []byte(id)
	} else {
		key = multiKey(key, id)
	}
	if !add {
		value = nil
	}
	table.set(key, value)
}

// unindex removes the index entries that come with an entity's value.
func (w *writeTx) unindex(id string, value []byte) error {
	if value == nil {
		return nil
	}
	_, indexes, err := decodeEntity(value)
	if err != nil {
		return err
	}
	for i := range indexes {
		w.index(indexes[i], id, false)
	}
	return nil
}

func (w *writeTx) Delete(kind, id string) error { return w.remove(bucketEntity, kind, id) }

func (w *writeTx) DeleteLocal(kind, id string) error { return w.remove(bucketLocal, kind, id) }

func (w *writeTx) remove(top []byte, kind, id string) error {
	if kind == "" {
		return store.ErrNotFound
	}
	entities := w.table(top, kind)
	old := entities.get(id)
	if old == nil {
		return store.ErrNotFound
	}
	if err := w.unindex(id, old); err != nil {
		return fmt.Errorf("delete %s %s: %w", kind, id, err)
	}
	entities.set(id, nil)
	return nil
}

func (w *writeTx) SetMeta(key string, value []byte) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("set value %q: %w", key, errEmptyName)
	}
	var v []byte
	if value != nil {
		v = append([]byte{}, value...)
	}
	w.table(bucketValue, "").set(key, v)
	return nil
}

// changes compares the streamed entities that were written with what was there
// before, in the order of kinds and ids, and brings the tree up to date.
func (w *writeTx) changes(tree *roothash.Tree) ([]store.Change, error) {
	var kinds []string
	for key := range w.tables {
		if key.top == string(bucketEntity) {
			kinds = append(kinds, key.name)
		}
	}
	sort.Strings(kinds)
	var out []store.Change
	for _, kind := range kinds {
		t := w.table(bucketEntity, kind)
		for _, id := range t.keys(nil, nil) {
			before, err := optionalBody(t.stored([]byte(id)))
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", kind, id, err)
			}
			after, err := optionalBody(t.pending[id])
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", kind, id, err)
			}
			switch {
			case before == nil && after == nil:
			case before == nil:
				tree.Put(kind, id, after)
				out = append(out, store.Change{Op: store.Put, Kind: kind, ID: id, Body: after})
			case after == nil:
				tree.Delete(kind, id, before)
				out = append(out, store.Change{Op: store.Delete, Kind: kind, ID: id, Before: before})
			case !bytes.Equal(before, after):
				tree.Replace(kind, id, before, after)
				out = append(out, store.Change{Op: store.Put, Kind: kind, ID: id, Body: after, Before: before})
			}
		}
	}
	return out, nil
}

// optionalBody returns nil for no value, and not nil for an empty body.
func optionalBody(value []byte) ([]byte, error) {
	if value == nil {
		return nil, nil
	}
	b, err := body(value)
	if b == nil {
		b = []byte{}
	}
	return b, err
}

// pending tells whether anything was written.
func (w *writeTx) pending() bool {
	for _, t := range w.order {
		if len(t.pending) > 0 {
			return true
		}
	}
	return false
}

// apply brings everything that was written into the file's buckets.
func (w *writeTx) apply() error {
	for _, t := range w.order {
		if err := t.apply(); err != nil {
			return err
		}
	}
	return nil
}
