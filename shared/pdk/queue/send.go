package queue

import (
	"fmt"
	"runtime/debug"
	"time"
)

// run takes batches and sends them until the queue is closed and empty.
func (q *Queue) run() {
	batch := make([]*Entry, 0, min(q.o.Config.MaxBatchSize, 64))
	for {
		batch = q.collect(batch[:0])
		if len(batch) == 0 {
			if q.rest() {
				continue
			}
			return
		}
		q.deliver(batch)
		for i, e := range batch {
			e.Free()
			batch[i] = nil
		}
		if cap(batch) > 1024 {
			batch = nil
		}
	}
}

// rest waits for entries. It reports false when there is nothing left to do.
func (q *Queue) rest() bool {
	select {
	case <-q.wake:
		return true
	case <-q.closing:
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.n > 0 && q.ctx.Err() == nil
	}
}

// brief is up to which delay a batch fills while its sender sleeps: to be woken by each
// entry would cost more than the batch saves.
const brief = 5 * time.Millisecond

// collect takes up to a whole batch, and waits for it to fill for no longer than the
// coalescing delay.
func (q *Queue) collect(batch []*Entry) []*Entry {
	size := q.o.Config.MaxBatchSize
	batch = q.take(batch, size)
	if len(batch) == 0 || len(batch) == size {
		return batch
	}
	delay := seconds(q.o.Config.MaxCoalescingDelay)
	by := time.Now().Add(delay)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	if delay > 0 && delay <= brief {
		select {
		case <-timer.C:
		case <-q.closing:
		}
		return q.take(batch, size)
	}
	for len(batch) < size && time.Until(by) >= tooSoon {
		select {
		case <-q.wake:
			batch = q.take(batch, size)
		case <-timer.C:
		case <-q.closing:
			return q.take(batch, size)
		}
	}
	return batch
}

// take moves entries into the batch until that has size. A sender that leaves some wakes
// the next one.
func (q *Queue) take(batch []*Entry, size int) []*Entry {
	q.mu.Lock()
	for len(batch) < size && q.n > 0 {
		batch = append(batch, q.takeLocked())
	}
	left := q.n > 0
	q.mu.Unlock()
	if left {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return batch
}

// deliver sends a batch, again after growing delays when it fails.
func (q *Queue) deliver(batch []*Entry) {
	c := &q.o.Config
	began := time.Now()
	delay := seconds(c.InitialRetryDelay)
	for try := 1; ; try++ {
		err := q.send(batch)
		if err == nil {
			q.sent.Add(int64(len(batch)))
			q.resumed()
			return
		}
		if try == 1 {
			q.log.Warn("entries were not taken", "entries", len(batch), "error", err)
		}
		// Whatever waits longer than the queue lives is lost either way.
		if time.Since(began) > seconds(c.MaxRetryTime) || q.ctx.Err() != nil || !q.pause(min(delay, seconds(c.MaxRetryDelay))) {
			q.lost.Add(int64(len(batch)))
			q.log.Error("entries are lost", "entries", len(batch), "tries", try, "error", err)
			return
		}
		delay = min(2*delay, seconds(c.MaxRetryDelay))
	}
}

// send calls Send; a panic there costs the batch, not the queue.
func (q *Queue) send(batch []*Entry) (err error) {
	defer func() {
		if r := recover(); r != nil {
			q.log.Error("sending panicked", "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("sending panicked: %v", r)
		}
	}()
	return q.o.Send(q.ctx, batch)
}

// pause waits, and reports false when the queue's time is over.
func (q *Queue) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-q.ctx.Done():
		return false
	}
}

// resumed forgets that the queue was full.
func (q *Queue) resumed() {
	q.mu.Lock()
	was := q.full
	q.full = false
	q.mu.Unlock()
	if was {
		q.log.Info("queue resumed processing", "dropped", q.dropped.Load())
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
