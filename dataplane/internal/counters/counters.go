// Package counters counts what requests did, by route: statuses, bytes, failed tries and
// latencies, and cuts it into slices of time for the control plane. It owns how that is
// cheap on the request path (workers note what requests did one after the other, in memory
// that is warm, and what they noted is counted in one go: what a request would wait for,
// when its route is one of thousands, is fetched for many of them at once), how many routes are counted apart, and what is kept until somebody
// has taken it. It refuses to know requests and the wire.
package counters

import (
	"context"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Key is what is counted together. Its fields are ids: "" for the default workspace, and
// for requests without route or service.
type Key struct{ Workspace, Service, Route string }

// Rest is the route, and beyond what is bearable the workspace, of all those that there
// is no room for.
const Rest = "*"

// Options of a Set.
type Options struct {
	// MaxSeries bounds how many routes are counted apart; 0 means 1000.
	MaxSeries int
	// Books is in how many places workers note; 0 means one a processor, at most 16.
	Books int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

const (
	defaultSeries = 1000
	mostBooks     = 16
	// idle is how long a series is kept without requests, and grace how long it is looked
	// at after that: a request may have found it before.
	idle  = 10 * time.Minute
	grace = time.Minute
	// mostRests bounds the workspaces whose rest is counted apart.
	mostRests = 64
)

// Set is what a node counts. It is safe for concurrent use.
type Set struct {
	o     Options
	books []*book // a power of two
	// generation is raised when series retire.
	generation atomic.Uint32

	mu     sync.Mutex
	series map[Key]*Series
	rests  int
	gone   []*Series // retired, but looked at for a while
	since  time.Time // when the slice began that is being counted

	// counting is held for what is in series. It is locked after mu and after a book's.
	counting sync.Mutex

	log log
}

// New makes a set.
func New(o Options) *Set {
	if o.MaxSeries <= 0 {
		o.MaxSeries = defaultSeries
	}
	if o.Books <= 0 {
		o.Books = min(runtime.GOMAXPROCS(0), mostBooks)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Set{o: o, series: map[Key]*Series{}, since: o.Now()}
	for range 1 << bits.Len(uint(o.Books-1)) {
		s.books = append(s.books, &book{})
	}
	return s
}

// Ref leads from what a plan has of a route to its series. It is there for speed: the zero
// value leads nowhere yet.
type Ref struct {
	series     atomic.Pointer[Series]
	generation atomic.Uint32 // of the set when series was found
}

// Known returns the series that Series has let ref lead to, nil when that may not count
// any more.
func (s *Set) Known(ref *Ref) *Series {
	if ref.generation.Load() != s.generation.Load() {
		return nil
	}
	return ref.series.Load()
}

// Series returns the series of a key, and lets ref lead to it.
func (s *Set) Series(ref *Ref, k Key) *Series {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.series[k]
	if found == nil {
		found = s.addLocked(k)
	}
	ref.series.Store(found)
	ref.generation.Store(s.generation.Load())
	return found
}

func (s *Set) addLocked(k Key) *Series {
	if len(s.series)-s.rests >= s.o.MaxSeries {
		k = Key{Workspace: k.Workspace, Route: Rest}
		if s.series[k] == nil && s.rests >= mostRests {
			k.Workspace = Rest
		}
		if found := s.series[k]; found != nil {
			return found
		}
		s.rests++
	}
	made := &Series{key: k, used: s.o.Now()}
	s.series[k] = made
	return made
}

// Run cuts a slice every second, or every few seconds when there are many series, until
// ctx ends.
func (s *Set) Run(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			s.Cut()
			return nil
		case <-ticker.C:
			if n%coarse == 0 || !s.many() {
				s.Cut()
			}
		}
	}
}

const (
	// Above fineSeries a slice is as long as coarse seconds.
	fineSeries = 100
	coarse     = 5
)

func (s *Set) many() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.series) > fineSeries
}
