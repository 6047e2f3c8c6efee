package fleet

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Progress is when how many nodes had applied a revision.
type Progress struct {
	mu        sync.Mutex
	revisions map[uint64]*arrivals
	changed   chan struct{}
	want      uint64 // who waits, waits for this revision
	nodes     int
}

type arrivals struct {
	count       int
	first, last time.Time
}

// NewProgress makes one without any.
func NewProgress() *Progress {
	return &Progress{revisions: map[uint64]*arrivals{}, changed: make(chan struct{}, 1)}
}

// maxStep bounds how many revisions one frame counts for.
const maxStep = 1000

func (p *Progress) applied(before, revision uint64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before >= revision || revision-before > maxStep {
		before = revision - 1
	}
	for r := before + 1; r <= revision; r++ {
		a := p.revisions[r]
		if a == nil {
			a = &arrivals{first: now}
			p.revisions[r] = a
			delete(p.revisions, r-10*maxStep)
		}
		a.count++
		a.last = now
		if r == p.want && a.count == p.nodes {
			select {
			case p.changed <- struct{}{}:
			default:
			}
		}
	}
}

// Wait waits until so many nodes have applied a revision or a later one, and returns
// when the last of them did. One waits at a time.
func (p *Progress) Wait(ctx context.Context, revision uint64, nodes int) (time.Time, error) {
	p.mu.Lock()
	p.want, p.nodes = revision, nodes
	p.mu.Unlock()
	for {
		p.mu.Lock()
		a := p.revisions[revision]
		count, last := 0, time.Time{}
		if a != nil {
			count, last = a.count, a.last
		}
		p.mu.Unlock()
		if count >= nodes {
			return last, nil
		}
		select {
		case <-p.changed:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("revision %d is applied by %d of %d nodes: %w", revision, count, nodes, ctx.Err())
		}
	}
}
