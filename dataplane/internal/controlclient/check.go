package controlclient

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/roothash"
)

const (
	// passTime is how long it takes to look through everything once, if that stays within
	// the budget: sliceBudget of each sliceTime at most.
	passTime    = 6 * time.Second
	sliceTime   = 100 * time.Millisecond
	sliceBudget = 8 * time.Millisecond
)

// Integrity is what the node has found out about its own memory.
type Integrity struct {
	// Passes counts how often everything was looked through.
	Passes int
	// Found counts entities that were not what was applied, Repaired those that are again.
	Found, Repaired int
	// Last is what was found last, and when; its message says what.
	Last   config.EntityError
	LastAt time.Time

	// asked counts those of Found that the control plane was asked for.
	asked int
}

// check looks through what the node has, bit by bit and off the request path, until ctx
// ends. Bytes that do not have their hash any more are asked for again; what is served
// other than the bytes say is built again from them.
func (c *Client) check(ctx context.Context) {
	ticker := time.NewTicker(sliceTime)
	defer ticker.Stop()
	scratch := roothash.New()
	next := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if c.o.Guard != nil {
			c.o.Guard.Check()
		}
		end := time.Now().Add(sliceBudget)
		for range int(roothash.Buckets*sliceTime/passTime) + 1 {
			if c.waiting.Load() > 0 || !c.applying.TryLock() {
				break // what is being applied comes first
			}
			ask, done := c.checkBucket(ctx, next, scratch)
			at := c.state.position
			c.applying.Unlock()
			if ask {
				c.askForRepair(at)
			}
			if !done {
				break
			}
			if next++; next == roothash.Buckets {
				next = 0
				c.update(func(f *Facts) { f.Integrity.Passes++ })
			}
			if time.Now().After(end) {
				break
			}
		}
	}
}

// checkBucket looks through one bucket, and tells whether the control plane has to be
// asked for what was there, and whether it is done: it ends early when something waits to
// be applied. applying is held.
func (c *Client) checkBucket(ctx context.Context, number int, scratch *roothash.Tree) (ask, done bool) {
	b := c.state.buckets[number]
	if c.state.position.IsZero() {
		return false, true
	}
	before := c.state.position
	wrong, whole := c.state.prove(number, scratch)
	if len(wrong) > 0 || !whole {
		if len(wrong) == 0 {
			wrong = []key{{}}
		}
		for _, k := range wrong {
			c.found(k, "its bytes in memory have changed")
		}
		if c.state.position == before {
			// The bytes are what they were: a hash had changed, and has been computed anew.
			c.update(func(f *Facts) { f.Integrity.Repaired += len(wrong) })
		} else {
			at := c.state.position
			c.update(func(f *Facts) {
				f.Position = at
				f.Integrity.asked += len(wrong)
			})
			return true, true
		}
	}
	inspector, ok := c.o.Applier.(config.Inspector)
	if !ok {
		return false, true
	}
	var heal []config.Change
	done = true
	for k, e := range b {
		if c.waiting.Load() > 0 {
			done = false // what was looked at has its mark, which is quick the next time
			break
		}
		change := e.change(k)
		now, err := inspector.Inspect(change, e.mark)
		switch {
		case err != nil:
			c.found(k, err.Error())
			heal = append(heal, change)
		case now != e.mark:
			e.mark = now
			b[k] = e
		}
	}
	if len(heal) == 0 {
		return false, done
	}
	u := config.Update{From: before, To: c.state.position, Changes: heal, Source: c.Facts().Source}
	reasons, err := c.build(ctx, u)
	if err != nil {
		c.log.Error("what differs in memory can not be built again", "error", err, "reason", first(reasons))
		return false, done
	}
	c.log.Info("what differed in memory was built again", "entities", len(heal))
	c.update(func(f *Facts) { f.Integrity.Repaired += len(heal) })
	return false, done
}

func (c *Client) found(k key, what string) {
	c.log.Error("an entity is not what was applied", "kind", k.kind, "id", k.id, "reason", what)
	c.update(func(f *Facts) {
		f.Integrity.Found++
		f.Integrity.Last = config.EntityError{Kind: k.kind, ID: k.id, Message: what}
		f.Integrity.LastAt = time.Now()
	})
}

// askForRepair tells the control plane that the node does not have what it should have. A
// node without one says so in its next hello.
func (c *Client) askForRepair(at config.Position) {
	c.mu.Lock()
	s := c.at
	c.mu.Unlock()
	if s != nil {
		_ = s.acknowledge(configv1.Ack_STATE_DIVERGED, at, at, nil, 0) // a session that has ended is followed by a hello
	}
}
