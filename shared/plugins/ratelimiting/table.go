package ratelimiting

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// maxCounters bounds the counters of one plugin config: some 40 MiB.
const maxCounters = 1 << 18

const shards = 64

// table finds the counter of an identity. Finding takes no lock and does not
// allocate; nodes are immutable, and a change makes a chain anew. It is safe for
// concurrent use.
type table struct {
	seed   maphash.Seed
	limit  int // of one shard
	shards [shards]shard
	// syncing is held while counts are exchanged with Redis.
	syncing sync.Mutex
}

type shard struct {
	mu      sync.Mutex
	n       int
	buckets atomic.Pointer[[]bucket]
	_       [64]byte // shards do not share cache lines
}

type bucket = atomic.Pointer[node]

type node struct {
	hash    uint64
	counter *counter
	next    *node
}

func newTable(limit int) *table {
	t := &table{seed: maphash.MakeSeed(), limit: max(4, limit/shards)}
	for i := range t.shards {
		buckets := make([]bucket, 1)
		t.shards[i].buckets.Store(&buckets)
	}
	return t
}

// get returns the counter of an identity, made when there is none. It keeps a copy
// of key.
func (t *table) get(k kind, key string, w *windows) *counter {
	hash := maphash.String(t.seed, key) ^ uint64(k)<<56
	s := &t.shards[hash%shards]
	c := find(*s.buckets.Load(), hash, k, key)
	if c == nil {
		c = t.insert(s, hash, k, key, w)
	}
	if c.used.Load() != w.Now {
		c.used.Store(w.Now)
	}
	return c
}

func find(buckets []bucket, hash uint64, k kind, key string) *counter {
	for n := buckets[place(hash, buckets)].Load(); n != nil; n = n.next {
		if n.hash == hash && n.counter.kind == k && n.counter.key == key {
			return n.counter
		}
	}
	return nil
}

func place(hash uint64, buckets []bucket) uint64 { return hash / shards & uint64(len(buckets)-1) }

func (t *table) insert(s *shard, hash uint64, k kind, key string, w *windows) *counter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := find(*s.buckets.Load(), hash, k, key); c != nil {
		return c
	}
	if s.n >= t.limit {
		s.evictLocked(w, t.limit)
	}
	if s.n >= 2*len(*s.buckets.Load()) {
		s.keepLocked(2*len(*s.buckets.Load()), func(*counter) bool { return true })
	}
	c := &counter{kind: k, key: strings.Clone(key)}
	c.used.Store(w.Now)
	buckets := *s.buckets.Load()
	b := &buckets[place(hash, buckets)]
	b.Store(&node{hash: hash, counter: c, next: b.Load()})
	s.n++
	return c
}

// keepLocked makes the shard anew with the counters that keep wants.
func (s *shard) keepLocked(size int, keep func(c *counter) bool) {
	buckets := make([]bucket, size)
	s.n = 0
	for i := range *s.buckets.Load() {
		for n := (*s.buckets.Load())[i].Load(); n != nil; n = n.next {
			if !keep(n.counter) {
				continue
			}
			b := &buckets[place(n.hash, buckets)]
			b.Store(&node{hash: n.hash, counter: n.counter, next: b.Load()})
			s.n++
		}
	}
	s.buckets.Store(&buckets)
}

// evictLocked makes room: counters of passed windows go, and when that is not enough
// the quarter that was not asked for the longest.
func (s *shard) evictLocked(w *windows, limit int) {
	size := len(*s.buckets.Load())
	s.keepLocked(size, func(c *counter) bool { return !c.past(w) })
	if s.n < limit*3/4 {
		return
	}
	var used []int64
	s.each(func(c *counter) { used = append(used, c.used.Load()) })
	slices.Sort(used)
	oldest, drop := used[len(used)/4], len(used)/4+1
	s.keepLocked(size, func(c *counter) bool {
		if drop > 0 && c.used.Load() <= oldest {
			drop--
			return false
		}
		return true
	})
}

// each calls fn for the counters of the shard.
func (s *shard) each(fn func(c *counter)) {
	buckets := *s.buckets.Load()
	for i := range buckets {
		for n := buckets[i].Load(); n != nil; n = n.next {
			fn(n.counter)
		}
	}
}

// sweep drops the counters of passed windows.
func (t *table) sweep(w *windows) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		left := 0
		s.each(func(c *counter) {
			if !c.past(w) {
				left++
			}
		})
		if left < s.n {
			size := len(*s.buckets.Load())
			for size > 1 && left < size/2 {
				size /= 2
			}
			s.keepLocked(size, func(c *counter) bool { return !c.past(w) })
		}
		s.mu.Unlock()
	}
}

// len returns the number of counters.
func (t *table) len() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += t.shards[i].n
		t.shards[i].mu.Unlock()
	}
	return n
}
