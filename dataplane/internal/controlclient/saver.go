package controlclient

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/diskcache"
)

// maxUnsaved bounds the updates that wait for the disk; beyond it they are joined.
const maxUnsaved = 64

// saver writes what is served to the disk cache, behind the traffic. When the log has
// grown, or nothing that is on disk leads to what is served, it asks for everything.
type saver struct {
	cache *diskcache.Cache
	log   hclog.Logger
	// whole returns everything that is served now.
	whole func() (unsaved, []config.Change)

	mu     sync.Mutex
	queue  []unsaved
	saved  func(config.Position) // of the session, nil without one
	last   config.Position       // that is on disk
	signal chan struct{}

	done atomic.Uint64 // the sequence that is on disk

	// owned by run
	broken bool
	again  time.Time // not to be tried before, when broken
}

// unsaved is an update that is to be saved, and its place among all.
type unsaved struct {
	config.Update

	sequence uint64
}

// retrySave is how often what could not be written is tried again.
const retrySave = 15 * time.Second

func newSaver(cache *diskcache.Cache, log hclog.Logger, whole func() (unsaved, []config.Change)) *saver {
	return &saver{cache: cache, log: log, whole: whole, signal: make(chan struct{}, 1)}
}

// onSaved sets who is told about positions on disk, of the last one at once; nil for
// nobody.
func (s *saver) onSaved(fn func(config.Position)) {
	s.mu.Lock()
	s.saved = fn
	last := s.last
	s.mu.Unlock()
	if fn != nil && !last.IsZero() {
		fn(last)
	}
}

// onDisk notes what is on disk.
func (s *saver) onDisk(p config.Position) {
	s.mu.Lock()
	s.last = p
	s.mu.Unlock()
}

// add hands an update over that is served. It does not block.
func (s *saver) add(u unsaved) {
	if s.cache == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.Whole {
		s.queue = s.queue[:0]
	}
	if n := len(s.queue); n >= maxUnsaved && !u.Whole {
		// The disk is slow: later updates join the last one that waits.
		last := &s.queue[n-1]
		last.Changes = append(slices.Clip(last.Changes), u.Changes...)
		last.To, last.sequence = u.To, u.sequence
		if last.Whole {
			last.Changes = join(last.Changes)
		}
	} else {
		s.queue = append(s.queue, u)
	}
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// join makes a whole configuration of one with changes after it.
func join(changes []config.Change) []config.Change {
	at := make(map[key]config.Change, len(changes))
	for _, c := range changes {
		if c.Op == config.Delete {
			delete(at, key{c.Kind, c.ID})
		} else {
			at[key{c.Kind, c.ID}] = c
		}
	}
	return slices.Collect(maps.Values(at))
}

// run saves until ctx ends and nothing waits any more.
func (s *saver) run(ctx context.Context, c *Client) {
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	for {
		s.mu.Lock()
		var u unsaved
		waiting := len(s.queue) > 0
		if waiting {
			u = s.queue[0]
			s.queue = append(s.queue[:0:0], s.queue[1:]...)
		}
		saved := s.saved
		s.mu.Unlock()
		if waiting {
			s.save(u, saved, c)
			continue
		}
		select {
		case <-s.signal:
		case <-retry.C:
			if s.broken && !time.Now().Before(s.again) {
				// There may be room again.
				u, changes := s.whole()
				u.Whole, u.Changes = true, changes
				s.save(u, saved, c)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (s *saver) save(u unsaved, saved func(config.Position), c *Client) {
	if u.sequence <= s.done.Load() && !u.Whole {
		// A base that was written meanwhile has it.
		if saved != nil && u.sequence == s.done.Load() {
			saved(u.To)
		}
		return
	}
	if s.broken && time.Now().Before(s.again) {
		return // everything is written when it is tried again
	}
	sequence := u.sequence
	err := s.cache.Save(u.Update, func() (config.Position, []config.Change) {
		now, changes := s.whole()
		sequence = now.sequence
		return now.To, changes
	})
	if err != nil {
		if !s.broken {
			s.log.Error("configuration is not on disk: a restart without the control plane would serve an older one", "error", err)
		}
		s.broken, s.again = true, time.Now().Add(retrySave)
		c.update(func(f *Facts) { f.CacheError = err.Error() })
		return
	}
	s.done.Store(sequence)
	s.onDisk(s.cache.Position())
	if s.broken {
		s.log.Info("configuration is on disk again", "revision", u.To.Revision)
	}
	s.broken = false
	c.update(func(f *Facts) { f.CacheError = "" })
	if saved != nil && sequence == u.sequence {
		saved(u.To)
	}
}
