package controlplane

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/controlplane/internal/local"
	"github.com/sluice-gateway/sluice/controlplane/internal/manager"
	"github.com/sluice-gateway/sluice/controlplane/internal/rpc"
	"github.com/sluice-gateway/sluice/shared/logging"
	"github.com/sluice-gateway/sluice/shared/lua"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/settings"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
	"github.com/sluice-gateway/sluice/shared/version"
)

// listen opens all listeners.
func (c *ControlPlane) listen(prefix string) error {
	identity, err := c.identity(prefix)
	if err != nil {
		return err
	}
	c.rpc, err = rpc.New(rpc.Options{
		Hub: c.hub, Desk: c.desk, Traffic: c.traffic, TLS: c.members.Server(identity.Server()), Members: c.members, Audit: c.audit,
		Version: version.Sluice(), Logger: c.log.Named("rpc"),
	})
	if err != nil {
		return err
	}
	if c.localOn, err = local.Listen(prefix); err != nil {
		c.log.Warn("commands of this program can not reach the control plane while it runs", "error", err)
	} else {
		c.onClose(func() error { _ = c.localOn.Close(); return nil })
	}
	for _, room := range []struct {
		key  string
		into *[]net.Listener
	}{{"admin_listen", &c.adminOn}, {"cluster_listen", &c.clusterOn}, {"status_listen", &c.statusOn}, {"admin_gui_listen", &c.managerOn}} {
		for _, l := range c.s.Listeners(room.key) {
			on, err := net.Listen(l.Network, l.Address)
			if err != nil {
				return fmt.Errorf("%s: %w", room.key, err)
			}
			c.onClose(func() error { _ = on.Close(); return nil })
			if l.TLS && room.key != "cluster_listen" {
				config, err := c.adminTLS(prefix, room.key == "admin_listen")
				if err != nil {
					return err
				}
				on = tls.NewListener(on, config)
			}
			*room.into = append(*room.into, on)
		}
	}
	if len(c.managerOn) > 0 {
		c.ui, err = c.manager()
	}
	return err
}

// identity is the certificate of the link, made on the first start when none is set.
func (c *ControlPlane) identity(prefix string) (*tlsutil.Identity, error) {
	var texts [3][]byte
	for i, key := range []string{"cluster_cert", "cluster_cert_key", "cluster_ca_cert"} {
		var err error
		if texts[i], err = c.s.PEM(key); err != nil {
			return nil, err
		}
	}
	if texts[0] == nil && texts[1] == nil {
		cert, key, made, err := tlsutil.Ensure(prefix, time.Now())
		if err != nil {
			return nil, fmt.Errorf("cluster_cert: %w", err)
		}
		if made {
			c.log.Info("made the certificate of the link: give both files to the data planes",
				"files", filepath.Join(prefix, "cluster.crt")+", "+filepath.Join(prefix, "cluster.key"))
		}
		texts[0], texts[1] = cert, key
	}
	id, err := tlsutil.Load(tlsutil.Mode(c.s.String("cluster_mtls")), texts[0], texts[1], texts[2])
	if err != nil {
		return nil, fmt.Errorf("cluster_cert: %w", err)
	}
	return id, nil
}

// adminPairs are those of admin_ssl_cert, else one that is made once.
func adminPairs(s *settings.Settings, prefix string) ([]tls.Certificate, error) {
	certs, err := s.PEMs("admin_ssl_cert")
	if err != nil {
		return nil, err
	}
	keys, err := s.PEMs("admin_ssl_cert_key")
	if err != nil {
		return nil, err
	}
	pairs, err := tlsutil.ServerPairs(certs, keys, filepath.Join(prefix, "ssl"), "admin-default")
	if err != nil {
		return nil, fmt.Errorf("admin_ssl_cert: %w", err)
	}
	return pairs, nil
}

// manager is the handler of admin_gui_listen.
func (c *ControlPlane) manager() (http.Handler, error) {
	o := manager.Options{
		Path: c.s.String("admin_gui_path"), APIURL: c.s.String("admin_gui_api_url"),
		Version: version.Sluice(), Expressions: c.s.String("router_flavor") == "expressions",
	}
	for _, l := range c.s.Listeners("admin_listen") {
		if l.TLS && o.SecurePort == 0 {
			o.SecurePort = l.Port
		} else if !l.TLS && o.Port == 0 {
			o.Port = l.Port
		}
	}
	return manager.New(o)
}

// functions compiles what users write in Lua, and runs none of it.
func (c *ControlPlane) functions() (*lua.Pool, error) {
	mode, _ := lua.ParseMode(c.s.String("untrusted_lua")) // settings allow no other
	return lua.NewPool(lua.Options{Machines: 1, Sandbox: lua.Sandbox{Mode: mode}})
}

// loadable finds out whether a data plane could load a plugin's config, by doing it.
func loadable(registry *plugins.Registry, functions *lua.Pool) func(schema.Object) error {
	return func(o schema.Object) error {
		name, _ := o["name"].(string)
		p := registry.ByName(name)
		config, ok := o["config"].(schema.Object)
		if p == nil || !ok {
			return nil
		}
		sealed := false
		p.Schema.ReplaceReferences(schema.Object{"config": config}, func(reference string) string {
			sealed = true
			return reference
		})
		if sealed {
			return nil // only nodes know what it will be
		}
		raw, err := schema.EncodeJSON(config)
		if err != nil {
			return err
		}
		_, err = p.Build(pdk.ValidatingEnv(nil, functions), raw)
		return err
	}
}

// logLevel is the level that /debug changes.
type logLevel struct {
	log hclog.Logger

	mu   sync.Mutex
	name string
}

// Get implements admin.LogLevel.
func (l *logLevel) Get() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.name
}

// Set implements admin.LogLevel.
func (l *logLevel) Set(name string) error {
	level, ok := logging.Level(name)
	if !ok {
		return fmt.Errorf("unknown log level: %s", name)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.name = name
	l.log.SetLevel(level)
	return nil
}
