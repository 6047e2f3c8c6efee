package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/settings"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// TokenFile is where the first admin token is kept, in the prefix.
const TokenFile = "admin.token"

// openSecurity opens the audit log and the tokens. What it returns is the store to write
// the configuration through.
func (c *ControlPlane) openSecurity(ctx context.Context, kinds *entity.Kinds, prefix string) (store.Store, error) {
	written := audit.Attributed(c.store)
	if c.s.Bool("audit_log") {
		var err error
		if c.audit, err = newAudit(c.s, c.store, kinds, c.log.Named("audit")); err != nil {
			return nil, err
		}
		written = c.audit.Store()
	}
	var err error
	if c.tokens, err = access.NewTokens(written, nil); err != nil {
		return nil, err
	}
	if c.s.Bool("enforce_rbac") && !c.tokens.HasAdmin() {
		if err := c.firstToken(ctx, prefix); err != nil {
			return nil, fmt.Errorf("enforce_rbac: %w", err)
		}
	}
	return written, nil
}

func newAudit(s *settings.Settings, st store.Store, kinds *entity.Kinds, log hclog.Logger) (*audit.Log, error) {
	methods := s.List("audit_log_ignore_methods")
	for i := range methods {
		methods[i] = strings.ToUpper(methods[i])
	}
	return audit.New(audit.Options{
		Store: st, Kinds: kinds, MaxAge: s.Duration("audit_log_record_ttl"), MaxRecords: s.Int("audit_log_max_records"),
		IgnoreMethods: methods, IgnorePaths: s.List("audit_log_ignore_paths"), IgnoreKinds: s.List("audit_log_ignore_tables"), Logger: log,
	})
}

// firstToken makes an admin token when there is none, for otherwise nobody could make one.
func (c *ControlPlane) firstToken(ctx context.Context, prefix string) error {
	name := "first"
	for n := 2; c.tokens.Get(name) != nil; n++ {
		name = fmt.Sprintf("first-%d", n)
	}
	path := filepath.Join(prefix, TokenFile)
	ctx = audit.With(ctx, &audit.Request{UserName: "control plane", Path: "start"})
	known, token, err := c.tokens.Create(ctx, access.Request{Name: name, Role: access.Admin, Comment: "made at the start", By: "control plane"})
	if err != nil {
		return err
	}
	if err := writeSecret(path, token+"\n"); err != nil {
		_, revoke := c.tokens.Revoke(ctx, known.ID)
		return errors.Join(err, revoke)
	}
	c.log.Info("made the first admin token", "name", name, "file", path)
	return nil
}

// writeSecret replaces a file that only its owner reads.
func writeSecret(path, text string) error {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// adminTLS is how the ssl addresses of the Admin API and the manager are served. Only the
// Admin API asks for certificates of clients.
func (c *ControlPlane) adminTLS(prefix string, askClients bool) (*tls.Config, error) {
	pairs, err := adminPairs(c.s, prefix)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: tlsutil.Chooser(pairs), NextProtos: []string{"h2", "http/1.1"}}
	verify := c.s.String("nginx_admin_ssl_verify_client")
	if !askClients || verify == "off" {
		return config, nil
	}
	authorities, err := c.s.PEMs("nginx_admin_ssl_client_certificate")
	if err != nil {
		return nil, err
	}
	if len(authorities) == 0 {
		return nil, errors.New("nginx_admin_ssl_verify_client: nginx_admin_ssl_client_certificate must name the authorities of clients")
	}
	config.ClientCAs = x509.NewCertPool()
	for _, text := range authorities {
		if !config.ClientCAs.AppendCertsFromPEM(text) {
			return nil, errors.New("nginx_admin_ssl_client_certificate: there is no certificate in it")
		}
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	if verify == "optional" {
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return config, nil
}

// checkAdminListeners refuses settings that would not protect what they seem to, and warns
// where nothing protects the Admin API.
func (c *ControlPlane) checkAdminListeners() error {
	verify := c.s.String("nginx_admin_ssl_verify_client")
	secure := false
	for _, l := range c.s.Listeners("admin_listen") {
		secure = secure || l.TLS
		protected := c.s.Bool("enforce_rbac") || l.TLS && verify == "on"
		if l.Network != "unix" && !isLoopback(l.IP) && !protected {
			c.log.Warn("everybody who reaches the Admin API can change the configuration: set enforce_rbac, ask for certificates, or listen on 127.0.0.1",
				"admin_listen", l.Address)
		}
	}
	if verify != "off" && !secure {
		return errors.New("nginx_admin_ssl_verify_client: no address of admin_listen has the flag ssl")
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
