package counters

import (
	"slices"
	"sync"
	"time"
)

// Count is how often something was, such as a status or a bucket of a sketch.
type Count struct{ Of, N uint32 }

// Delta is what was counted of one key in a slice. It is not changed any more.
type Delta struct {
	Key
	// Statuses below 100 are classes, such as 5 for all of the others from 500 to 599.
	Statuses                 []Count
	In, Out, Failed          uint64
	Total, Upstream, Gateway []Count // by bucket

	requests uint64
}

// Slice is what was counted in a stretch of time.
type Slice struct {
	// Sequence counts slices up from 1.
	Sequence uint64
	End      time.Time
	Length   time.Duration
	// Lost are requests of slices before that were thrown away because nobody took them.
	Lost   uint64
	Deltas []Delta
}

const (
	// mostSlices and mostDeltas bound what waits to be taken.
	mostSlices = 300
	mostDeltas = 8000
)

// log are the slices that nobody has confirmed yet, the oldest first.
type log struct {
	mu       sync.Mutex
	slices   []Slice
	deltas   int
	sequence uint64
	lost     uint64
}

// Cut ends a slice. One in which nothing happened is not kept.
func (s *Set) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.books {
		b.mu.Lock()
		s.count(b)
		b.mu.Unlock()
	}
	now := s.o.Now()
	out := Slice{End: now, Length: now.Sub(s.since)}
	s.since = now
	for _, series := range s.series {
		if s.cutLocked(series, &out) {
			series.used = now
		} else if now.Sub(series.used) >= idle {
			s.retireLocked(series, now)
		}
	}
	kept := s.gone[:0]
	for _, series := range s.gone {
		s.cutLocked(series, &out)
		if now.Sub(series.used) < grace {
			kept = append(kept, series)
		}
	}
	clear(s.gone[len(kept):])
	s.gone = kept
	if len(out.Deltas) > 0 {
		s.log.add(out)
	}
}

func (s *Set) cutLocked(series *Series, out *Slice) bool {
	var d Delta
	s.counting.Lock() // not for long: whoever notes may wait
	found := series.cut(&d)
	s.counting.Unlock()
	if !found {
		return false
	}
	out.Deltas = append(out.Deltas, d)
	return true
}

// retireLocked makes room. What was counted as rest may have room of its own then.
func (s *Set) retireLocked(series *Series, now time.Time) {
	s.dropLocked(series, now)
	if s.rests == 0 {
		return
	}
	for k, rest := range s.series {
		if k.Route == Rest {
			s.dropLocked(rest, now)
		}
	}
}

func (s *Set) dropLocked(series *Series, now time.Time) {
	if s.series[series.key] != series {
		return
	}
	delete(s.series, series.key)
	if series.key.Route == Rest {
		s.rests--
	}
	s.generation.Add(1)
	series.used = now
	s.gone = append(s.gone, series)
}

func (l *log) add(s Slice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sequence++
	s.Sequence = l.sequence
	l.slices = append(l.slices, s)
	l.deltas += len(s.Deltas)
	drop := 0
	for len(l.slices)-drop > 1 && (len(l.slices)-drop > mostSlices || l.deltas > mostDeltas) {
		old := &l.slices[drop]
		l.deltas -= len(old.Deltas)
		l.lost += old.Lost
		for i := range old.Deltas {
			l.lost += old.Deltas[i].requests
		}
		drop++
	}
	l.slices = slices.Delete(l.slices, 0, drop)
	if l.lost > 0 {
		// Said with the newest, which is the last that goes. Who has taken one of those that
		// were dropped but could not confirm it hears of too many.
		l.slices[len(l.slices)-1].Lost += l.lost
		l.lost = 0
	}
}

// Slices returns those behind a sequence that are not confirmed, the oldest first, up to
// about as many deltas.
func (s *Set) Slices(after uint64, deltas int) []Slice {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	var out []Slice
	for i := range s.log.slices {
		if c := &s.log.slices[i]; c.Sequence > after {
			if deltas -= len(c.Deltas); deltas < 0 && len(out) > 0 {
				break
			}
			out = append(out, *c)
		}
	}
	return out
}

// Confirm forgets the slices up to a sequence: somebody has them.
func (s *Set) Confirm(sequence uint64) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	drop := 0
	for drop < len(s.log.slices) && s.log.slices[drop].Sequence <= sequence {
		s.log.deltas -= len(s.log.slices[drop].Deltas)
		drop++
	}
	s.log.slices = slices.Delete(s.log.slices, 0, drop)
}
