package prometheus

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxSeries bounds the lines of /metrics that clients and configs can cause.
var maxSeries = 100_000

const (
	// idle is how long a route without requests keeps its series when room is wanted.
	idle = time.Hour
)

// routeKey are the labels that all series of a route share.
type routeKey struct{ service, route, workspace string }

// codeKey are the other labels of kong_http_requests_total.
type codeKey struct {
	code     int
	upstream bool
	consumer string
}

// traffic are the bytes of one consumer, or of all.
type traffic struct{ in, out counter }

type latencies struct{ kong, upstream, request histogram }

// Series that the parts of a route have.
const (
	requestSeries   = 1
	bandwidthSeries = 2
)

func latencySeries() int { return len(kongBuckets) + 2*len(upstreamBuckets) + 3*3 }

// route is what was counted of a route. Its maps are copied to be changed, under set.mu.
type route struct {
	codes     atomic.Pointer[map[codeKey]*counter]
	traffic   atomic.Pointer[map[string]*traffic]
	latencies atomic.Pointer[latencies]
	used      atomic.Int64 // unix minutes
	series    int          // under set.mu
}

// set is what a node has counted. It is safe for concurrent use.
type set struct {
	routes  atomic.Pointer[map[routeKey]*route]
	dropped atomic.Uint64
	max     int

	mu     sync.Mutex
	series int
	swept  time.Time
}

func newSet(most int) *set {
	s := &set{max: most}
	s.routes.Store(&map[routeKey]*route{})
	return s
}

// find returns the route's series, nil when there is no room.
func (s *set) find(key routeKey, now time.Time) *route {
	r := (*s.routes.Load())[key]
	if r == nil {
		if r = s.add(key, now); r == nil {
			return nil
		}
	}
	if minute := now.Unix() / 60; r.used.Load() != minute {
		r.used.Store(minute)
	}
	return r
}

func (s *set) add(key routeKey, now time.Time) *route {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *s.routes.Load()
	if r := old[key]; r != nil {
		return r
	}
	if s.series >= s.max {
		s.sweepLocked(now)
		old = *s.routes.Load()
	}
	if s.series >= s.max {
		s.dropped.Add(1)
		return nil
	}
	next := maps.Clone(old)
	r := &route{series: 1} // what it costs without any
	s.series++
	r.codes.Store(&map[codeKey]*counter{})
	r.traffic.Store(&map[string]*traffic{})
	next[key] = r
	s.routes.Store(&next)
	return r
}

// sweepLocked lets routes go that saw no request for a while, at most once a minute.
func (s *set) sweepLocked(now time.Time) {
	if now.Sub(s.swept) < time.Minute {
		return
	}
	s.swept = now
	next := maps.Clone(*s.routes.Load())
	for key, r := range next {
		if r.used.Load() < now.Add(-idle).Unix()/60 {
			s.series -= r.series
			delete(next, key)
		}
	}
	s.routes.Store(&next)
}

// roomLocked takes room for series of a route.
func (s *set) roomLocked(r *route, n int) bool {
	if s.series+n > s.max {
		s.dropped.Add(1)
		return false
	}
	s.series += n
	r.series += n
	return true
}

func (s *set) requests(r *route, key codeKey) *counter {
	if c := (*r.codes.Load())[key]; c != nil {
		return c
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *r.codes.Load()
	if c := old[key]; c != nil {
		return c
	}
	if !s.roomLocked(r, requestSeries) {
		return nil
	}
	key.consumer = strings.Clone(key.consumer)
	c := newCounter()
	next := maps.Clone(old)
	next[key] = &c
	r.codes.Store(&next)
	return &c
}

func (s *set) bandwidth(r *route, consumer string) *traffic {
	if t := (*r.traffic.Load())[consumer]; t != nil {
		return t
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *r.traffic.Load()
	if t := old[consumer]; t != nil {
		return t
	}
	if !s.roomLocked(r, bandwidthSeries) {
		return nil
	}
	t := &traffic{newCounter(), newCounter()}
	next := maps.Clone(old)
	next[strings.Clone(consumer)] = t
	r.traffic.Store(&next)
	return t
}

func (s *set) latencies(r *route) *latencies {
	if l := r.latencies.Load(); l != nil {
		return l
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := r.latencies.Load(); l != nil {
		return l
	}
	if !s.roomLocked(r, latencySeries()) {
		return nil
	}
	l := &latencies{newHistogram(kongBuckets), newHistogram(upstreamBuckets), newHistogram(upstreamBuckets)}
	r.latencies.Store(l)
	return l
}
