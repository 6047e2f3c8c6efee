package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

// examine reads the whole file without changing it, and returns the tree over its
// entities. bbolt trusts its pages: opening a torn file for writing ends the process.
func examine(ctx context.Context, path string, s *sealer) (tree *roothash.Tree, err error) {
	err = inspect(path, func(b *bbolt.Tx) error {
		tree, err = verify(ctx, b, s)
		return err
	})
	return tree, err
}

// inspect calls fn with a file that is open for reading.
func inspect(path string, fn func(b *bbolt.Tx) error) (err error) {
	// A page that the file no longer has, or that the disk can't read, is a fault.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("%w: %v", store.ErrDamaged, why)
		}
	}()
	db, err := bbolt.Open(path, fileMode, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout, NoStatistics: true})
	if err != nil {
		return lockError(err)
	}
	defer func() { _ = db.Close() }()
	b, err := db.Begin(false)
	if err != nil {
		return err
	}
	defer func() { _ = b.Rollback() }()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < b.Size() {
		return fmt.Errorf("%w: the file has %d bytes of %d", store.ErrDamaged, info.Size(), b.Size())
	}
	return fn(b)
}

// verify reads everything, checks the change sets' checksums and compares the root over
// the bodies with the stored one.
func verify(ctx context.Context, b *bbolt.Tx, s *sealer) (*roothash.Tree, error) {
	damaged := func(format string, arguments ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{store.ErrDamaged}, arguments...)...)
	}
	for _, name := range topBuckets {
		if b.Bucket(name) == nil {
			return nil, damaged("there is no bucket %s", name)
		}
	}
	version, err := readVersion(b)
	if err != nil {
		return nil, err
	}
	meta := b.Bucket(bucketMeta)
	h, err := decodeHead(meta.Get(keyHead))
	if err != nil {
		return nil, damaged("%w", err)
	}
	if len(meta.Get(keyLineage)) == 0 {
		return nil, damaged("there is no lineage")
	}
	tree := roothash.New()
	err = eachBucket(ctx, b, func(top, name, key, value []byte) error {
		if isSealed(top) {
			if value, err = s.open(top, name, key, value); err != nil {
				return err
			}
		}
		switch {
		case bytes.Equal(top, bucketLog):
			if _, err := checkChangeSet(value); err != nil {
				return damaged("change set of revision %x: %w", key, err)
			}
			return nil
		case !bytes.Equal(top, bucketEntity):
			return nil
		}
		content, err := body(value)
		if err != nil {
			return damaged("%s %s: %w", name, key, err)
		}
		tree.Put(string(name), string(key), content)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if version == layoutVersion && tree.Root() != h.root {
		return nil, damaged("the entities have root %s, revision %d has %s", tree.Root(), h.revision, h.root)
	}
	return tree, nil
}

// eachBucket calls fn for every key of the file, and checks that keys are in order.
func eachBucket(ctx context.Context, b *bbolt.Tx, fn func(top, name, key, value []byte) error) error {
	var walk func(bucket *bbolt.Bucket, top, name []byte) error
	walk = func(bucket *bbolt.Bucket, top, name []byte) error {
		var last []byte
		n := 0
		cursor := bucket.Cursor()
		for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
			if last != nil && bytes.Compare(last, key) >= 0 {
				return fmt.Errorf("%w: keys of %s %s are out of order", store.ErrDamaged, top, name)
			}
			last = key
			if n++; n%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if value == nil {
				if name != nil {
					return fmt.Errorf("%w: %s %s has a bucket inside", store.ErrDamaged, top, name)
				}
				if err := walk(bucket.Bucket(key), top, key); err != nil {
					return err
				}
				continue
			}
			if err := fn(top, name, key, value); err != nil {
				return err
			}
		}
		if counted := bytes.Equal(top, bucketEntity) || bytes.Equal(top, bucketLocal); counted && name != nil && bucket.Sequence() != uint64(n) {
			return fmt.Errorf("%w: %s %s has %d keys, counted were %d", store.ErrDamaged, top, name, n, bucket.Sequence())
		}
		return nil
	}
	for _, top := range topBuckets {
		if err := walk(b.Bucket(top), top, nil); err != nil {
			return err
		}
	}
	return nil
}

// Check compares everything that is derived with what it is derived from: the root with
// the bodies, index entries with those that entities know of, both ways, and the extent
// of the change log. It reads the whole file.
func (s *Store) Check(ctx context.Context) error {
	b, err := s.db.Begin(false)
	if err != nil {
		return closedError(err)
	}
	defer func() { _ = b.Rollback() }()
	if _, err := verify(ctx, b, s.sealer); err != nil {
		return err
	}
	return derived(ctx, b, s.sealer, func(problem error) error { return problem })
}

// derived is the part of Check that is about what is derived. found is called for each
// thing that is wrong, and goes on with nil.
func derived(ctx context.Context, b *bbolt.Tx, s *sealer, found func(problem error) error) error {
	h, err := decodeHead(b.Bucket(bucketMeta).Get(keyHead))
	if err != nil {
		return err
	}
	entries, expected := 0, 0
	logged, logBytes := uint64(0), uint64(0)
	err = eachBucket(ctx, b, func(top, name, key, value []byte) error {
		switch string(top) {
		case "unique", "multi":
			entries++
		case "log":
			want := h.logFirst + logged
			logged++
			logBytes += uint64(len(value))
			if binary.BigEndian.Uint64(key) != want {
				return found(fmt.Errorf("%w: change log has revision %x in place of %d", store.ErrDamaged, key, want))
			}
		case "entity", "local":
			value, err := s.open(top, name, key, value)
			if err != nil {
				return err
			}
			_, indexes, err := decodeEntity(value)
			if err != nil {
				return err
			}
			expected += len(indexes)
			if err := checkIndexes(b, s, string(name), string(key), indexes); err != nil {
				return found(err)
			}
		}
		return nil
	})
	if err == nil && entries != expected {
		err = found(fmt.Errorf("%w: there are %d index entries, entities know of %d", store.ErrDamaged, entries, expected))
	}
	if err == nil && (logged != h.revision+1-h.logFirst || logBytes != h.logBytes) {
		err = found(fmt.Errorf("%w: change log has %d revisions and %d bytes, counted were %d and %d",
			store.ErrDamaged, logged, logBytes, h.revision+1-h.logFirst, h.logBytes))
	}
	return err
}

func checkIndexes(b *bbolt.Tx, s *sealer, kind, id string, indexes []store.Index) error {
	seen := make(map[store.Index]bool, len(indexes))
	for _, entry := range indexes {
		under := s.indexKey(entry.Name, entry.Key)
		top, key, want := bucketMulti, multiKey(under, id), ""
		if entry.Exclusive {
			top, key, want = bucketUnique, under, id
		}
		bucket := b.Bucket(top).Bucket([]byte(entry.Name))
		if bucket == nil {
			return fmt.Errorf("%w: there is no index %s, which %s %s is in", store.ErrDamaged, entry.Name, kind, id)
		}
		if got := bucket.Get([]byte(key)); got == nil || string(got) != want || seen[entry] {
			return fmt.Errorf("%w: index %s has %q for %q, want %s %s once", store.ErrDamaged, entry.Name, got, entry.Key, kind, id)
		}
		seen[entry] = true
	}
	return nil
}
