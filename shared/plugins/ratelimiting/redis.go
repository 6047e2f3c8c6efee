package ratelimiting

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// redisConfig is the record redis.
type redisConfig struct {
	Host       string `json:"host"`
	Port       int    `json:"port"`
	Timeout    int    `json:"timeout"`
	Username   string `json:"username"`
	Password   string `json:"password"`
	Database   int    `json:"database"`
	SSL        bool   `json:"ssl"`
	SSLVerify  bool   `json:"ssl_verify"`
	ServerName string `json:"server_name"`
}

// noID stands for a missing route or service in keys.
const noID = "00000000-0000-0000-0000-000000000000"

// admit counts a request in all windows, or in none when one is full. KEYS are the
// windows; ARGV their limits, then their lengths in seconds. It returns the counts
// before.
var admit = redis.NewScript(`
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

// pause is how long a Redis that failed is left alone: requests do not wait for it
// one after the other.
const pause = time.Second

var errPaused = errors.New("redis failed a moment ago")

// store counts in Redis. It is safe for concurrent use.
type store struct {
	client  *redis.Client
	timeout time.Duration
	// failed is when Redis failed the last time, in nanoseconds since 1970.
	failed atomic.Int64
}

// Close follows io.Closer.
func (s *store) Close() error { return s.client.Close() }

func (s *store) paused() bool { return time.Now().UnixNano()-s.failed.Load() < int64(pause) }

// expiry is how long Redis keeps a window, in seconds: as long as the longest of its
// kind at least.
func expiry(p period) int64 {
	if p >= month {
		return periods[p].length + 86400
	}
	return periods[p].length
}

// sharedStore returns the node's connections to the Redis of a config.
func sharedStore(env pdk.Env, c *redisConfig) *store {
	raw, err := json.Marshal(c)
	if err != nil {
		panic(err) // plain strings and numbers
	}
	settings := sha256.Sum256(raw)
	s, _ := env.Shared("redis/"+hex.EncodeToString(settings[:]), func() any { return newStore(c) }).(*store)
	return s
}

func newStore(c *redisConfig) *store {
	timeout := time.Duration(c.Timeout) * time.Millisecond
	if timeout <= 0 {
		timeout = 2 * time.Second
	}
	o := &redis.Options{
		Addr:     net.JoinHostPort(c.Host, strconv.Itoa(c.Port)),
		Username: c.Username, Password: c.Password, DB: c.Database,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout,
		ContextTimeoutEnabled: true,
		MaxRetries:            -1, // a request waits for one timeout at most
		Protocol:              2,
		DisableIdentity:       true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
	if c.SSL {
		name := c.ServerName
		if name == "" {
			name = c.Host
		}
		o.TLSConfig = &tls.Config{
			MinVersion: tls.VersionTLS12, ServerName: name,
			InsecureSkipVerify: !c.SSLVerify, //nolint:gosec // ssl_verify says so
		}
	}
	return &store{client: redis.NewClient(o), timeout: timeout}
}

// key names a window as Kong does, so that both can count together.
func (p *plugin) key(b []byte, identity string, per period, start int64) []byte {
	b = append(b, p.keyPrefix...)
	b = append(b, identity...)
	b = append(b, ':')
	b = strconv.AppendInt(b, start*1000, 10)
	b = append(b, ':')
	return append(b, periods[per].name...)
}

// countInRedis asks Redis for each request.
func (p *plugin) countInRedis(u *usage, identity string) error {
	if p.store.paused() {
		return errPaused
	}
	ctx, stop := context.WithTimeout(context.Background(), p.store.timeout)
	defer stop()
	keys := make([]string, len(p.limits))
	arguments := make([]any, 2*len(p.limits))
	for i := range p.limits {
		l := &p.limits[i]
		keys[i] = string(p.key(nil, identity, l.period, u.windows.start[l.period]))
		arguments[i] = l.max
		arguments[len(p.limits)+i] = expiry(l.period)
	}
	before, err := admit.Run(ctx, p.store.client, keys, arguments...).Int64Slice()
	if err != nil {
		p.store.failed.Store(time.Now().UnixNano())
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
