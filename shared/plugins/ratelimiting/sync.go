package ratelimiting

import (
	"context"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sluice-gateway/sluice/shared/pdk/calendar"
)

// maxBatch is the most windows that are exchanged with Redis at once.
const maxBatch = 500

// pushed is one window on its way to Redis.
type pushed struct {
	counter *counter
	period  period
	delta   uint64
	reply   *goredis.IntCmd
}

// sync adds what was counted here since the last time to Redis, and takes over what
// others have counted. What can not be sent is sent the next time.
func (p *plugin) sync(ctx context.Context) {
	p.table.syncing.Lock()
	defer p.table.syncing.Unlock()
	var w windows
	w.Fill(time.Now(), true)
	recent := w.Now - int64(p.SyncRate) - 1
	var batch []pushed
	failed := false
	p.table.each(func(c *counter) {
		if failed {
			return
		}
		for i := range p.limits {
			per := p.limits[i].period
			if n := c.count(per, w.ID[per]); n > 0 || c.used.Load() >= recent {
				batch = append(batch, pushed{counter: c, period: per, delta: n - min(n, c.known(per, w.ID[per]))})
			}
		}
		if len(batch) >= maxBatch {
			failed = !p.exchange(ctx, batch, &w)
			batch = batch[:0]
		}
	})
	if !failed && len(batch) > 0 {
		p.exchange(ctx, batch, &w)
	}
}

func (p *plugin) exchange(ctx context.Context, batch []pushed, w *windows) bool {
	ctx, stop := context.WithTimeout(ctx, p.store.Timeout)
	defer stop()
	_, err := p.store.Pipelined(ctx, func(pipe goredis.Pipeliner) error {
		for i := range batch {
			b := &batch[i]
			key := string(p.key(nil, b.counter.key, b.period, w.Start[b.period]))
			b.reply = pipe.IncrBy(ctx, key, int64(b.delta))
			pipe.Expire(ctx, key, time.Duration(calendar.Expiry(b.period))*time.Second)
		}
		return nil
	})
	if err != nil {
		p.log.Warn("counts are not exchanged with redis", "error", fmt.Errorf("exchange %d counts: %w", len(batch), err))
	}
	for i := range batch {
		b := &batch[i]
		if b.reply == nil || b.reply.Err() != nil {
			continue
		}
		total := uint64(max(0, b.reply.Val()))
		id := w.ID[b.period]
		sent := b.counter.known(b.period, id) + b.delta
		if total > sent {
			b.counter.raise(b.period, id, total-sent)
		}
		b.counter.synced[b.period] = cellID(id) | total&countMask
	}
	return err == nil
}

// known returns how much of a window's count Redis has.
func (c *counter) known(p period, id uint64) uint64 {
	if c.synced[p]&^countMask != cellID(id) {
		return 0
	}
	return c.synced[p] & countMask
}

// raise adds what others have counted.
func (c *counter) raise(p period, id, n uint64) {
	for {
		cell := c.cells[p].Load()
		before := cell & countMask
		if cell&^countMask != cellID(id) {
			before = 0
		}
		if c.cells[p].CompareAndSwap(cell, cellID(id)|(before+n)) {
			return
		}
	}
}

// each calls fn for every counter.
func (t *table) each(fn func(c *counter)) {
	for i := range t.shards {
		t.shards[i].each(fn)
	}
}
