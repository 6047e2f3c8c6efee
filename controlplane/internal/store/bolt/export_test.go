package bolt

import (
	"testing"

	"go.etcd.io/bbolt"
)

// SetRewriteFrom sets how many changes make a kind be written again.
func SetRewriteFrom(s *Store, n int) { s.rewriteFrom = n }

// CheckPages lets bbolt check that each page is used once, and that nothing is staged.
func CheckPages(t *testing.T, s *Store) {
	t.Helper()
	_ = s.db.View(func(b *bbolt.Tx) error {
		for err := range b.Check() {
			t.Error(err)
		}
		if b.Bucket(bucketStage) != nil {
			t.Error("something is staged")
		}
		return nil
	})
}
