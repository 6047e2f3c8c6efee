// Package traffic keeps what data planes have counted in the last hour: each second of the
// last minutes and each minute before that, by node, service and route. It owns how much
// memory that takes, that nothing counts twice however often a node sends it, and how it
// is added up. It refuses to know the wire, and names: everything goes by ids.
//
// A stretch of time is a buffer to which compact cells are appended, so that to forget is
// to drop a buffer. A node's slices carry their age, not a time: clocks of nodes do not
// matter.
package traffic

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/shared/sketch"
)

// Key is what is counted together. Its fields are ids: Workspace is "" for the default
// one, Service and Route for requests without; the route Rest is all those of a workspace
// that the node had no room for.
type Key struct{ Workspace, Service, Route string }

// Rest is the route, and in the extreme the workspace, of what is not counted apart.
const Rest = "*"

// Count is how often something was.
type Count struct{ Of, N uint32 }

// Cell is what a node has counted of a key in one slice.
type Cell struct {
	Key
	// Statuses below 100 are classes, such as 5 for all of the others from 500 to 599.
	Statuses                        []Count
	BytesIn, BytesOut, UpstreamErrs uint64
	// The latencies are by bucket, the buckets rising.
	Total, Upstream, Gateway []Count
}

// Slice is what a node has counted in one stretch of time.
type Slice struct {
	Sequence    uint64
	Age, Length time.Duration
	Lost        uint64
	Cells       []Cell
}

