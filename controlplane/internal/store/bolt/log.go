package bolt

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// compactEvery is how many revisions the log may have above its bound, so that not
// every commit has to write the log's oldest pages too.
const compactEvery = 64

// largestSet is which part of the log one change set may take: one that is larger would be
// there twice while it is committed, for nobody who needs it.
const largestSet = 4

// appendLog writes a change set to the log.
func (s *Store) appendLog(b *bbolt.Tx, next *head, set *store.ChangeSet) error {
	log := b.Bucket(bucketLog)
	size, before := uint64(0), uint64(0)
	for i := range set.Changes {
		size += uint64(len(set.Changes[i].Body))
		before += uint64(len(set.Changes[i].Before))
	}
	// Nodes need what there is now, history what was before: that gives way first.
	set.Reversible = set.Reversible && size+before <= s.o.LogBytes/largestSet
	if size > s.o.LogBytes/largestSet {
		set.Changes, set.Omitted = nil, true // a node gets a snapshot in its place, which is smaller
	}
	log.FillPercent = 0.95 // revisions only grow
	value := s.sealer.seal(bucketLog, nil, logKey(next.revision), encodeChangeSet(set))
	if err := log.Put(logKey(next.revision), value); err != nil {
		return fmt.Errorf("log revision %d: %w", next.revision, err)
	}
	next.logBytes += uint64(len(value))
	return nil
}

// compact drops the oldest change sets when there are too many or they are too large.
func (s *Store) compact(b *bbolt.Tx, next *head) error {
	kept := next.revision + 1 - next.logFirst
	if kept < s.o.LogRevisions+compactEvery && next.logBytes <= s.o.LogBytes {
		return nil
	}
	log := b.Bucket(bucketLog)
	cursor := log.Cursor()
	var drop [][]byte
	for k, v := cursor.First(); k != nil && (kept > s.o.LogRevisions || next.logBytes > s.o.LogBytes); k, v = cursor.Next() {
		drop = append(drop, k)
		next.logBytes -= uint64(len(v))
		next.logFirst = binary.BigEndian.Uint64(k) + 1
		kept--
	}
	for _, k := range drop {
		if err := log.Delete(k); err != nil {
			return fmt.Errorf("drop revision %d: %w", binary.BigEndian.Uint64(k), err)
		}
	}
	return nil
}
