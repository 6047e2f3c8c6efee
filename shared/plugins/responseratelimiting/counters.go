package responseratelimiting

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sluice-gateway/sluice/shared/pdk/calendar"
	"github.com/sluice-gateway/sluice/shared/pdk/lease"
	"github.com/sluice-gateway/sluice/shared/pdk/redis"
)

// counters is where a policy counts. It is safe for concurrent use.
type counters interface {
	// usage fills in what was used of each limit.
	usage(identity string, limits []limit, w *calendar.Windows, used []float64) error
	// add counts what a response says was used of each limit.
	add(identity string, limits []limit, w *calendar.Windows, increments []float64) error
}

const (
	shards = 64
	// maxCounters bounds what one plugin config keeps on a node.
	maxCounters = 1 << 18
)

// local counts on the node.
type local struct {
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	mu    sync.Mutex
	cells map[string]cell
}

// cell is a count in a window that ends, in seconds since 1970.
type cell struct {
	start, end int64
	count      float64
}

func newLocal() *local {
	l := &local{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].cells = map[string]cell{}
	}
	return l
}

func (l *local) usage(identity string, limits []limit, w *calendar.Windows, used []float64) error {
	var key [160]byte
	for i := range limits {
		k := limits[i].appendName(append(append(key[:0], identity...), '\x00'))
		s := &l.shards[maphash.Bytes(l.seed, k)%shards]
		s.mu.Lock()
		c := s.cells[string(k)]
		s.mu.Unlock()
		used[i] = 0
		if c.start == w.Start[limits[i].period] {
			used[i] = c.count
		}
	}
	return nil
}

func (l *local) add(identity string, limits []limit, w *calendar.Windows, increments []float64) error {
	for i := range limits {
		if increments[i] == 0 {
			continue
		}
		p := limits[i].period
		k := string(limits[i].appendName(append([]byte(identity), '\x00')))
		s := &l.shards[maphash.String(l.seed, k)%shards]
		s.mu.Lock()
		c, ok := s.cells[k]
		if !ok && len(s.cells) >= maxCounters/shards {
			s.makeRoomLocked(w.Now)
		}
		if c.start != w.Start[p] {
			c = cell{start: w.Start[p], end: w.Start[p] + calendar.Expiry(p)}
		}
		c.count += increments[i]
		s.cells[k] = c
		s.mu.Unlock()
	}
	return nil
}

// makeRoomLocked drops what has passed, else a quarter of all.
func (s *shard) makeRoomLocked(now int64) {
	s.sweepLocked(now)
	for k := range s.cells {
		if len(s.cells) <= maxCounters/shards*3/4 {
			return
		}
		delete(s.cells, k)
	}
}

func (s *shard) sweepLocked(now int64) {
	for k, c := range s.cells {
		if c.end < now {
			delete(s.cells, k)
		}
	}
}

func (l *local) sweep(context.Context) {
	now := time.Now().Unix()
	for i := range l.shards {
		l.shards[i].mu.Lock()
		l.shards[i].sweepLocked(now)
		l.shards[i].mu.Unlock()
	}
}

// cluster counts at the control plane.
type cluster struct {
	leases *lease.Table
	prefix string
}

func (c *cluster) counter(identity string, l *limit, w *calendar.Windows) (*lease.Counter, lease.Window) {
	name := string(l.appendName(append([]byte(c.prefix+":"+identity), ':')))
	start := w.Start[l.period]
	return c.leases.Counter(name), lease.Window{Start: start, End: start + calendar.Expiry(l.period)}
}

func (c *cluster) usage(identity string, limits []limit, w *calendar.Windows, used []float64) error {
	for i := range limits {
		counter, window := c.counter(identity, &limits[i], w)
		used[i] = float64(counter.Count(window, uint64(math.Ceil(limits[i].max))))
	}
	return nil
}

func (c *cluster) add(identity string, limits []limit, w *calendar.Windows, increments []float64) error {
	for i := range limits {
		if increments[i] <= 0 {
			continue
		}
		counter, window := c.counter(identity, &limits[i], w)
		counter.Add(window, uint64(math.Ceil(limits[i].max)), uint64(math.Ceil(increments[i])))
	}
	return nil
}

// inRedis counts in Redis, under the keys that Kong uses.
type inRedis struct {
	client *redis.Client
	prefix string // route and service
	tagged bool   // a Cluster keeps an identity's counts in one place
}

func (r *inRedis) key(identity string, l *limit, w *calendar.Windows) string {
	var b strings.Builder
	if r.tagged {
		b.WriteByte('{')
	}
	b.WriteString(r.prefix)
	b.WriteString(identity)
	if r.tagged {
		b.WriteByte('}')
	}
	b.WriteByte(':')
	b.WriteString(strconv.FormatInt(w.Start[l.period]*1000, 10))
	b.WriteByte(':')
	b.WriteString(l.name)
	b.WriteByte(':')
	b.WriteString(calendar.Periods[l.period].Name)
	return b.String()
}

func (r *inRedis) usage(identity string, limits []limit, w *calendar.Windows, used []float64) error {
	if r.client.Paused() {
		return redis.ErrPaused
	}
	keys := make([]string, len(limits))
	for i := range limits {
		keys[i] = r.key(identity, &limits[i], w)
	}
	ctx, stop := r.client.Context()
	defer stop()
	values, err := r.client.MGet(ctx, keys...).Result()
	if err != nil {
		r.client.Failed()
		return fmt.Errorf("read %d counts of redis: %w", len(keys), err)
	}
	for i, v := range values {
		used[i] = 0
		if text, ok := v.(string); ok {
			if used[i], err = strconv.ParseFloat(text, 64); err != nil {
				return fmt.Errorf("read %s of redis: %w", keys[i], err)
			}
		}
	}
	return nil
}

func (r *inRedis) add(identity string, limits []limit, w *calendar.Windows, increments []float64) error {
	if r.client.Paused() {
		return redis.ErrPaused
	}
	ctx, stop := r.client.Context()
	defer stop()
	_, err := r.client.Pipelined(ctx, func(pipe goredis.Pipeliner) error {
		for i := range limits {
			if increments[i] == 0 {
				continue
			}
			key := r.key(identity, &limits[i], w)
			if n := increments[i]; n == math.Trunc(n) {
				pipe.IncrBy(ctx, key, int64(n))
			} else {
				pipe.IncrByFloat(ctx, key, n)
			}
			pipe.Expire(ctx, key, time.Duration(calendar.Expiry(limits[i].period))*time.Second)
		}
		return nil
	})
	if err != nil {
		r.client.Failed()
		return fmt.Errorf("count in redis: %w", err)
	}
	return nil
}
