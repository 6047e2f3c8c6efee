package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// recode writes the file again under another key, or under none, and puts the new file in
// the place of the old one once it is whole: a crash leaves the old one. Nothing of what
// was in clear stays in the file.
func recode(ctx context.Context, o *Options, from, to *sealer) error {
	lock, err := lockFile(o.Path + ".recode.lock")
	if err != nil {
		return err
	}
	defer lock()
	temporary := o.Path + ".recode"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := recodeInto(ctx, o.Path, temporary, from, to); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	before, err := examine(ctx, o.Path, from)
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	after, err := examine(ctx, temporary, to)
	if err == nil && after.Root() != before.Root() {
		err = fmt.Errorf("%w: the entities have root %s after, %s before", store.ErrDamaged, after.Root(), before.Root())
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return moveInto(temporary, o.Path)
}

// lockFile keeps two processes from writing the same file.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, fileMode) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(store.ErrInUse, f.Close())
	}
	return func() { _, _ = os.Remove(path), f.Close() }, nil
}

func recodeInto(ctx context.Context, path, temporary string, from, to *sealer) (err error) {
	src, err := bbolt.Open(path, fileMode, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout, NoStatistics: true})
	if err != nil {
		return lockError(err)
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	dst, err := bbolt.Open(temporary, fileMode, &bbolt.Options{Timeout: lockTimeout, NoFreelistSync: true, NoSync: true, NoStatistics: true})
	if err != nil {
		return lockError(err)
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if err := dst.Update(func(b *bbolt.Tx) error {
		for _, name := range topBuckets {
			if _, err := b.CreateBucket(name); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := src.View(func(b *bbolt.Tx) error {
		c := copier{batches: batches{ctx: ctx, begin: func() (*bbolt.Tx, error) { return dst.Begin(true) }, commit: (*bbolt.Tx).Commit}, from: from, to: to}
		defer c.rollback()
		return c.copy(b)
	}); err != nil {
		return err
	}
	return dst.Sync()
}

// copier copies a file with other keys.
type copier struct {
	batches
	from, to *sealer
	logBytes uint64
}

func (c *copier) copy(src *bbolt.Tx) error {
	var h head
	err := eachBucket(c.ctx, src, func(top, name, key, value []byte) error {
		var err error
		switch {
		case bytes.Equal(top, bucketUnique), bytes.Equal(top, bucketMulti):
			return nil // made again from the entities
		case bytes.Equal(top, bucketMeta) && bytes.Equal(key, keyCipher):
			return nil
		case bytes.Equal(top, bucketMeta) && bytes.Equal(key, keyHead):
			h, err = decodeHead(value)
			return err
		}
		if isSealed(top) {
			if value, err = c.from.open(top, name, key, value); err != nil {
				return err
			}
			if bytes.Equal(top, bucketEntity) || bytes.Equal(top, bucketLocal) {
				if err := c.indexes(key, value); err != nil {
					return err
				}
			}
			value = c.to.seal(top, name, key, value)
		}
		if bytes.Equal(top, bucketLog) {
			c.logBytes += uint64(len(value))
		}
		return c.put(top, name, key, value)
	})
	if err != nil {
		return err
	}
	h.logBytes = c.logBytes
	if err := c.put(bucketMeta, nil, keyHead, h.encode()); err != nil {
		return err
	}
	if c.to != nil {
		if err := c.put(bucketMeta, nil, keyCipher, c.to.meta); err != nil {
			return err
		}
	}
	if err := c.sequences(src); err != nil {
		return err
	}
	return c.flush()
}

// indexes writes the index entries of an entity.
func (c *copier) indexes(id, value []byte) error {
	_, entries, err := decodeEntity(value)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		key := c.to.indexKey(entry.Name, entry.Key)
		if entry.Exclusive {
			err = c.put(bucketUnique, []byte(entry.Name), []byte(key), id)
		} else {
			err = c.put(bucketMulti, []byte(entry.Name), []byte(multiKey(key, string(id))), []byte{})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sequences copies the numbers of entities.
func (c *copier) sequences(src *bbolt.Tx) error {
	for _, top := range [][]byte{bucketEntity, bucketLocal} {
		if err := src.Bucket(top).ForEachBucket(func(name []byte) error {
			b, err := c.bucket(top, name)
			if err != nil {
				return err
			}
			return b.SetSequence(src.Bucket(top).Bucket(name).Sequence())
		}); err != nil {
			return err
		}
	}
	return nil
}
