package controlclient

import (
	"context"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/diskcache"
)

// maxUnsaved bounds the updates that wait for the disk; beyond it they are joined.
const maxUnsaved = 64

// saver writes what is served to the disk cache, behind the traffic. It holds the bodies
// that are on disk, to write a new base when the log has grown.
type saver struct {
	cache *diskcache.Cache
	log   hclog.Logger

	mu     sync.Mutex
	queue  []config.Update
	saved  func(config.Position) // of the session, nil without one
	signal chan struct{}

	bodies map[key]config.Change // owned by run
	broken bool
}

func newSaver(cache *diskcache.Cache, log hclog.Logger) *saver {
	return &saver{cache: cache, log: log, signal: make(chan struct{}, 1), bodies: map[key]config.Change{}}
}

// start takes over what was read from the disk.
func (s *saver) start(u config.Update) { s.follow(u) }

// onSaved sets who is told about positions on disk; nil for nobody.
func (s *saver) onSaved(fn func(config.Position)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = fn
}

// add hands an update over that is served. It does not block.
func (s *saver) add(u config.Update) {
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
		last.To = u.To
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
	return values(at)
}

func values(m map[key]config.Change) []config.Change {
	out := make([]config.Change, 0, len(m))
	for _, c := range m {
		out = append(out, c)
	}
	return out
}

// follow keeps the bodies up to date.
func (s *saver) follow(u config.Update) {
	if u.Whole {
		s.bodies = make(map[key]config.Change, len(u.Changes))
	}
	for _, c := range u.Changes {
		if c.Op == config.Delete {
			delete(s.bodies, key{c.Kind, c.ID})
		} else {
			s.bodies[key{c.Kind, c.ID}] = c
		}
	}
}

// run saves until ctx ends and nothing waits any more.
func (s *saver) run(ctx context.Context, c *Client) {
	for {
		s.mu.Lock()
		var u config.Update
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
		case <-ctx.Done():
			return
		}
	}
}

func (s *saver) save(u config.Update, saved func(config.Position), c *Client) {
	s.follow(u)
	err := s.cache.Save(u, func() []config.Change { return values(s.bodies) })
	if err != nil {
		if !s.broken {
			s.log.Error("configuration is not on disk: a restart without the control plane would serve an older one", "error", err)
		}
		s.broken = true
		c.update(func(f *Facts) { f.CacheError = err.Error() })
		return
	}
	if s.broken {
		s.log.Info("configuration is on disk again", "revision", u.To.Revision)
	}
	s.broken = false
	c.update(func(f *Facts) { f.CacheError = "" })
	if saved != nil {
		saved(u.To)
	}
}
