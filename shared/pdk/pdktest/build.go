package pdktest

import (
	"context"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Options of Build.
type Options struct {
	Plugin *pdk.Plugin
	// Config as a user writes it, as JSON; "" means {}.
	Config string
	// ID of the plugin entity; "" means a fixed one.
	ID string
	// Route, Service and Consumer that the config is attached to, nil for none. The
	// exchanges get Route and Service, too.
	Route    *entity.Route
	Service  *entity.Service
	Consumer *entity.Consumer
	// View that the exchanges run under; nil finds nothing.
	View pdk.View
	// Node to build on, to share state with another config; nil means a new one.
	Node *Node
}

// Plugin is one built config.
type Plugin struct {
	Name   string
	Phases pdk.Phases
	Env    *Env
	Order  int

	o Options
	t testing.TB
}

var slots struct {
	sync.Mutex
	next int
}

// Config checks and completes a config as the Admin API does and returns its JSON.
func Config(p *pdk.Plugin, config string) ([]byte, error) {
	if config == "" {
		config = "{}"
	}
	o, err := schema.DecodeObject([]byte(config))
	if err != nil {
		return nil, err
	}
	kind := entity.Plugins(func(name string) (*schema.Schema, bool) { return p.Schema, name == p.Name }, nil)
	done, err := kind.Schema.Process(schema.Object{"name": p.Name, "config": o}, schema.Insert, nil)
	if err != nil {
		return nil, err
	}
	return schema.EncodeJSON(done["config"])
}

// Build checks, completes and builds a config, and stops it when the test ends. It
// fails the test when the config is refused.
func Build(t testing.TB, o Options) *Plugin {
	t.Helper()
	p, err := TryBuild(t, o)
	if err != nil {
		t.Fatalf("build %s: %v", o.Plugin.Name, err)
	}
	return p
}

// TryBuild does the same and returns why a config is refused.
func TryBuild(t testing.TB, o Options) (*Plugin, error) {
	t.Helper()
	config, err := Config(o.Plugin, o.Config)
	if err != nil {
		return nil, err
	}
	if o.Node == nil {
		o.Node = NewNode(t)
	}
	if o.ID == "" {
		o.ID = "00000000-0000-4000-8000-000000000001"
	}
	if o.View == nil {
		o.View = NewView()
	}
	ctx, stop := context.WithCancel(context.Background())
	env := &Env{Node: o.Node, pluginID: o.ID, slots: new(int), ctx: ctx, running: new(sync.WaitGroup)}
	if o.Route != nil {
		env.routeID = o.Route.ID
	}
	if o.Service != nil {
		env.serviceID = o.Service.ID
	}
	if o.Consumer != nil {
		env.consumerID = o.Consumer.ID
	}
	// Slots differ between the configs of a chain.
	slots.Lock()
	*env.slots = slots.next
	phases, err := o.Plugin.Build(env, config)
	slots.next = *env.slots
	slots.Unlock()
	t.Cleanup(func() { stop(); env.running.Wait() })
	if err != nil {
		return nil, err
	}
	return &Plugin{Name: o.Plugin.Name, Order: o.Plugin.Priority, Phases: phases, Env: env, o: o, t: t}, nil
}
