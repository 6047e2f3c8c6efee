package pdk

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/shared/lua"
)

// DefaultCacheSize is what mem_cache_size is when it is not set.
const DefaultCacheSize = 128 << 20

// Node is what a host lends to a plugin for the lifetime of the process.
type Node interface {
	// ID is the node's UUID.
	ID() string
	// Logger is named dp.plugin.<name>.
	Logger() hclog.Logger
	// CacheSize is how many bytes a plugin may keep for answers and the like, all its
	// configs together: the setting mem_cache_size, else DefaultCacheSize.
	CacheSize() int64
	// Shared returns the state that the plugin keeps on this node under key,
	// making it with create when it is not there. State survives config changes;
	// it is dropped (and closed, when it is an io.Closer) some time after the
	// last plugin config that asked for it at Build is gone. Safe for concurrent use.
	Shared(key string, create func() any) any
	// Lua is where functions that users write in Lua run, see shared/lua/kit.
	Lua() *lua.Pool
	// Each calls fn for the state of every key that exists now.
	Each(fn func(key string, state any))
}

// Env is what a host lends to one plugin config at Build.
type Env interface {
	Node
	// PluginID is the id of the plugin entity that is being built.
	PluginID() string
	// Scope returns the ids of the entities that the config is attached to, "" for none.
	Scope() (routeID, serviceID, consumerID string)
	// Control is the control plane's hand for this plugin.
	Control() Control
	// Slot reserves a place for per-exchange state, see Exchange.Slot.
	Slot() int
	// Go runs fn until the config is dropped, when its ctx ends. Not run when
	// Validating.
	Go(fn func(ctx context.Context))
	// Every runs fn each interval until the config is dropped. Not run when
	// Validating.
	Every(interval time.Duration, fn func(ctx context.Context))
	// Validating is true at the control plane, where Build only checks the config:
	// nothing may be opened, dialled or started.
	Validating() bool
}
