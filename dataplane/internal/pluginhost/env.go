package pluginhost

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Scope is what a config is attached to.
type Scope struct {
	PluginID                       string
	RouteID, ServiceID, ConsumerID string
	// ConsumerGroupID is the group whose consumers it is for, WorkspaceID the workspace; ""
	// for the default one.
	ConsumerGroupID, WorkspaceID string
}

// Env is the pdk.Env of one config.
type Env struct {
	*node
	scope Scope
	ctx   context.Context //nolint:containedctx // it is the life of the config itself
	stop  context.CancelFunc

	mu      sync.Mutex
	dropped bool
	used    []*shared
	nth     int
}

var _ pdk.Env = (*Env)(nil)

// PluginID follows pdk.Env.
func (e *Env) PluginID() string { return e.scope.PluginID }

// Scope follows pdk.Env.
func (e *Env) Scope() (routeID, serviceID, consumerID string) {
	return e.scope.RouteID, e.scope.ServiceID, e.scope.ConsumerID
}

// Validating follows pdk.Env.
func (e *Env) Validating() bool { return false }

// Shared follows pdk.Node; the state stays at least as long as the config.
func (e *Env) Shared(key string, create func() any) any {
	s := e.get(key, create, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.used = append(e.used, s)
	return s.state
}

// Control follows pdk.Env.
func (e *Env) Control() pdk.Control {
	if e.host.options.Control == nil {
		return pdk.NoControl{}
	}
	return e.host.options.Control(e.plugin)
}

// Slot follows pdk.Env. Configs of one plugin share their slots: one of them runs in
// an exchange.
func (e *Env) Slot() int {
	h := e.host
	h.mu.Lock()
	defer h.mu.Unlock()
	key := slotKey{e.plugin, e.nth}
	e.nth++
	slot, ok := h.slots[key]
	if !ok {
		slot = h.nextID
		h.nextID++
		h.slots[key] = slot
	}
	return slot
}

// Go follows pdk.Env.
func (e *Env) Go(fn func(ctx context.Context)) {
	h := e.host
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return
	}
	h.work.Go(func() {
		defer func() {
			if r := recover(); r != nil {
				e.log.Error("background work panicked", "plugin_id", e.scope.PluginID, "panic", r)
			}
		}()
		fn(e.ctx)
	})
}

// Every follows pdk.Env.
func (e *Env) Every(interval time.Duration, fn func(ctx context.Context)) {
	e.Go(func(ctx context.Context) {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				fn(ctx)
			}
		}
	})
}

// Drop ends the config: its background work stops and its state may go.
func (e *Env) Drop() {
	e.stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dropped {
		return
	}
	e.dropped = true
	e.host.mu.Lock()
	defer e.host.mu.Unlock()
	for _, s := range e.used {
		if s.users--; s.users == 0 {
			s.unused = time.Now()
		}
	}
}