// Options of a Store.
type Options struct {
	// MaxBytes bounds the cells; 0 means 64 MiB.
	MaxBytes int64
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

const (
	defaultBytes = 64 << 20
	// fine is how many seconds are kept one by one, least how many when there is little
	// memory, and keep how many minutes there are.
	fine  = 360
	least = 120
	keep  = 60
	// mostKeys bounds the keys of all nodes together, forgotten how long a process that
	// says nothing is known.
	mostKeys  = 200_000
	forgotten = 2 * time.Hour
)

// Limits of what a node may say at once.
const (
	MaxSlices = 400
	MaxCells  = 20_000
)

// Store is what was counted. It is safe for concurrent use.
type Store struct {
	o Options

	mu      sync.Mutex
	seconds map[int64]*slot // by second since 1970
	minutes map[int64]*slot // by minute since 1970
	// fineFrom is the first second that is not in minutes yet.
	fineFrom  int64
	bytes     int64
	keys      []nodeKey
	keyOf     map[nodeKey]uint32
	swept     time.Time // when keys were looked through last, and how many there were then
	kept      int
	processes map[string]*process
	aged      int64 // the minute in which that was looked through last
}

// nodeKey is a key at a node.
type nodeKey struct {
	node string
	Key
}

// slot is a stretch of time.
type slot struct {
	cells []byte
	lost  uint64
}

// process is a process of a node.
type process struct {
	sequence uint64
	seen     time.Time
}

// New makes an empty store.
func New(o Options) *Store {
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultBytes
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{
		o: o, seconds: map[int64]*slot{}, minutes: map[int64]*slot{}, keyOf: map[nodeKey]uint32{}, processes: map[string]*process{},
		fineFrom: o.Now().Unix() - fine,
	}
}

// Check says what is wrong with slices of a node.
func Check(list []Slice) error {
	if len(list) > MaxSlices {
		return fmt.Errorf("traffic has %d slices, more than %d", len(list), MaxSlices)
	}
	n := 0
	for i := range list {
		s := &list[i]
		if s.Sequence == 0 || s.Age < 0 || s.Length < 0 {
			return errors.New("traffic has a slice without sequence or with a negative time")
		}
		if n += len(s.Cells); n > MaxCells {
			return fmt.Errorf("traffic has more than %d series", MaxCells)
		}
		for j := range s.Cells {
			if err := s.Cells[j].check(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cell) check() error {
	for _, id := range []string{c.Workspace, c.Service, c.Route} {
		if len(id) > 36 {
			return errors.New("traffic of an id that is none")
		}
	}
	for _, s := range c.Statuses {
		if s.Of > 999 {
			return fmt.Errorf("traffic of the status %d", s.Of)
		}
	}
	for _, list := range [][]Count{c.Total, c.Upstream, c.Gateway} {
		for i, b := range list {
			if b.Of >= sketch.Buckets || i > 0 && list[i-1].Of >= b.Of {
				return errors.New("traffic with a latency in no bucket")
			}
		}
	}
	return nil
}

// Add takes what a process of a node has sent, but for what it has sent before. The
// caller has checked it.
func (s *Store) Add(node, processID string, list []Slice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	s.ageLocked(now.Unix())
	p := s.processes[processID]
	if p == nil {
		p = &process{}
		s.processes[processID] = p
	}
	p.seen = now
	for i := range list {
		if c := &list[i]; c.Sequence > p.sequence {
			p.sequence = c.Sequence
			s.addLocked(node, now, c)
		}
	}
	s.boundLocked(now.Unix())
}

// Sequence returns the newest slice that is there of a process, 0 for none.
func (s *Store) Sequence(processID string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.processes[processID]; p != nil {
		return p.sequence
	}
	return 0
}

// Interval is how often each of so many nodes should send.
func Interval(nodes int) time.Duration {
	switch {
	case nodes <= 50:
		return 2 * time.Second
	case nodes <= 500:
		return 5 * time.Second
	}
	return 10 * time.Second
}

func (s *Store) addLocked(node string, now time.Time, c *Slice) {
	// A slice of several seconds counts in its middle one.
	at := now.Add(-c.Age - c.Length/2).Unix()
	at = min(at, now.Unix())
	if at/60 <= now.Unix()/60-keep {
		return
	}
	to := s.slotLocked(at)
	to.lost += c.Lost
	before := cap(to.cells)
	for i := range c.Cells {
		if key, ok := s.keyLocked(nodeKey{node, c.Cells[i].Key}); ok {
			to.cells = appendCell(to.cells, key, &c.Cells[i])
		}
	}
	s.bytes += int64(cap(to.cells) - before)
}

// slotLocked returns the second, or the minute of one that is not kept any more.
func (s *Store) slotLocked(second int64) *slot {
	in, at := s.seconds, second
	if second < s.fineFrom {
		in, at = s.minutes, second/60
	}
	if in[at] == nil {
		in[at] = &slot{}
		s.bytes += slotBytes
	}
	return in[at]
}

// slotBytes is about what a slot takes without cells, and keyBytes what a key takes.
const (
	slotBytes = 100
	keyBytes  = 300
)

func (s *Store) keyLocked(k nodeKey) (uint32, bool) {
	if at, ok := s.keyOf[k]; ok {
		return at, true
	}
	if len(s.keys) >= mostKeys {
		k = nodeKey{k.node, Key{Workspace: Rest, Route: Rest}}
		if at, ok := s.keyOf[k]; ok {
			return at, true
		}
		if len(s.keys) >= mostKeys+10_000 {
			return 0, false
		}
	}
	at := uint32(len(s.keys)) //nolint:gosec // bounded by mostKeys
	s.keys = append(s.keys, k)
	s.keyOf[k] = at
	s.bytes += keyBytes
	return at, true
}

// ageLocked rolls seconds that are old into minutes, and drops old minutes.
func (s *Store) ageLocked(now int64) {
	s.rollLocked(now - fine)
	if now/60 == s.aged {
		return
	}
	s.aged = now / 60
	for minute, c := range s.minutes {
		if minute <= now/60-keep {
			s.bytes -= slotBytes + int64(cap(c.cells))
			delete(s.minutes, minute)
		}
	}
	for id, p := range s.processes {
		if s.o.Now().Sub(p.seen) > forgotten {
			delete(s.processes, id)
		}
	}
}

// rollLocked adds whole minutes of seconds up that are before a second.
func (s *Store) rollLocked(before int64) {
	for before -= before % 60; s.fineFrom < before; {
		minute := s.fineFrom / 60
		end := (minute + 1) * 60
		var parts []*slot
		for at := s.fineFrom; at < end; at++ {
			if c := s.seconds[at]; c != nil {
				parts = append(parts, c)
				s.bytes -= slotBytes + int64(cap(c.cells))
				delete(s.seconds, at)
			}
		}
		s.fineFrom = end
		if len(parts) > 0 {
			if old := s.minutes[minute]; old != nil {
				parts = append(parts, old)
				s.bytes -= slotBytes + int64(cap(old.cells))
			}
			s.minutes[minute] = merge(parts)
			s.bytes += slotBytes + int64(cap(s.minutes[minute].cells))
		} else if len(s.seconds) == 0 && before-s.fineFrom > 3600 {
			s.fineFrom = before // nothing for hours, or the clock was put forward
		}
	}
}

// boundLocked makes room, more than what is needed now: detail goes first, then the oldest
// minutes.
func (s *Store) boundLocked(now int64) {
	full := s.bytes > s.o.MaxBytes
	if full || len(s.keys) >= mostKeys {
		s.sweepLocked()
	}
	if !full {
		return
	}
	limit := s.o.MaxBytes / 10 * 9
	for s.bytes > limit && s.fineFrom < now-least {
		s.rollLocked(s.fineFrom - s.fineFrom%60 + 60)
	}
	minutes := make([]int64, 0, len(s.minutes))
	for minute := range s.minutes {
		minutes = append(minutes, minute)
	}
	slices.Sort(minutes)
	for _, minute := range minutes {
		if s.bytes <= limit {
			return
		}
		s.bytes -= slotBytes + int64(cap(s.minutes[minute].cells))
		delete(s.minutes, minute)
	}
	// What is left are the last seconds alone: more than this is lost.
	for at := s.fineFrom; s.bytes > limit && at < now; at++ {
		if c := s.seconds[at]; c != nil {
			s.bytes -= slotBytes + int64(cap(c.cells))
			delete(s.seconds, at)
		}
	}
}

// sweepLocked forgets keys that no cell has: once a minute, or when there are many new ones.
func (s *Store) sweepLocked() {
	now := s.o.Now()
	if now.Sub(s.swept).Abs() < time.Minute && len(s.keys) < s.kept+s.kept/4+500 {
		return
	}
	s.swept, s.kept = now, len(s.keys)
	used := make([]bool, len(s.keys))
	all := make([]*slot, 0, len(s.seconds)+len(s.minutes))
	for _, c := range s.seconds {
		all = append(all, c)
	}
	for _, c := range s.minutes {
		all = append(all, c)
	}
	n := 0
	for _, c := range all {
		each(c.cells, func(key uint32, _ []byte) {
			if !used[key] {
				used[key] = true
				n++
			}
		})
	}
	if n > len(s.keys)*3/4 {
		return
	}
	next, to := make([]nodeKey, 0, n), make([]uint32, len(s.keys))
	s.keyOf = make(map[nodeKey]uint32, n)
	for i, k := range s.keys {
		if used[i] {
			to[i] = uint32(len(next)) //nolint:gosec // bounded by mostKeys
			s.keyOf[k] = to[i]
			next = append(next, k)
		}
	}
	s.bytes -= int64(len(s.keys)-n) * keyBytes
	s.keys, s.kept = next, len(next)
	for _, c := range all {
		before := cap(c.cells)
		renumbered := make([]byte, 0, len(c.cells))
		each(c.cells, func(key uint32, rest []byte) { renumbered = appendRaw(renumbered, to[key], rest) })
		c.cells = renumbered
		s.bytes += int64(cap(c.cells) - before)
	}
}
