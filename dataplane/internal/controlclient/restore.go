package controlclient

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
)

// maxRestores bounds the configurations of the disk cache that are tried, one before the
// other.
const maxRestores = 4

// Restore serves what the disk cache holds, or the fallback. What is damaged, can not be
// built or is refused is passed over for what was there before, and nothing usable is no
// error: the node waits for the control plane, and Run relents when what was refused is
// all that there is. It must be called before Run, or not at all.
func (c *Client) Restore(ctx context.Context) {
	c.lock()
	defer c.applying.Unlock()
	c.restoreLocked(ctx)
}

func (c *Client) restoreLocked(ctx context.Context) {
	if p, why, ok := c.refused(); ok {
		c.log.Error("a configuration is refused until there is a later one", "revision", p.Revision, "reason", why)
		c.update(func(f *Facts) { f.Refused, f.Reasons = p, []config.EntityError{{Message: why}} })
	}
	if c.o.Cache != nil && c.restoreCache(ctx) || c.o.Fallback == nil {
		return
	}
	u, err := c.o.Fallback()
	if err == nil && c.excludes(u.To) {
		return
	}
	if err == nil {
		u.Source = config.SourceFile
		_, err = c.restore(ctx, u)
	}
	if err != nil {
		c.log.Error("fallback configuration is not used", "error", err)
		c.update(func(f *Facts) {
			if f.CacheError == "" {
				f.CacheError = err.Error()
			}
		})
	}
}

// errRelented ends a session whose hello has refused what is tried again.
var errRelented = errors.New("what was refused is tried again")

// relent tries what is refused once more when nothing else has come to be served for a
// while: three kills in a row look like three crashes, and a node that serves nothing does
// not get worse.
func (c *Client) relent(ctx context.Context) {
	if _, _, ok := c.refused(); !ok {
		return
	}
	timer := time.NewTimer(c.o.Patience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	if c.tryRefused(ctx) {
		c.mu.Lock()
		if c.hangUp != nil {
			c.hangUp(errRelented)
		}
		c.mu.Unlock()
	}
}

func (c *Client) tryRefused(ctx context.Context) bool {
	c.lock()
	defer c.applying.Unlock()
	p, why, ok := c.refused()
	if !ok || !c.state.position.IsZero() {
		return false
	}
	c.log.Warn("there is nothing else to serve: what was refused is tried again", "revision", p.Revision, "reason", why)
	told := c.excludes(c.Facts().Refused)
	c.o.Guard.Relent()
	if told {
		c.update(func(f *Facts) { f.Refused, f.Reasons = config.Position{}, nil })
	}
	c.restoreLocked(ctx)
	return true
}

func (c *Client) refused() (p config.Position, why string, ok bool) {
	if c.o.Guard == nil {
		return p, "", false
	}
	return c.o.Guard.Refused()
}

func (c *Client) excludes(p config.Position) bool { return c.o.Guard != nil && c.o.Guard.Excludes(p) }

// restoreCache tries what is in the cache, the newest first.
func (c *Client) restoreCache(ctx context.Context) (served bool) {
	unusable := map[config.Position]bool{}
	exclude := func(p config.Position) bool { return unusable[p] || c.excludes(p) }
	for range maxRestores {
		loaded := c.o.Cache.Load(exclude)
		for _, fault := range loaded.Faults {
			c.log.Warn("disk cache is damaged", "fault", fault)
			c.update(func(f *Facts) { f.CacheError = fault })
		}
		u := loaded.Update
		if u.To.IsZero() {
			return false
		}
		u.Source = config.SourceCache
		reasons, err := c.restore(ctx, u)
		if err == nil {
			return true
		}
		c.log.Error("configuration of the disk cache is not used", "revision", u.To.Revision, "error", err, "reason", first(reasons))
		c.update(func(f *Facts) {
			f.CacheError = err.Error()
			if len(unusable) == 0 {
				f.Refused, f.Reasons = u.To, reasons
			}
		})
		unusable[u.To] = true
	}
	return false
}

// restore serves a configuration from disk.
func (c *Client) restore(ctx context.Context, u config.Update) ([]config.EntityError, error) {
	next, err := c.state.next(&u)
	if err != nil {
		return nil, err
	}
	reasons, err := c.build(ctx, u)
	if err != nil {
		return reasons, err
	}
	c.state = next
	if u.Source == config.SourceCache {
		c.saver.done.Store(next.sequence)
		c.saver.onDisk(u.To)
	} else {
		c.saver.add(unsaved{u, next.sequence})
	}
	c.served(u, reasons)
	c.log.Info("serving configuration from disk", "source", u.Source.String(), "revision", u.To.Revision, "entities", next.count())
	return nil, nil
}

// build has an update built and swapped in. A panic is a reason against it like any other.
func (c *Client) build(ctx context.Context, u config.Update) (reasons []config.EntityError, err error) {
	before := c.state.position
	if c.o.Guard != nil {
		c.o.Guard.Applying(u.To)
	}
	defer func() {
		if v := recover(); v != nil {
			c.log.Error("building the configuration panics", "revision", u.To.Revision, "panic", v)
			reasons, err = []config.EntityError{{Message: "building it panics on this node"}}, config.ErrRefused
		}
		if c.o.Guard == nil {
			return
		}
		if err != nil {
			c.o.Guard.Applying(before)
		} else {
			c.o.Guard.Applied(u.To)
		}
	}()
	return c.o.Applier.Apply(ctx, u)
}

// served notes what the node serves from now on; applying is held.
func (c *Client) served(u config.Update, leftOut []config.EntityError) {
	c.update(func(f *Facts) {
		short := f.promised.Lineage == u.To.Lineage && f.promised.Revision > u.To.Revision
		f.Behind = u.Source == config.SourceStream && short && (f.Behind || f.Position.IsZero())
		f.Position, f.Source, f.AppliedAt, f.Entities = u.To, u.Source, time.Now(), c.state.count()
		f.LeftOut = leftOut
		if u.Source == config.SourceStream {
			f.Refused, f.Reasons, f.Held = config.Position{}, nil, ""
		}
	})
}

// everything is what is served, to be saved.
func (c *Client) everything() (unsaved, []config.Change) {
	c.lock()
	defer c.applying.Unlock()
	return unsaved{config.Update{To: c.state.position}, c.state.sequence}, c.state.all()
}
