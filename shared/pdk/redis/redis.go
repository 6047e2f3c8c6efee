// Package redis connects plugins to Redis as the record "redis" of their configs says: a
// server, one that Sentinels know, or a Cluster. Configs that say the same share their
// connections. It owns the connections, and how a Redis that fails is left alone for a
// moment: requests do not wait for it one after the other.
package redis

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Config is the record redis.
type Config struct {
	Host             string        `json:"host"`
	Port             int           `json:"port"`
	Timeout          int           `json:"timeout"`
	Username         string        `json:"username"`
	Password         string        `json:"password"`
	Database         int           `json:"database"`
	SSL              bool          `json:"ssl"`
	SSLVerify        bool          `json:"ssl_verify"`
	ServerName       string        `json:"server_name"`
	ClusterNodes     []ClusterNode `json:"cluster_nodes"`
	SentinelNodes    []Sentinel    `json:"sentinel_nodes"`
	SentinelMaster   string        `json:"sentinel_master"`
	SentinelRole     string        `json:"sentinel_role"`
	SentinelUsername string        `json:"sentinel_username"`
	SentinelPassword string        `json:"sentinel_password"`
}

// ClusterNode is a node of a Redis Cluster.
type ClusterNode struct {
	IP   string `json:"ip"`
	Port int    `json:"port"`
}

// Sentinel is a Redis Sentinel.
type Sentinel struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// Set tells whether the config names a Redis at all.
func (c *Config) Set() bool {
	return c.Host != "" || len(c.ClusterNodes) > 0 || len(c.SentinelNodes) > 0
}

// pause is how long a Redis that failed is left alone.
const pause = time.Second

// ErrPaused means that Redis failed a moment ago.
var ErrPaused = errors.New("redis failed a moment ago")

// Client is a Redis. It is safe for concurrent use.
type Client struct {
	redis.UniversalClient
	// Timeout bounds what one request may wait.
	Timeout time.Duration
	// failed is when it failed the last time, in nanoseconds since 1970.
	failed atomic.Int64
}

// Paused tells whether Redis is to be left alone.
func (c *Client) Paused() bool { return time.Now().UnixNano()-c.failed.Load() < int64(pause) }

// Failed notes that Redis failed.
func (c *Client) Failed() { c.failed.Store(time.Now().UnixNano()) }

// Shared returns the node's connections to the Redis of a config.
func Shared(env pdk.Env, c *Config) *Client {
	raw, err := json.Marshal(c)
	if err != nil {
		panic(err) // plain strings and numbers
	}
	settings := sha256.Sum256(raw)
	client, _ := env.Shared("redis/"+hex.EncodeToString(settings[:]), func() any { return New(c) }).(*Client)
	return client
}

// New connects, when it is first used. The client must be closed.
func New(c *Config) *Client {
	logging.Disable() // errors are returned, and logged by whoever knows what they mean
	timeout := time.Duration(c.Timeout) * time.Millisecond
	if timeout <= 0 {
		timeout = 2 * time.Second
	}
	o := &redis.UniversalOptions{
		Username: c.Username, Password: c.Password, DB: c.Database,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout,
		ContextTimeoutEnabled: true,
		MaxRetries:            -1, // a request waits for one timeout at most
		DialerRetries:         1,
		Protocol:              2,
		DisableIdentity:       true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
	name := c.Host
	switch {
	case len(c.ClusterNodes) > 0:
		for _, n := range c.ClusterNodes {
			o.Addrs = append(o.Addrs, net.JoinHostPort(n.IP, strconv.Itoa(n.Port)))
		}
		name = c.ClusterNodes[0].IP
		o.IsClusterMode, o.DB = true, 0
	case len(c.SentinelNodes) > 0:
		for _, n := range c.SentinelNodes {
			o.Addrs = append(o.Addrs, net.JoinHostPort(n.Host, strconv.Itoa(n.Port)))
		}
		name = c.SentinelNodes[0].Host
		o.MasterName, o.SentinelUsername, o.SentinelPassword = c.SentinelMaster, c.SentinelUsername, c.SentinelPassword
	default:
		o.Addrs = []string{net.JoinHostPort(c.Host, strconv.Itoa(c.Port))}
	}
	if c.ServerName != "" {
		name = c.ServerName
	}
	if c.SSL {
		o.TLSConfig = &tls.Config{
			MinVersion: tls.VersionTLS12, ServerName: name,
			InsecureSkipVerify: !c.SSLVerify, //nolint:gosec // ssl_verify says so
		}
	}
	return &Client{UniversalClient: redis.NewUniversalClient(o), Timeout: timeout}
}

// Context bounds one use of Redis.
func (c *Client) Context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), c.Timeout)
}
