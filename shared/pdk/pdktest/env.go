package pdktest

import (
	"context"
	"io"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/lua/kit"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Node is a pdk.Node for tests. It is safe for concurrent use.
type Node struct {
	cacheSize int64
	functions *lua.Pool
	control   pdk.Control

	mu     sync.Mutex
	shared map[string]any
}

// NewNode makes a node. Its shared state is closed when the test ends.
func NewNode(t testing.TB) *Node {
	n := &Node{cacheSize: pdk.DefaultCacheSize, control: pdk.NoControl{}, shared: map[string]any{}}
	t.Cleanup(func() {
		n.Each(func(_ string, state any) {
			if c, ok := state.(io.Closer); ok {
				if err := c.Close(); err != nil {
					t.Errorf("close shared state: %v", err)
				}
			}
		})
	})
	return n.WithLua(t, kit.Options{NodeID: n.ID()})
}

// WithLua sets what functions in Lua may use and see.
func (n *Node) WithLua(t testing.TB, o kit.Options) *Node {
	pool, err := kit.NewPool(o)
	if err != nil {
		t.Fatal(err)
	}
	n.functions = pool
	return n
}

// WithCacheSize sets what CacheSize returns.
func (n *Node) WithCacheSize(bytes int64) *Node { n.cacheSize = bytes; return n }

// WithControl sets what Control returns; without it there is no control plane.
func (n *Node) WithControl(c pdk.Control) *Node { n.control = c; return n }

// Lua follows pdk.Node.
func (n *Node) Lua() *lua.Pool { return n.functions }

// ID follows pdk.Node.
func (n *Node) ID() string { return "00000000-0000-4000-8000-00000000000d" }

// Logger follows pdk.Node.
func (n *Node) Logger() hclog.Logger { return hclog.NewNullLogger() }

// CacheSize follows pdk.Node.
func (n *Node) CacheSize() int64 { return n.cacheSize }

// Shared follows pdk.Node.
func (n *Node) Shared(key string, create func() any) any {
	n.mu.Lock()
	defer n.mu.Unlock()
	v, ok := n.shared[key]
	if !ok {
		v = create()
		n.shared[key] = v
	}
	return v
}

// Each follows pdk.Node.
func (n *Node) Each(fn func(key string, state any)) {
	n.mu.Lock()
	states := make(map[string]any, len(n.shared))
	maps.Copy(states, n.shared)
	n.mu.Unlock()
	for k, v := range states {
		fn(k, v)
	}
}

// Env is a pdk.Env for tests.
type Env struct {
	*Node
	pluginID                       string
	routeID, serviceID, consumerID string
	validating                     bool
	slots                          *int
	ctx                            context.Context //nolint:containedctx // the config's lifetime is the test's
	running                        *sync.WaitGroup
	every                          []func(ctx context.Context)
}

var _ pdk.Env = (*Env)(nil)

// PluginID follows pdk.Env.
func (e *Env) PluginID() string { return e.pluginID }

// Scope follows pdk.Env.
func (e *Env) Scope() (routeID, serviceID, consumerID string) {
	return e.routeID, e.serviceID, e.consumerID
}

// Control follows pdk.Env.
func (e *Env) Control() pdk.Control { return e.control }

// Slot follows pdk.Env.
func (e *Env) Slot() int { *e.slots++; return *e.slots - 1 }

// Go follows pdk.Env.
func (e *Env) Go(fn func(ctx context.Context)) { e.running.Go(func() { fn(e.ctx) }) }

// Every keeps fn for Tick; no time passes by itself.
func (e *Env) Every(_ time.Duration, fn func(ctx context.Context)) { e.every = append(e.every, fn) }

// Tick runs once what Every was given.
func (e *Env) Tick() {
	for _, fn := range e.every {
		fn(e.ctx)
	}
}

// Validating follows pdk.Env.
func (e *Env) Validating() bool { return e.validating }
