package proxycache

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

const (
	shards = 16
	// entryCost is what an entry takes besides its texts, in bytes.
	entryCost = 512
	// maxVariants bounds the answers under one key.
	maxVariants = 16
	// sweepInterval is how often answers that are past their time are dropped.
	sweepInterval = 30 * time.Second
)

// entry is one stored answer. It is immutable but for its place in the list.
type entry struct {
	key    key
	status int
	header []pdk.Field
	body   []byte
	// stored is when the answer came, less the age that it had then. It is fresh for
	// ttl and kept until expires.
	stored, expires time.Time
	ttl             time.Duration
	mustRevalidate  bool
	// vary holds the request headers that the answer's Vary named, with the values that
	// they had.
	vary []pdk.Field
	// next is another answer under the same key, for other values of those headers. own is
	// what one takes, size what all of them take.
	next      *entry
	size, own int64

	newer, older *entry
}

// memory is a node's store for the answers of all configs, bounded in bytes. The
// answers that were not asked for the longest make room. It is safe for concurrent use.
type memory struct {
	limit  int64
	used   atomic.Int64
	swept  atomic.Int64
	shards [shards]shard

	flights *flights
}

// shard is a map and a ring of its entries through head, the newest first.
type shard struct {
	mu      sync.Mutex
	entries map[key]*entry
	head    entry
}

func newMemory(limit int64) *memory {
	m := &memory{limit: limit, flights: newFlights()}
	for i := range m.shards {
		s := &m.shards[i]
		s.entries = map[key]*entry{}
		s.head.newer, s.head.older = &s.head, &s.head
	}
	return m
}

// maxEntry is the largest answer that is stored, in bytes.
func (m *memory) maxEntry() int64 { return m.limit / 4 }

func (m *memory) shard(k *key) *shard { return &m.shards[k[0]%shards] }

// get returns a stored answer, fresh or not, or nil.
func (m *memory) get(k *key, now time.Time) *entry {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[*k]
	if e == nil {
		return nil
	}
	if !now.Before(e.expires) {
		m.dropLocked(s, e)
		return nil
	}
	e.unlink()
	s.pushLocked(e)
	return e
}

// put stores an answer in place of an older one.
func (m *memory) put(e *entry) {
	e.size = entryCost + int64(len(e.body))
	for _, list := range [][]pdk.Field{e.header, e.vary} {
		for _, f := range list {
			e.size += int64(len(f.Name) + len(f.Value) + 32)
		}
	}
	if e.size > m.maxEntry() {
		return
	}
	e.own = e.size
	s := m.shard(&e.key)
	s.mu.Lock()
	if old := s.entries[e.key]; old != nil {
		e.join(old, m.maxEntry())
		m.dropLocked(s, old)
	}
	s.entries[e.key] = e
	s.pushLocked(e)
	m.used.Add(e.size)
	m.shrinkLocked(s, e)
	s.mu.Unlock()
	for i := 0; i < shards && m.used.Load() > m.limit; i++ {
		other := &m.shards[(int(e.key[0])+1+i)%shards]
		other.mu.Lock()
		m.shrinkLocked(other, e)
		other.mu.Unlock()
	}
}

// shrinkLocked drops the oldest entries but keep until the memory is within its limit.
func (m *memory) shrinkLocked(s *shard, keep *entry) {
	for m.used.Load() > m.limit {
		oldest := s.head.newer
		if oldest == &s.head || oldest == keep {
			return
		}
		m.dropLocked(s, oldest)
	}
}

// remove drops an answer and tells whether it was there.
func (m *memory) remove(k *key) bool {
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[*k]
	if e == nil {
		return false
	}
	m.dropLocked(s, e)
	return true
}

// purge drops all answers.
func (m *memory) purge() { m.drop(func(*entry) bool { return true }) }

// sweep drops the answers that are past their time, when it is time to.
func (m *memory) sweep(now time.Time) {
	last := m.swept.Load()
	if now.UnixNano()-last < int64(sweepInterval) || !m.swept.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	m.drop(func(e *entry) bool { return !now.Before(e.expires) })
}

func (m *memory) drop(which func(e *entry) bool) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for _, e := range s.entries {
			if which(e) {
				m.dropLocked(s, e)
			}
		}
		s.mu.Unlock()
	}
}

func (m *memory) dropLocked(s *shard, e *entry) {
	delete(s.entries, e.key)
	e.unlink()
	m.used.Add(-e.size)
}

// pushLocked makes e the newest: head.older is the newest, head.newer the oldest.
func (s *shard) pushLocked(e *entry) {
	e.newer, e.older = &s.head, s.head.older
	e.older.newer = e
	s.head.older = e
}

func (e *entry) unlink() {
	e.newer.older, e.older.newer = e.older, e.newer
}

// join takes over the answers for other values of the headers that the answer varies by.
// Those who read the old ones go on doing so.
func (e *entry) join(old *entry, limit int64) {
	if len(e.vary) == 0 {
		return
	}
	tail, n := &e.next, 1
	for v := old; v != nil && n < maxVariants; v = v.next {
		if !e.stored.Before(v.expires) || len(v.vary) == 0 || v.sameVariant(e) || e.size+v.own > limit {
			continue
		}
		kept := *v
		kept.next, kept.newer, kept.older = nil, nil, nil
		*tail, tail, n = &kept, &kept.next, n+1
		e.size += v.own
	}
}

func (e *entry) sameVariant(other *entry) bool {
	return slices.EqualFunc(e.vary, other.vary, func(a, b pdk.Field) bool { return pdk.EqualFold(a.Name, b.Name) && a.Value == b.Value })
}

// pick returns the answer for a request's headers, nil when there is none. e may be nil.
func (e *entry) pick(h *pdk.Header, now time.Time) *entry {
	for v := e; v != nil; v = v.next {
		if v.suits(h) && now.Before(v.expires) {
			return v
		}
	}
	return nil
}

func (e *entry) suits(h *pdk.Header) bool {
	for i := range e.vary {
		if h.Get(e.vary[i].Name) != e.vary[i].Value {
			return false
		}
	}
	return true
}
