// Package queue is the way from the log phase to whoever takes logs: a bounded queue
// with Kong's parameters. Putting an entry never blocks and never waits for the sink;
// when the queue is full the oldest entry goes. It owns the batches, the retries and the
// count of what was lost. It refuses to know what an entry is.
//
// Memory is bounded by Config.MaxBytes, or by 8 KiB for each of MaxEntries when that is
// not set: Kong has no bound of bytes then.
package queue

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Config is the field "queue" of a plugin's config.
type Config struct {
	MaxBatchSize       int     `json:"max_batch_size"`
	MaxCoalescingDelay float64 `json:"max_coalescing_delay"`
	MaxEntries         int     `json:"max_entries"`
	MaxBytes           int     `json:"max_bytes"`
	MaxRetryTime       float64 `json:"max_retry_time"`
	InitialRetryDelay  float64 `json:"initial_retry_delay"`
	MaxRetryDelay      float64 `json:"max_retry_delay"`
	ConcurrencyLimit   int     `json:"concurrency_limit"`
}

// Bounds that no config changes.
const (
	// bytesPerEntry makes the limit of bytes where a config has none.
	bytesPerEntry = 8 << 10
	// senders is how many batches are under way at once without a concurrency limit.
	senders = 32
	// keptEntry is the largest buffer that is used again.
	keptEntry = 64 << 10
	// tooSoon is a rest of the coalescing delay that is not worth waiting for.
	tooSoon = 50 * time.Millisecond
	// DefaultFlushTimeout is how long Close goes on sending.
	DefaultFlushTimeout = 5 * time.Second
)

