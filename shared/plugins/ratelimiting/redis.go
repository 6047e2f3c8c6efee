package ratelimiting

import (
	"fmt"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sluice-gateway/sluice/shared/pdk/calendar"
	"github.com/sluice-gateway/sluice/shared/pdk/redis"
)

// noID stands for a missing route or service in keys.
const noID = "00000000-0000-0000-0000-000000000000"

// admit counts a request in all windows, or in none when one is full. KEYS are the
// windows; ARGV their limits, then their lengths in seconds. It returns the counts
// before.
var admit = goredis.NewScript(`
local n = #KEYS
local before, full = {}, false
for i = 1, n do
  before[i] = tonumber(redis.call('GET', KEYS[i]) or '0')
  full = full or before[i] >= tonumber(ARGV[i])
end
if not full then
  for i = 1, n do
    if redis.call('INCRBY', KEYS[i], 1) == 1 then
      redis.call('EXPIRE', KEYS[i], ARGV[n + i])
    end
  end
end
return before
`)

// key names a window as Kong does, so that both can count together. In a Cluster the
// windows of an identity have to be in one place, which the braces see to.
func (p *plugin) key(b []byte, identity string, per period, start int64) []byte {
	if len(p.Redis.ClusterNodes) > 0 {
		b = append(b, '{')
	}
	b = append(b, p.keyPrefix...)
	b = append(b, identity...)
	if len(p.Redis.ClusterNodes) > 0 {
		b = append(b, '}')
	}
	b = append(b, ':')
	b = strconv.AppendInt(b, start*1000, 10)
	b = append(b, ':')
	return append(b, periods[per].Name...)
}

// countInRedis asks Redis for each request.
func (p *plugin) countInRedis(u *usage, identity string) error {
	if p.store.Paused() {
		return redis.ErrPaused
	}
	ctx, stop := p.store.Context()
	defer stop()
	keys := make([]string, len(p.limits))
	arguments := make([]any, 2*len(p.limits))
	for i := range p.limits {
		l := &p.limits[i]
		keys[i] = string(p.key(nil, identity, l.period, u.windows.Start[l.period]))
		arguments[i] = l.max
		arguments[len(p.limits)+i] = calendar.Expiry(l.period)
	}
	before, err := admit.Run(ctx, p.store, keys, arguments...).Int64Slice()
	if err != nil {
		p.store.Failed()
		return fmt.Errorf("count in redis: %w", err)
	}
	if len(before) != len(p.limits) {
		return fmt.Errorf("count in redis: %d counts for %d windows", len(before), len(p.limits))
	}
	u.full = -1
	for i := range p.limits {
		u.before[i] = uint64(max(0, before[i]))
		if float64(u.before[i]) >= p.limits[i].max {
			u.full = i
		}
	}
	return nil
}
