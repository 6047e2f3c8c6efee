// Package dataplane puts a data plane together: the disk cache, the plan that is built
// from it, the proxy with its listeners, the link to the control plane and the status
// API. It owns the order of start and stop: what is cached serves before anything is
// dialled, and clients are drained before what serves them goes. Each room decides for
// itself; nothing is decided here but what settings say.
package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/accesslog"
	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/controlclient"
	"github.com/sluice-gateway/sluice/dataplane/internal/counters"
	"github.com/sluice-gateway/sluice/dataplane/internal/crashloop"
	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/dataplane/internal/pluginhost"
	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/dataplane/internal/resolver"
	"github.com/sluice-gateway/sluice/dataplane/internal/server"
	"github.com/sluice-gateway/sluice/dataplane/internal/status"
	"github.com/sluice-gateway/sluice/dataplane/internal/vault"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/lifecycle"
	"github.com/sluice-gateway/sluice/shared/nodeid"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/settings"
	"github.com/sluice-gateway/sluice/shared/version"
)

// Options of a data plane.
type Options struct {
	Settings *settings.Settings
	// Registry of the plugins that the node has; nil means plugins.Bundled. The control
	// plane must have them, too.
	Registry *plugins.Registry
	// StopTimeout bounds how long clients are drained; 0 means 10s.
	StopTimeout time.Duration
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// DataPlane is one node. New opens everything that can be wrong, Run serves.
type DataPlane struct {
	o   Options
	s   *settings.Settings
	log hclog.Logger

	id, hostname string
	closers      []func() error // in the order of opening
	link         *link

	registry *plugins.Registry
	host     *pluginhost.Host
	resolver *resolver.Resolver
	balancer *balancer.Balancer
	plans    *plan.Builder
	vaults   *vault.Vaults
	proxy    *proxy.Proxy
	server   *server.Server
	client   *controlclient.Client
	guard    *crashloop.Guard
	access   *accesslog.Log
	counters *counters.Set // nil when traffic is not reported
	status   *status.Handler
	statusOn []net.Listener
}

// New opens files and listeners. Its errors name the setting that is wrong. A node that
// is not run must be closed.
func New(o Options) (*DataPlane, error) {
	if o.Settings == nil {
		return nil, errors.New("data plane needs settings")
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Registry == nil {
		o.Registry = plugins.Bundled()
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 10 * time.Second
	}
	d := &DataPlane{o: o, s: o.Settings, log: o.Logger}
	if err := d.open(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// ID is the node's UUID.
func (d *DataPlane) ID() string { return d.id }

// Close closes what New opened, the last first. Run does it by itself.
func (d *DataPlane) Close() error {
	var errs []error
	for _, v := range slices.Backward(d.closers) {
		errs = append(errs, v())
	}
	d.closers = nil
	return errors.Join(errs...)
}

func (d *DataPlane) onClose(fn func() error) { d.closers = append(d.closers, fn) }

func (d *DataPlane) open() error {
	prefix := d.s.Path("prefix")
	if err := os.MkdirAll(prefix, 0o750); err != nil {
		return fmt.Errorf("prefix: %w", err)
	}
	var err error
	if d.hostname, err = os.Hostname(); err != nil {
		return fmt.Errorf("read hostname: %w", err)
	}
	if d.id, err = nodeid.Load(prefix, d.s.String("node_id")); err != nil {
		return err
	}
	d.registry = d.o.Registry
	names, err := d.openPlans(d.registry)
	if err != nil {
		return err
	}
	if err := d.openProxy(names); err != nil {
		return err
	}
	if err := d.openClient(prefix, d.registry, d.host); err != nil {
		return err
	}
	if err := d.openServer(prefix); err != nil {
		return err
	}
	return d.openStatus()
}

// openPlans makes the builder and what outlives plans.
func (d *DataPlane) openPlans(registry *plugins.Registry) (*balancer.Balancer, error) {
	kinds := entity.NewKinds(entity.Options{Flavor: entity.Flavor(d.s.String("router_flavor")), Plugins: registry.Schema, Extra: registry.Entities()})
	d.vaults = vault.New(vault.Options{
		EnvPrefix: d.s.String("vault_env_prefix"), FilePath: d.s.Path("vault_file_path"), Logger: d.log.Named("vault"),
	})
	functions, err := d.functions()
	if err != nil {
		return nil, err
	}
	host := pluginhost.New(pluginhost.Options{
		Lua:    functions,
		NodeID: d.id, CacheSize: d.s.Size("mem_cache_size"), Logger: d.log.Named("plugin"),
		// Configs are built when the client is there.
		Control: func(plugin string) pdk.Control { return d.client.Control(plugin) },
	})
	d.host = host
	d.onClose(host.Close)
	options, err := d.resolverOptions()
	if err != nil {
		return nil, err
	}
	if d.resolver, err = resolver.New(options); err != nil {
		return nil, err
	}
	d.onClose(func() error { d.resolver.Close(); return nil })
	names := balancer.New(balancer.Options{Resolver: d.resolver, Labels: d.s.Labels("cluster_dp_labels"), Logger: d.log.Named("balancer")})
	d.balancer = names
	d.onClose(func() error { names.Close(); return nil })
	roots, err := trustedRoots(d.s)
	if err != nil {
		return nil, err
	}
	d.plans = plan.New(plan.Options{
		Flavor: entity.Flavor(d.s.String("router_flavor")),
		Kinds:  kinds, Plugin: findPlugin(registry), Host: host, Balancer: names, TrustedRoots: roots, Secrets: d.vaults, Logger: d.log.Named("plan"),
	})
	return names, nil
}

func findPlugin(r *plugins.Registry) func(name string) (*pdk.Plugin, bool) {
	return func(name string) (*pdk.Plugin, bool) {
		p := r.ByName(name)
		return p, p != nil
	}
}

// Run serves until ctx ends, and drains.
func (d *DataPlane) Run(ctx context.Context) error {
	defer func() {
		if err := d.Close(); err != nil {
			d.log.Warn("closing", "error", err)
		}
	}()
	d.watchCrashes()
	// What the disk has serves before anything else is tried.
	d.client.Restore(ctx)
	group := lifecycle.Group{StopTimeout: d.o.StopTimeout, Logger: d.log}
	group.Add(lifecycle.Func("vaults", d.watchSecrets)) //nolint:contextcheck // actors end by Interrupt, in their order
	if d.link.own != nil {
		group.Add(lifecycle.Func("identity", d.link.own.Run)) //nolint:contextcheck // actors end by Interrupt, in their order
	}
	group.Add(lifecycle.Func("control client", d.client.Run)) //nolint:contextcheck // actors end by Interrupt, in their order
	if d.counters != nil {
		group.Add(lifecycle.Func("traffic counters", d.counters.Run)) //nolint:contextcheck // as above
	}
	for _, l := range d.statusOn {
		server := &http.Server{Handler: d.status, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
		group.Add(lifecycle.HTTP("status listener", server, l))
	}
	group.Add(lifecycle.Actor{
		Name: "proxy listeners", Execute: d.server.Serve,
		Interrupt: func(ctx context.Context) {
			d.status.Drain(true)
			if err := d.server.Shutdown(ctx); err != nil {
				d.log.Warn("clients were cut off", "error", err)
			}
		},
	})
	d.log.Info("data plane runs", "node_id", d.id, "version", version.Sluice(), "proxy", fmt.Sprint(d.server.Addrs()), "revision", d.client.Facts().Position.Revision)
	return group.Run(ctx)
}

// Reload opens logs anew and reads the certificates of ssl_cert, the authorities of
// clients and the key of session tickets again.
func (d *DataPlane) Reload() {
	if d.access != nil {
		if err := d.access.Reopen(); err != nil {
			d.log.Error("access log is not reopened", "error", err)
		}
	}
	if key, err := ticketKey(d.s); err != nil {
		d.log.Error("the key of session tickets is not read again", "error", err)
	} else if key != nil {
		d.server.SetTicketKey(*key)
	}
	if _, authorities, err := clientAuth(d.s); err != nil {
		d.log.Error("the authorities of clients are not read again", "error", err)
	} else {
		d.server.SetClientCAs(authorities)
	}
	certificates, err := d.certificates(d.s.Path("prefix"))
	if err != nil {
		d.log.Error("certificates are not read again", "error", err)
		return
	}
	d.server.SetCertificates(certificates)
	d.log.Info("logs are reopened and certificates read again")
}
