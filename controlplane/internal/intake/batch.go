package intake

import (
	"context"
	"sync"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// maxBatch bounds the questions that are answered in one transaction.
const maxBatch = 64

// batcher writes what comes while it writes in one go: a transaction takes a sync of the
// disk, however much is in it.
type batcher struct {
	apply func(ctx context.Context, lists [][]catalog.Change) (store.Position, []error)

	mu      sync.Mutex
	waiting []*job
	writing bool
}

// job is one list of changes. done is closed when at and err are set; who gets lead
// writes next.
type job struct {
	changes []catalog.Change
	done    chan struct{}
	lead    chan struct{}
	at      store.Position
	err     error
}

// write makes changes, together with those that wait at the same time.
func (b *batcher) write(ctx context.Context, changes []catalog.Change) (store.Position, error) {
	j := &job{changes: changes, done: make(chan struct{}), lead: make(chan struct{}, 1)}
	b.mu.Lock()
	b.waiting = append(b.waiting, j)
	if b.writing {
		b.mu.Unlock()
		select {
		case <-j.done:
			return j.at, j.err
		case <-j.lead:
		}
	} else {
		b.writing = true
		b.mu.Unlock()
	}
	// Who leads is the first that waits: one batch is enough, and the next one leads then.
	b.writeSome(context.WithoutCancel(ctx))
	b.mu.Lock()
	if b.writing = len(b.waiting) > 0; b.writing {
		b.waiting[0].lead <- struct{}{}
	}
	b.mu.Unlock()
	return j.at, j.err
}

// writeSome writes what waits.
func (b *batcher) writeSome(ctx context.Context) {
	b.mu.Lock()
	n := min(len(b.waiting), maxBatch)
	jobs := b.waiting[:n:n]
	b.waiting = append([]*job(nil), b.waiting[n:]...)
	b.mu.Unlock()
	lists := make([][]catalog.Change, n)
	for i, j := range jobs {
		lists[i] = j.changes
	}
	at, refused := b.apply(ctx, lists)
	for i, j := range jobs {
		j.at, j.err = at, refused[i]
		close(j.done)
	}
}
