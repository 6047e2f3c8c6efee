package bolt

import (
	"context"

	"go.etcd.io/bbolt"
)

// batchBytes is how many bytes one transaction of many takes: what is written is in memory
// until it ends.
const batchBytes = 4 << 20

// batches write much in several transactions, one after the other.
type batches struct {
	ctx    context.Context //nolint:containedctx // lives as long as the call
	begin  func() (*bbolt.Tx, error)
	commit func(*bbolt.Tx) error
	// root is the bucket that everything is put below; nil for the top.
	root    []byte
	tx      *bbolt.Tx
	written int
	// What put wrote to last, as long as tx is there.
	top, name []byte
	last      *bbolt.Bucket
}

func (c *batches) rollback() {
	if c.tx != nil {
		_ = c.tx.Rollback()
		c.tx, c.last = nil, nil
	}
}

// flush commits what was written.
func (c *batches) flush() error {
	tx := c.tx
	c.tx, c.last, c.written = nil, nil, 0
	if tx == nil {
		return nil
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	return c.commit(tx)
}

// bucket returns a bucket to write to, after a commit when enough was written.
func (c *batches) bucket(top, name []byte) (*bbolt.Bucket, error) {
	if c.written >= batchBytes {
		if err := c.flush(); err != nil {
			return nil, err
		}
	}
	if c.tx == nil {
		if err := c.ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		if c.tx, err = c.begin(); err != nil {
			return nil, err
		}
	}
	if c.last != nil && string(c.top) == string(top) && string(c.name) == string(name) {
		return c.last, nil
	}
	b, err := c.find(top, name)
	if err != nil {
		return nil, err
	}
	c.top, c.name, c.last = append(c.top[:0], top...), append(c.name[:0], name...), b
	return b, nil
}

func (c *batches) find(top, name []byte) (*bbolt.Bucket, error) {
	b := c.tx.Bucket(top)
	if c.root != nil {
		root, err := c.tx.CreateBucketIfNotExists(c.root)
		if err != nil {
			return nil, err
		}
		if b, err = root.CreateBucketIfNotExists(top); err != nil {
			return nil, err
		}
	}
	if name == nil {
		return b, nil
	}
	return b.CreateBucketIfNotExists(name)
}

func (c *batches) put(top, name, key, value []byte) error {
	b, err := c.bucket(top, name)
	if err != nil {
		return err
	}
	c.written += len(key) + len(value)
	return b.Put(key, value)
}