// Options of a Queue.
type Options struct {
	Config Config
	// Send delivers a batch. An error has it called again with the same batch, until
	// MaxRetryTime has passed. The entries are the queue's: valid during the call. With
	// ConcurrencyLimit -1 calls overlap.
	Send func(ctx context.Context, batch []*Entry) error
	// FlushTimeout bounds Close; 0 means DefaultFlushTimeout.
	FlushTimeout time.Duration
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Entry is one thing to deliver.
type Entry struct{ B []byte }

// Add adds the counts of another queue.
func (c *Counts) Add(o Counts) {
	c.Sent, c.Dropped, c.Lost = c.Sent+o.Sent, c.Dropped+o.Dropped, c.Lost+o.Lost
	c.Waiting, c.Bytes = c.Waiting+o.Waiting, c.Bytes+o.Bytes
}

var entries = sync.Pool{New: func() any { return new(Entry) }}

// NewEntry returns an empty entry, to be filled and put.
func NewEntry() *Entry {
	e := entries.Get().(*Entry)
	e.B = e.B[:0]
	return e
}

// Free takes back an entry that was not put.
func (e *Entry) Free() {
	if cap(e.B) > keptEntry {
		e.B = nil
	}
	entries.Put(e)
}

// Counts tell what became of the entries.
type Counts struct {
	// Sent were delivered. Dropped made room for newer ones, were larger than the queue or
	// came after its end. Lost could not be delivered in time.
	Sent, Dropped, Lost int64
	// Waiting entries have Bytes.
	Waiting int
	Bytes   int64
}

// Queue takes entries. It is safe for concurrent use.
type Queue struct {
	o        Options
	log      hclog.Logger
	maxBytes int64

	mu      sync.Mutex
	ring    []*Entry
	head, n int
	bytes   int64
	closed  bool
	// full and warned tell what was logged already.
	full, warned bool

	sent, dropped, lost atomic.Int64

	wake    chan struct{} // one slot for each sender
	closing chan struct{}
	ctx     context.Context //nolint:containedctx // bounds the sending, ended by Close
	stop    context.CancelFunc
	work    sync.WaitGroup
}

// New makes a queue and starts its work, which Close ends.
func New(o Options) *Queue {
	c := &o.Config
	c.MaxBatchSize, c.MaxEntries = max(c.MaxBatchSize, 1), max(c.MaxEntries, 1)
	if o.FlushTimeout == 0 {
		o.FlushTimeout = DefaultFlushTimeout
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	n := 1
	if c.ConcurrencyLimit == -1 {
		n = senders
		c.MaxBatchSize = 1 // as in Kong: each entry is on its own
	}
	q := &Queue{o: o, log: o.Logger, maxBytes: int64(c.MaxBytes), closing: make(chan struct{})}
	if q.maxBytes <= 0 {
		q.maxBytes = int64(c.MaxEntries) * bytesPerEntry
	}
	q.wake = make(chan struct{}, n)
	q.ctx, q.stop = context.WithCancel(context.Background())
	for range n {
		q.work.Go(q.run)
	}
	return q
}

// Put hands an entry over. The oldest entries go when there is no room.
func (q *Queue) Put(e *Entry) {
	if cap(e.B) > 4*len(e.B)+1<<10 {
		e.B = append(make([]byte, 0, len(e.B)), e.B...) // a large buffer is not kept for a small entry
	}
	size := int64(cap(e.B))
	q.mu.Lock()
	if q.closed || size > q.maxBytes {
		closed := q.closed
		q.mu.Unlock()
		q.dropped.Add(1)
		if !closed {
			q.log.Error("entry is larger than the queue", "bytes", len(e.B), "max_bytes", q.maxBytes)
		}
		e.Free()
		return
	}
	before := q.dropped.Load()
	for q.n >= q.o.Config.MaxEntries || q.n > 0 && q.bytes+size > q.maxBytes {
		q.takeLocked().Free()
		q.dropped.Add(1)
	}
	q.growLocked()
	q.ring[(q.head+q.n)%len(q.ring)] = e
	q.n++
	q.bytes += size
	full := !q.full && q.dropped.Load() > before
	q.full = q.full || full
	near := q.n*5 >= q.o.Config.MaxEntries*4 && q.o.Config.MaxEntries > 1
	warn := near && !q.warned
	q.warned = near
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	switch {
	case full:
		q.log.Error("queue full, dropping old entries until processing is successful again", "max_entries", q.o.Config.MaxEntries, "max_bytes", q.maxBytes)
	case warn:
		q.log.Warn("queue at 80% capacity", "max_entries", q.o.Config.MaxEntries)
	}
}

// growLocked makes room in the ring, which is as large as what waits needs it to be.
func (q *Queue) growLocked() {
	if q.n < len(q.ring) {
		return
	}
	next := make([]*Entry, min(max(32, 2*len(q.ring)), q.o.Config.MaxEntries))
	for i := range q.n {
		next[i] = q.ring[(q.head+i)%len(q.ring)]
	}
	q.ring, q.head = next, 0
}

// takeLocked takes the oldest entry.
func (q *Queue) takeLocked() *Entry {
	e := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	q.bytes -= int64(cap(e.B))
	if q.n == 0 && len(q.ring) > 1024 {
		q.ring, q.head = nil, 0
	}
	return e
}

// Counts returns the counts of now.
func (q *Queue) Counts() Counts {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Counts{Sent: q.sent.Load(), Dropped: q.dropped.Load(), Lost: q.lost.Load(), Waiting: q.n, Bytes: q.bytes}
}

// Close sends what waits, for as long as FlushTimeout, and ends the queue. What is left
// then is lost and counted.
func (q *Queue) Close() {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return
	}
	q.closed = true
	q.mu.Unlock()
	close(q.closing)
	timer := time.AfterFunc(q.o.FlushTimeout, q.stop)
	q.work.Wait()
	timer.Stop()
	q.stop()
	q.mu.Lock()
	left := q.n
	for q.n > 0 {
		q.takeLocked().Free()
	}
	q.mu.Unlock()
	if left > 0 {
		q.lost.Add(int64(left))
	}
	if lost := q.lost.Load() + q.dropped.Load(); lost > 0 {
		q.log.Warn("entries were not delivered", "dropped", q.dropped.Load(), "lost", q.lost.Load(), "sent", q.sent.Load())
	}
}
