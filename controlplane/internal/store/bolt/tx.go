package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// tx implements store.Tx. In a write transaction its tables hold what was written so
// far; tables are made on first use.
type tx struct {
	b       *bbolt.Tx
	lineage string
	head    head
	tables  map[tableKey]*table
	order   []*table // as they were made
	sealer  *sealer
	// unsealed is the first value that could not be decrypted: what fn saw is not what
	// is there.
	unsealed error
	// read counts the bytes of bodies that were read.
	read int64
}

type tableKey struct{ top, name string }

// outcome is the error of a function that read the transaction.
func (t *tx) outcome(err error) error {
	if t.unsealed != nil {
		return t.unsealed
	}
	return err
}

func newTx(b *bbolt.Tx, lineage string, s *sealer) (*tx, error) {
	h, err := decodeHead(b.Bucket(bucketMeta).Get(keyHead))
	if err != nil {
		return nil, err
	}
	return &tx{b: b, lineage: lineage, head: h, sealer: s}, nil
}

func (t *tx) table(top []byte, name string) *table {
	key := tableKey{string(top), name}
	if known := t.tables[key]; known != nil {
		return known
	}
	made := newTable(t.b.Bucket(top), name, key.top == string(bucketEntity) || key.top == string(bucketLocal))
	made.top = top
	if t.sealer != nil && isSealed(top) {
		made.sealer, made.failed = t.sealer, &t.unsealed
	}
	if t.tables == nil {
		t.tables = make(map[tableKey]*table, 4)
	}
	t.tables[key] = made
	t.order = append(t.order, made)
	return made
}

func (h head) position(lineage string) store.Position {
	return store.Position{Lineage: lineage, Generation: h.generation, Revision: h.revision, Root: h.root}
}

func (t *tx) Position() store.Position { return t.head.position(t.lineage) }

// value returns what is kept for an entity, streamed or local.
func (t *tx) value(kind, id string) []byte {
	if v := t.table(bucketEntity, kind).get(id); v != nil {
		return v
	}
	return t.table(bucketLocal, kind).get(id)
}

func (t *tx) Get(kind, id string) ([]byte, error) {
	if kind == "" {
		return nil, store.ErrNotFound
	}
	v := t.value(kind, id)
	if v == nil {
		return nil, store.ErrNotFound
	}
	t.read += int64(len(v))
	return body(v)
}

func (t *tx) Lookup(index, key string) (string, error) {
	if index == "" || key == "" {
		return "", store.ErrNotFound
	}
	id := t.table(bucketUnique, index).get(t.sealer.indexKey(index, key))
	if id == nil {
		return "", store.ErrNotFound
	}
	return string(id), nil
}

// kindTable returns the table that a kind is in; a kind that is nowhere is in an
// empty one.
func (t *tx) kindTable(kind string) *table {
	streamed := t.table(bucketEntity, kind)
	if streamed.bucket == nil && len(streamed.pending) == 0 {
		return t.table(bucketLocal, kind)
	}
	return streamed
}

func (t *tx) List(kind, after string, limit int, fn func(id string, body []byte) bool) error {
	if kind == "" || limit <= 0 {
		return nil
	}
	var failed error
	t.kindTable(kind).each([]byte(after), nil, func(key, value []byte) bool {
		b, err := body(value)
		if err != nil {
			failed = fmt.Errorf("%s %s: %w", kind, key, err)
			return false
		}
		limit--
		t.read += int64(len(value))
		return fn(string(key), b) && limit > 0
	})
	return failed
}

// multiKey is the key of an entry of a multi-index. The length in front keeps keys
// apart of which one begins with the other.
func multiKey(key, id string) string {
	b := make([]byte, 0, len(key)+len(id)+2)
	return string(append(appendBytes(b, key), id...))
}

func (t *tx) Scan(index, key, after string, limit int, fn func(id string) bool) error {
	if index == "" || limit <= 0 {
		return nil
	}
	under := t.sealer.indexKey(index, key)
	prefix := []byte(multiKey(under, ""))
	start := prefix
	if after != "" {
		start = []byte(multiKey(under, after))
	}
	t.table(bucketMulti, index).each(start, prefix, func(k, _ []byte) bool {
		limit--
		return fn(string(k[len(prefix):])) && limit > 0
	})
	return nil
}

func (t *tx) Count(kind string) (int, error) {
	if kind == "" {
		return 0, nil
	}
	return t.kindTable(kind).count(), nil
}

func logKey(revision uint64) []byte { return binary.BigEndian.AppendUint64(nil, revision) }

func (t *tx) ChangeSets(after uint64, fn func(*store.ChangeSet) bool) error {
	if after >= t.head.revision {
		return nil
	}
	if after+1 < t.head.logFirst {
		return store.ErrCompacted
	}
	cursor := t.b.Bucket(bucketLog).Cursor()
	want := after + 1
	for k, v := cursor.Seek(logKey(want)); k != nil; k, v = cursor.Next() {
		if !bytes.Equal(k, logKey(want)) {
			return fmt.Errorf("change log has no revision %d: %w", want, store.ErrDamaged)
		}
		v, err := t.sealer.open(bucketLog, nil, k, v)
		if err != nil {
			return err
		}
		set, err := decodeChangeSet(t.lineage, v)
		if err != nil {
			return fmt.Errorf("revision %d: %w", want, err)
		}
		if !fn(set) {
			return nil
		}
		if set.Omitted {
			return store.ErrCompacted
		}
		want++
	}
	return nil
}

func (t *tx) Meta(key string) ([]byte, error) {
	v := t.table(bucketValue, "").get(key)
	if v == nil {
		return nil, store.ErrNotFound
	}
	return v, nil
}
