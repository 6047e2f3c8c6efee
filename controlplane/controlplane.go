// Package controlplane puts a control plane together: the store, the catalog, the hub
// with its gRPC server, the Admin API and the listeners. It owns the order of start and
// stop: nothing listens before the store is open and known to be whole, and the store
// closes last. Each room decides for itself; nothing is decided here but what settings
// say.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/declarative"
	"github.com/sluice-gateway/sluice/controlplane/internal/history"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/intake"
	"github.com/sluice-gateway/sluice/controlplane/internal/lease"
	"github.com/sluice-gateway/sluice/controlplane/internal/rpc"
	"github.com/sluice-gateway/sluice/controlplane/internal/snapshot"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/controlplane/internal/traffic"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/expression"
	"github.com/sluice-gateway/sluice/shared/lifecycle"
	"github.com/sluice-gateway/sluice/shared/nodeid"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/settings"
	"github.com/sluice-gateway/sluice/shared/version"
)

// Options of a control plane.
type Options struct {
	Settings *settings.Settings
	// Registry of the plugins that configs may name; nil means plugins.Bundled. The data
	// planes must have them, too.
	Registry *plugins.Registry
	// StopTimeout bounds how long requests and nodes are drained; 0 means 10s.
	StopTimeout time.Duration
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// ControlPlane is one control plane. New opens everything that can be wrong, Run serves.
type ControlPlane struct {
	o   Options
	s   *settings.Settings
	log hclog.Logger

	id, hostname string
	closers      []func() error // in the order of opening

	store    *bolt.Store
	kinds    *entity.Kinds
	catalog  *catalog.Catalog
	declared *declarative.Service
	audit    *audit.Log // nil when audit_log is off
	tokens   *access.Tokens
	hub      *hub.Hub
	members  members
	rpc      *rpc.Server
	desk     *intake.Desk
	traffic  *traffic.Store
	admin    *admin.API
	ui       http.Handler // of admin_gui_listen; nil when nothing listens there

	adminOn, clusterOn, statusOn, managerOn []net.Listener
	localOn                                 net.Listener // nil when there is none
}

// StoreFile is the name of the store in the prefix.
const StoreFile = "sluice.db"

// New opens the store and the listeners. Its errors name the setting that is wrong. A
// control plane that is not run must be closed.
func New(ctx context.Context, o Options) (*ControlPlane, error) {
	if o.Settings == nil {
		return nil, errors.New("control plane needs settings")
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
	c := &ControlPlane{o: o, s: o.Settings, log: o.Logger}
	if err := c.open(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close closes what New opened, the last first. Run does it by itself.
func (c *ControlPlane) Close() error {
	var errs []error
	for _, v := range slices.Backward(c.closers) {
		errs = append(errs, v())
	}
	c.closers = nil
	return errors.Join(errs...)
}

func (c *ControlPlane) onClose(fn func() error) { c.closers = append(c.closers, fn) }

func (c *ControlPlane) open(ctx context.Context) error {
	prefix := c.s.Path("prefix")
	if err := os.MkdirAll(prefix, 0o750); err != nil {
		return fmt.Errorf("prefix: %w", err)
	}
	var err error
	if c.hostname, err = os.Hostname(); err != nil {
		return fmt.Errorf("read hostname: %w", err)
	}
	if c.id, err = nodeid.Load(prefix, c.s.String("node_id")); err != nil {
		return err
	}
	storeOptions, err := storeOptions(c.s)
	if err != nil {
		return err
	}
	storeOptions.Logger = c.log.Named("store")
	c.store, err = bolt.Open(ctx, storeOptions)
	if err != nil {
		return err
	}
	c.onClose(c.store.Close)
	registry := c.o.Registry
	kinds := entity.NewKinds(entity.Options{
		Flavor: entity.Flavor(c.s.String("router_flavor")), Plugins: registry.Schema, Expression: expression.Validate, ExpressionHints: expression.Hints, Extra: registry.Entities(),
	})
	c.kinds = kinds
	written, err := c.openSecurity(ctx, kinds, prefix)
	if err != nil {
		return err
	}
	functions, err := c.functions()
	if err != nil {
		return err
	}
	c.catalog, err = catalog.New(ctx, catalog.Options{Store: written, Kinds: kinds, Check: loadable(registry, functions), Logger: c.log.Named("catalog")})
	if err != nil {
		return err
	}
	c.declared = declarative.New(declarative.Options{Catalog: c.catalog, Kinds: kinds})
	if err := c.openHub(registry); err != nil {
		return err
	}
	if err := c.openMembers(ctx, written); err != nil {
		return err
	}
	if err := c.openAdmin(kinds, registry); err != nil { //nolint:contextcheck // nothing of it depends on the start
		return err
	}
	if err := c.declare(ctx); err != nil {
		return err
	}
	if err := c.checkAdminListeners(); err != nil {
		return err
	}
	return c.listen(prefix)
}

// routing are the kinds without which a node would answer requests differently: it must
// refuse what it does not know of them.
var routing = []string{"services", "routes", "upstreams", "targets", "consumers", "plugins", "certificates", "snis"}

func (c *ControlPlane) openHub(registry *plugins.Registry) error {
	encoder, err := rpc.NewEncoder(routing)
	if err != nil {
		return err
	}
	source, err := snapshot.New(snapshot.Options{Store: c.store, Encoder: encoder, Kinds: c.catalog.Streamed()})
	if err != nil {
		return err
	}
	c.hub, err = hub.New(hub.Options{
		Store: c.store, Source: source, PurgeDelay: c.s.Duration("cluster_data_plane_purge_delay"), Logger: c.log.Named("hub"),
	})
	if err != nil {
		return err
	}
	c.traffic = traffic.New(traffic.Options{MaxBytes: c.s.Size("traffic_memory")})
	c.desk, err = intake.New(intake.Options{
		Catalog: c.catalog, Hub: c.hub, Plugins: registry, Leases: lease.New(lease.Options{}), Logger: c.log.Named("intake"),
	})
	return err
}

func (c *ControlPlane) openAdmin(kinds *entity.Kinds, registry *plugins.Registry) error {
	var entities catalog.API = c.catalog
	if c.s.String("database") == "off" {
		entities = catalog.ReadOnly(entities)
	}
	shown := c.s.List("headers")
	has := func(names ...string) bool {
		return slices.ContainsFunc(shown, func(h string) bool { return slices.Contains(names, strings.ToLower(h)) })
	}
	past, err := history.New(history.Options{
		Store: c.store, Kinds: kinds, Mask: func(kind string, o schema.Object) (schema.Object, []string) { return audit.Mask(kinds, kind, o) },
	})
	if err != nil {
		return err
	}
	c.admin, err = admin.New(admin.Options{
		HideServer: !has("server_tokens", "server"), HideLatency: !has("latency_tokens", "x-kong-admin-latency"),
		Catalog: entities, Kinds: kinds, Plugins: registry, Fleet: c.hub, Traffic: c.traffic, History: past, Declarative: c.declared,
		Tokens: c.tokens, Members: c.members, EnforceTokens: c.s.Bool("enforce_rbac"), TokenHeader: c.s.String("rbac_auth_header"), Audit: c.audit,
		Configuration: c.s.Configuration, Position: c.store.Position, Health: c.store.ReadOnly,
		LogLevel: &logLevel{log: c.log, name: c.s.String("log_level")}, NodeID: c.id, Hostname: c.hostname,
		Server: "sluice/" + version.Sluice(), AllowedOrigins: c.s.List("admin_gui_url"), MaxBody: unlimited(c.s.Size("nginx_admin_client_max_body_size")),
		Logger: c.log.Named("admin"),
	})
	if err != nil {
		return err
	}
	c.onClose(func() error { c.admin.Close(); return nil })
	return nil
}

// unlimited turns the setting's 0, which is any size, into a size that nothing has.
func unlimited(n int64) int64 {
	if n == 0 {
		return 1 << 50
	}
	return n
}

// declare makes declarative_config, or the text in declarative_config_string, the
// configuration, when one of them is set.
func (c *ControlPlane) declare(ctx context.Context) error {
	path, text := c.s.Path("declarative_config"), c.s.String("declarative_config_string")
	switch {
	case path != "":
		document, err := os.Open(path) //nolint:gosec // the operator's path
		if err != nil {
			return fmt.Errorf("declarative_config: %w", err)
		}
		defer func() { _ = document.Close() }()
		if _, _, err := c.declared.Load(ctx, "", document, "", false); err != nil {
			return fmt.Errorf("declarative_config: %s: %w", path, err)
		}
	case text != "":
		if _, _, err := c.declared.Load(ctx, "", strings.NewReader(text), "", false); err != nil {
			return fmt.Errorf("declarative_config_string: %w", err)
		}
	}
	return nil
}

// headTimeout bounds a request head.
const headTimeout = 30 * time.Second

// Run serves until ctx ends, and drains.
func (c *ControlPlane) Run(ctx context.Context) error {
	defer func() {
		if err := c.Close(); err != nil {
			c.log.Error("closing", "error", err)
		}
	}()
	group := lifecycle.Group{StopTimeout: c.o.StopTimeout, Logger: c.log}
	if c.audit != nil {
		group.Add(lifecycle.Func("audit log", c.audit.Run)) //nolint:contextcheck // actors end by Interrupt, in their order
	}
	group.Add(lifecycle.Func("catalog", c.catalog.Run)) //nolint:contextcheck // actors end by Interrupt, in their order
	group.Add(lifecycle.Func("hub", c.hub.Run))         //nolint:contextcheck // as above
	for i, l := range c.clusterOn {
		first := i == 0
		group.Add(lifecycle.Actor{
			Name: "cluster listener", Execute: func() error { return c.rpc.Serve(l) }, //nolint:contextcheck // as above
			Interrupt: func(ctx context.Context) {
				if first {
					c.rpc.Stop(ctx)
				}
			},
		})
	}
	for _, l := range c.statusOn {
		group.Add(lifecycle.HTTP("status listener", &http.Server{Handler: c.admin.Status(), ReadHeaderTimeout: headTimeout}, l))
	}
	for _, l := range c.managerOn {
		server := &http.Server{Handler: c.ui, ReadHeaderTimeout: headTimeout, IdleTimeout: 75 * time.Second}
		group.Add(lifecycle.HTTP("manager listener", server, l))
	}
	for _, l := range c.adminOn {
		server := &http.Server{Handler: c.admin, ConnState: c.admin.ConnState, ReadHeaderTimeout: headTimeout, IdleTimeout: 75 * time.Second}
		group.Add(lifecycle.HTTP("admin listener", server, l))
	}
	if c.localOn != nil {
		group.Add(lifecycle.HTTP("local socket", &http.Server{Handler: c.local(), ReadHeaderTimeout: headTimeout}, c.localOn))
	}
	p, err := c.store.Position()
	if err != nil {
		return err
	}
	c.log.Info("control plane runs", "node_id", c.id, "version", version.Sluice(), "revision", p.Revision, "lineage", p.Lineage)
	return group.Run(ctx)
}
