package dataplane

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/controlclient"
	"github.com/sluice-gateway/sluice/dataplane/internal/crashloop"
	"github.com/sluice-gateway/sluice/dataplane/internal/diskcache"
	"github.com/sluice-gateway/sluice/dataplane/internal/pluginhost"
	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/render"
	"github.com/sluice-gateway/sluice/shared/version"
)

// openClient opens the disk cache and prepares the link to the control plane.
func (d *DataPlane) openClient(prefix string, registry *plugins.Registry, host *pluginhost.Host) error {
	link, err := d.openLink(prefix)
	if err != nil {
		return err
	}
	key, err := d.s.AESKey("cache_encryption_key")
	if err != nil {
		return err
	}
	cache, err := diskcache.Open(filepath.Join(prefix, "cache"), key)
	if err != nil {
		return err
	}
	d.onClose(cache.Close)
	if d.guard, err = crashloop.Open(crashloop.Options{Dir: prefix}); err != nil {
		return err
	}
	d.onClose(d.guard.Close)
	known, err := describe(registry)
	if err != nil {
		return err
	}
	options := controlclient.Options{
		Address: link.address, TLS: link.tls, Link: link.joined(), NodeID: d.id, BootID: uuid.NewString(), Hostname: d.hostname,
		Version: version.Sluice(), Labels: d.s.Labels("cluster_dp_labels"), Plugins: known, Applier: d.plans, Cache: cache, Guard: d.guard, Fallback: d.fallback(key),
		Command: func(ctx context.Context, target, name string, arguments json.RawMessage) (any, error) {
			if target == "balancer" {
				return d.balancerCommand(name, arguments)
			}
			if target == "router" {
				return d.routerCommand(name, arguments)
			}
			if target == "node" {
				return d.nodeCommand(name, arguments)
			}
			p := registry.ByName(target)
			if p == nil {
				return nil, fmt.Errorf("this node has no plugin %s", target)
			}
			return host.Command(ctx, p, name, arguments)
		},
		Report: (&reporter{
			balancer: d.balancer, integrity: func() controlclient.Integrity { return d.client.Facts().Integrity }, plan: d.plans.Current, cache: filepath.Join(prefix, "cache"),
			draining: func() bool { return d.status.Draining() },
		}).report, Logger: d.log.Named("controlclient"),
	}
	if d.counters != nil {
		options.Traffic = d.counters
	}
	d.client, err = controlclient.New(options)
	return err
}

// fallback reads cluster_fallback_config, nil when it is not set.
func (d *DataPlane) fallback(key []byte) func() (config.Update, error) {
	path := d.s.Path("cluster_fallback_config")
	if path == "" {
		return nil
	}
	return func() (config.Update, error) {
		u, err := diskcache.ReadFile(path, key)
		if err != nil {
			return u, fmt.Errorf("cluster_fallback_config: %w", err)
		}
		return u, nil
	}
}

// watchCrashes has the Go runtime write to the prefix, too, why the process crashes.
func (d *DataPlane) watchCrashes() {
	f, err := d.guard.Output()
	if err == nil {
		err = debug.SetCrashOutput(f, debug.CrashOptions{})
		_ = f.Close() // the runtime has its own
	}
	if err != nil {
		d.log.Warn("a crash would leave no words in the prefix", "error", err)
	}
}

// describe tells the control plane what the node can run.
func describe(registry *plugins.Registry) ([]controlclient.Plugin, error) {
	var out []controlclient.Plugin
	for _, p := range registry.Ordered() {
		b, err := schema.EncodeJSON(render.Schema(p.Schema))
		if err != nil {
			return nil, fmt.Errorf("render schema of %s: %w", p.Name, err)
		}
		sum := sha256.Sum256(b)
		out = append(out, controlclient.Plugin{Name: p.Name, Version: p.Version, SchemaHash: sum[:]})
	}
	return out, nil
}

// nodeCommand has this node take no more traffic, or take it again.
func (d *DataPlane) nodeCommand(name string, arguments json.RawMessage) (any, error) {
	var a struct {
		On bool `json:"on"`
	}
	if err := json.Unmarshal(arguments, &a); err != nil {
		return nil, fmt.Errorf("arguments of node %s: %w", name, err)
	}
	if name != "drain" {
		return nil, fmt.Errorf("a node knows no command %s", name)
	}
	d.status.Drain(a.On)
	d.server.Part(a.On)
	d.log.Warn("the control plane wants this node to take traffic or not", "drained", a.On)
	return map[string]any{"drained": a.On}, nil
}

// balancerCommand tells how this node sees the targets of an upstream.
func (d *DataPlane) balancerCommand(name string, arguments json.RawMessage) (any, error) {
	var a struct {
		Upstream string `json:"upstream"`
	}
	if err := json.Unmarshal(arguments, &a); err != nil {
		return nil, fmt.Errorf("arguments of balancer %s: %w", name, err)
	}
	if name != "health" {
		return nil, fmt.Errorf("the balancer knows no command %s", name)
	}
	u, ok := d.plans.Current().UpstreamByID(a.Upstream)
	if !ok {
		return nil, fmt.Errorf("this node has no upstream %s", a.Upstream)
	}
	return u.Health().Targets, nil
}

// routerCommand explains what would become of a request.
func (d *DataPlane) routerCommand(name string, arguments json.RawMessage) (any, error) {
	if name != "explain" {
		return nil, fmt.Errorf("the router knows no command %s", name)
	}
	var q proxy.Question
	if err := json.Unmarshal(arguments, &q); err != nil {
		return nil, fmt.Errorf("arguments of router %s: %w", name, err)
	}
	if q.Port == 0 {
		for _, l := range d.s.Listeners("proxy_listen") {
			if _, port, err := net.SplitHostPort(l.Address); err == nil && l.TLS == (q.Scheme == "https") {
				q.Port, _ = strconv.Atoi(port)
				break
			}
		}
	}
	return d.proxy.Explain(&q)
}
