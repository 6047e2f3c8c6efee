// Package pluginhost lends plugins what they need on a data plane: the state that
// outlives a config, slots, timers and loggers. It owns when state and background
// work end. It refuses to choose which plugin runs when.
package pluginhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/lua/kit"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/queue"
)

// Linger is how long the state of a plugin stays after its last config is gone.
const Linger = time.Minute

// Options of a Host.
type Options struct {
	// NodeID is the node's UUID.
	NodeID string
	// CacheSize in bytes, see pdk.Node; 0 means pdk.DefaultCacheSize.
	CacheSize int64
	// Control returns the control plane's hand for a plugin; nil has none.
	Control func(plugin string) pdk.Control
	// Lua runs functions of users; nil means a pool with the defaults.
	Lua *lua.Pool
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Host is the lender. It is safe for concurrent use.
type Host struct {
	options Options
	log     hclog.Logger

	mu      sync.Mutex
	nodes   map[string]*node
	slots   map[slotKey]int
	nextID  int
	closing bool
	work    sync.WaitGroup
	ctx     context.Context //nolint:containedctx // bounds background work, ended by Close
	stop    context.CancelFunc
}

type slotKey struct {
	plugin string
	nth    int
}

// New makes a host.
func New(o Options) *Host {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.CacheSize == 0 {
		o.CacheSize = pdk.DefaultCacheSize
	}
	if o.Lua == nil {
		functions, err := kit.NewPool(kit.Options{NodeID: o.NodeID, Logger: o.Logger})
		if err != nil {
			panic(err) // the interpreter is not the one that we were built for
		}
		o.Lua = functions
	}
	h := &Host{options: o, log: o.Logger, nodes: map[string]*node{}, slots: map[slotKey]int{}}
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.work.Go(h.sweep)
	return h
}

// Close ends all background work and closes all state.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	h.stop()
	h.work.Wait()
	h.mu.Lock()
	var last []*shared
	for _, n := range h.nodes {
		for key := range n.shared {
			last = append(last, n.takeLocked(key))
		}
	}
	h.mu.Unlock()
	// What some of them still have to send takes its time: together, not one after another.
	errs := make([]error, len(last))
	var closing sync.WaitGroup
	for i, s := range last {
		closing.Go(func() { errs[i] = s.close() })
	}
	closing.Wait()
	return errors.Join(errs...)
}

// Build builds one config of a plugin.
func (h *Host) Build(p *pdk.Plugin, scope Scope, config json.RawMessage) (phases pdk.Phases, env *Env, err error) {
	env = &Env{node: h.node(p.Name), scope: scope}
	env.ctx, env.stop = context.WithCancel(h.ctx)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("plugin %s panicked while it was built: %v", p.Name, r)
		}
		if err != nil {
			env.Drop()
			env = nil
		}
	}()
	phases, err = p.Build(env, config)
	return phases, env, err
}

// Command has a plugin answer a control plane's command.
func (h *Host) Command(ctx context.Context, p *pdk.Plugin, name string, arguments json.RawMessage) (any, error) {
	if p.Command == nil {
		return nil, fmt.Errorf("plugin %s takes no commands", p.Name)
	}
	return p.Command(ctx, h.node(p.Name), name, arguments)
}

// Metrics appends what a plugin has measured on this node.
func (h *Host) Metrics(p *pdk.Plugin, b []byte) []byte {
	if p.Metrics == nil {
		return b
	}
	return p.Metrics(h.node(p.Name), b)
}

func (h *Host) node(plugin string) *node {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, ok := h.nodes[plugin]
	if !ok {
		n = &node{host: h, plugin: plugin, log: h.log.Named(plugin), shared: map[string]*shared{}}
		h.nodes[plugin] = n
	}
	return n
}

// sweep drops the state that no config has asked for in a while.
func (h *Host) sweep() {
	ticker := time.NewTicker(Linger / 4)
	defer ticker.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case now := <-ticker.C:
			h.dropUnused(now)
		}
	}
}

func (h *Host) dropUnused(now time.Time) {
	type left struct {
		n   *node
		key string
		*shared
	}
	var unused []left
	h.mu.Lock()
	for _, n := range h.nodes {
		for key, s := range n.shared {
			if s.users == 0 && now.Sub(s.unused) > Linger {
				unused = append(unused, left{n, key, n.takeLocked(key)})
			}
		}
	}
	h.mu.Unlock()
	for _, s := range unused {
		if err := s.close(); err != nil {
			s.n.log.Warn("close plugin state", "key", s.key, "error", err)
		}
		h.mu.Lock()
		s.n.endedLocked(s.shared)
		h.mu.Unlock()
	}
}

// node is what one plugin has on this node.
type node struct {
	host   *Host
	plugin string
	log    hclog.Logger
	shared map[string]*shared // under host.mu
	// ended are the counts of feeds that are no more; feeds tells that there were some.
	ended queue.Counts
	feeds bool
}

type shared struct {
	state  any
	users  int
	unused time.Time
}

// takeLocked takes a state off the node; close ends it.
func (n *node) takeLocked(key string) *shared {
	s := n.shared[key]
	delete(n.shared, key)
	return s
}

func (s *shared) close() error {
	if c, ok := s.state.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// ID follows pdk.Node.
func (n *node) ID() string { return n.host.options.NodeID }

// Logger follows pdk.Node.
func (n *node) Logger() hclog.Logger { return n.log }

// CacheSize follows pdk.Node.
func (n *node) CacheSize() int64 { return n.host.options.CacheSize }

// Lua follows pdk.Node.
func (n *node) Lua() *lua.Pool { return n.host.options.Lua }

// Shared follows pdk.Node, for a command: the state is kept no longer for it.
func (n *node) Shared(key string, create func() any) any { return n.get(key, create, 0).state }

func (n *node) get(key string, create func() any, users int) *shared {
	n.host.mu.Lock()
	defer n.host.mu.Unlock()
	s, ok := n.shared[key]
	if !ok {
		s = &shared{state: create(), unused: time.Now()}
		n.shared[key] = s
	}
	s.users += users
	return s
}

// Each follows pdk.Node.
func (n *node) Each(fn func(key string, state any)) {
	n.host.mu.Lock()
	states := make(map[string]any, len(n.shared))
	for key, s := range n.shared {
		states[key] = s.state
	}
	n.host.mu.Unlock()
	for key, state := range states {
		fn(key, state)
	}
}
