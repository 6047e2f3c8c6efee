package bolt

import (
	"bytes"
	"fmt"
	"sort"

	"go.etcd.io/bbolt"
)

// Names of the top buckets, see the package comment.
var (
	bucketMeta   = []byte("meta")
	bucketEntity = []byte("entity")
	bucketLocal  = []byte("local")
	bucketUnique = []byte("unique")
	bucketMulti  = []byte("multi")
	bucketLog    = []byte("log")
	bucketValue  = []byte("value")

	topBuckets = [][]byte{bucketMeta, bucketEntity, bucketLocal, bucketUnique, bucketMulti, bucketLog, bucketValue}
)

// table is one bucket with what a write transaction wants to change on top of it.
// Nothing reaches the bucket before apply, so that a transaction that fails leaves no
// trace, and so that keys arrive in order, which bbolt takes much faster.
type table struct {
	parent *bbolt.Bucket
	// name below parent, nil when the table is parent itself.
	name   []byte
	bucket *bbolt.Bucket // nil while there is none
	// pending changes by key; nil deletes.
	pending map[string][]byte
	// counted tables keep the number of their keys as the bucket's sequence; added is
	// how many keys the changes add to it.
	counted bool
	added   int
	top     []byte
	// sealer of a table whose values are encrypted in the bucket, nil for others; failed
	// gets the first value that can't be decrypted. Pending values are in clear.
	sealer *sealer
	failed *error
}

func newTable(parent *bbolt.Bucket, name string, counted bool) *table {
	t := &table{parent: parent, counted: counted}
	if name == "" {
		t.bucket = parent
		return t
	}
	t.name = []byte(name)
	t.bucket = parent.Bucket(t.name)
	return t
}

// rebind makes the changes be of another transaction, which sees the same.
func (t *table) rebind(b *bbolt.Tx) {
	t.parent = b.Bucket(t.top)
	if t.bucket = t.parent; t.name != nil {
		t.bucket = t.parent.Bucket(t.name)
	}
}

func (t *table) stored(key []byte) []byte {
	if t.bucket == nil {
		return nil
	}
	return t.open(key, t.bucket.Get(key))
}

// open decrypts a value, nil when that fails.
func (t *table) open(key, value []byte) []byte {
	if t.sealer == nil || value == nil {
		return value
	}
	out, err := t.sealer.open(t.top, t.name, key, value)
	if err != nil && *t.failed == nil {
		*t.failed = err
	}
	return out
}

// get returns the value of a key, nil when there is none.
func (t *table) get(key string) []byte {
	if v, ok := t.pending[key]; ok {
		return v
	}
	return t.stored([]byte(key))
}

// set changes a key; a nil value deletes it. The table keeps value.
func (t *table) set(key string, value []byte) {
	was := t.get(key) != nil
	switch is := value != nil; {
	case is && !was:
		t.added++
	case !is && was:
		t.added--
	case !is:
		return
	}
	if t.pending == nil {
		t.pending = map[string][]byte{}
	}
	t.pending[key] = value
}

// count returns how many keys there are, for tables that keep their number.
func (t *table) count() int {
	n := t.added
	if t.bucket != nil {
		n += int(t.bucket.Sequence())
	}
	return n
}

// keys returns the changed keys from start on that have a prefix, in order.
func (t *table) keys(start, prefix []byte) []string {
	var keys []string
	for k := range t.pending {
		if k >= string(start) && len(k) >= len(prefix) && k[:len(prefix)] == string(prefix) {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	return keys
}

// each calls fn for the keys after start that have a prefix, in order, until fn
// returns false.
func (t *table) each(after, prefix []byte, fn func(key, value []byte) bool) {
	var cursor *bbolt.Cursor
	var key, value []byte
	from := after
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	if t.bucket != nil {
		cursor = t.bucket.Cursor()
		key, value = cursor.Seek(from)
	}
	if len(t.pending) == 0 {
		for ; key != nil && bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
			if !bytes.Equal(key, after) && !fn(key, t.open(key, value)) {
				return
			}
		}
		return
	}
	for _, k := range append(t.keys(from, prefix), "") {
		last := k == ""
		for ; key != nil && bytes.HasPrefix(key, prefix) && (last || string(key) < k); key, value = cursor.Next() {
			if !bytes.Equal(key, after) && !fn(key, t.open(key, value)) {
				return
			}
		}
		if last {
			return
		}
		if key != nil && string(key) == k {
			key, value = cursor.Next()
		}
		if v := t.pending[k]; v != nil && k != string(after) && !fn([]byte(k), v) {
			return
		}
	}
}

// apply brings the changes into the bucket. What is there already is not written, so
// that its page need not be.
func (t *table) apply() error {
	for _, k := range t.keys(nil, nil) {
		key, v := []byte(k), t.pending[k]
		if stored := t.stored(key); (stored == nil) == (v == nil) && bytes.Equal(stored, v) {
			continue
		}
		if err := t.write(key, v); err != nil {
			return fmt.Errorf("write %q to bucket %s: %w", k, t.name, err)
		}
	}
	if t.counted && t.added != 0 {
		if err := t.bucket.SetSequence(uint64(t.count())); err != nil {
			return fmt.Errorf("count bucket %s: %w", t.name, err)
		}
	}
	t.pending, t.added = nil, 0
	return nil
}

func (t *table) write(key, value []byte) error {
	if value == nil {
		return t.bucket.Delete(key)
	}
	if t.bucket == nil {
		b, err := t.parent.CreateBucketIfNotExists(t.name)
		if err != nil {
			return fmt.Errorf("make bucket: %w", err)
		}
		t.bucket = b
	}
	if t.sealer != nil {
		value = t.sealer.seal(t.top, t.name, key, value)
	}
	return t.bucket.Put(key, value)
}
