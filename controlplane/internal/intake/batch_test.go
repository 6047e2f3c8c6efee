package intake

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// What comes while a transaction is written goes into the next one, and nobody waits for
// more than two.
func TestWritesShareTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		b := batcher{apply: func(_ context.Context, lists [][]catalog.Change) (store.Position, []error) {
			sizes = append(sizes, len(lists))
			time.Sleep(10 * time.Millisecond)
			refused := make([]error, len(lists))
			for i, l := range lists {
				if l[0].ID == "bad" {
					refused[i] = errors.New("refused")
				}
			}
			return store.Position{Revision: uint64(len(sizes))}, refused
		}}
		var work sync.WaitGroup
		write := func(id string) {
			began := time.Now()
			at, err := b.write(t.Context(), []catalog.Change{{ID: id}})
			if (err != nil) != (id == "bad") || at.Revision == 0 {
				t.Errorf("%s: %v, %v", id, at, err)
			}
			if took := time.Since(began); took > 20*time.Millisecond && id != "late" {
				t.Errorf("%s took %v", id, took)
			}
		}
		work.Go(func() { write("first") })
		synctest.Wait()
		for range 30 {
			work.Go(func() { write("good") })
			work.Go(func() { write("bad") })
		}
		work.Wait()
		if len(sizes) != 2 || sizes[0] != 1 || sizes[1] != 60 {
			t.Errorf("transactions of %v", sizes)
		}
		sizes = nil
		for range 200 {
			work.Go(func() { write("late") })
		}
		work.Wait()
		total := 0
		for _, n := range sizes {
			total += n
			if n > maxBatch {
				t.Errorf("a transaction of %d", n)
			}
		}
		if total != 200 || len(sizes) > 5 {
			t.Errorf("transactions of %v", sizes)
		}
		if b.writing || len(b.waiting) > 0 {
			t.Error("somebody is left")
		}
	})
}
