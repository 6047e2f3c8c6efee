package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/controlplane/internal/audit"
	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/identity"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/settings"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// members is what the Admin API asks about nodes by their certificates: the authority,
// and the hub where a decision ends a session.
type members struct {
	*identity.Authority
	hub *hub.Hub
	// advertised is where nodes reach cluster_listen.
	advertised string
}

var _ admin.Members = members{}

// revokedRetry is how long a node should stay away that was revoked; it may be forgotten
// meanwhile.
const revokedRetry = 10 * time.Second

// JoinLine implements admin.Members.
func (m members) JoinLine(known *identity.Token, secret, address string) (token, line string, err error) {
	if address == "" {
		address = m.advertised
	}
	if err := tlsutil.CheckAddress(address); err != nil {
		return "", "", err //nolint:wrapcheck // it names the address
	}
	l := m.Authority.JoinLine(known, secret, address)
	return l.Token(), l.String(), nil
}

// Revoke implements admin.Members.
func (m members) Revoke(ctx context.Context, id string) error {
	known := m.Node(id)
	kept := known != nil && known.ForgottenAt == 0
	if _, err := uuid.Parse(id); err != nil || !kept && !m.hub.Known(id) {
		return identity.ErrNotFound
	}
	if err := m.Authority.Revoke(ctx, id); err != nil {
		return err //nolint:wrapcheck // it says what failed
	}
	m.hub.Evict(id, identity.ErrRevoked.Error(), revokedRetry)
	return nil
}

// Forget implements admin.Members.
func (m members) Forget(ctx context.Context, id string) error {
	known, revoked := m.Node(id), false
	if known != nil {
		revoked = known.RevokedAt != 0
	}
	if m.hub.Online(id) && !revoked && (known == nil || known.ForgottenAt != 0) {
		return admin.ErrStays
	}
	err := m.Authority.Forget(ctx, id)
	if err != nil && !errors.Is(err, identity.ErrNotFound) {
		return err //nolint:wrapcheck // it says what failed
	}
	m.hub.Evict(id, "the node was forgotten", 0)
	if m.hub.Remove(id) {
		return nil
	}
	return err //nolint:wrapcheck // ErrNotFound or nil
}

// Drain implements admin.Members.
func (m members) Drain(ctx context.Context, id string, on bool) error {
	_, err := m.hub.Command(ctx, id, "node", "drain", map[string]any{"on": on})
	return err //nolint:wrapcheck // it says what failed
}

// newAuthority opens the cluster's authority. written is the store that records who did
// what.
func newAuthority(s *settings.Settings, written, quiet store.Store, o identity.Options) (*identity.Authority, error) {
	o.Dir, o.Store, o.Quiet = s.Path("prefix"), written, quiet
	o.Life, o.Grace = s.Duration("cluster_node_cert_ttl"), s.Duration("cluster_node_cert_grace")
	if o.Life < shortestCertificate {
		return nil, fmt.Errorf("cluster_node_cert_ttl: must be at least %v", shortestCertificate)
	}
	return identity.New(o) //nolint:wrapcheck // it says what failed
}

// shortestCertificate is what X.509, which counts in seconds, leaves room for.
const shortestCertificate = 2 * time.Second

// openMembers opens the authority, and makes a token when there was none.
func (c *ControlPlane) openMembers(ctx context.Context, written store.Store) error {
	advertised, err := advertised(c.s, c.hostname)
	if err != nil {
		return err
	}
	authority, err := newAuthority(c.s, written, c.store, identity.Options{Logger: c.log.Named("identity")})
	if err != nil {
		return err
	}
	c.members = members{authority, c.hub, advertised}
	if !authority.Made() {
		return nil
	}
	ctx = audit.With(ctx, &audit.Request{UserName: "control plane", Path: "start"})
	request := identity.TokenRequest{Life: firstTokenLife, Uses: firstTokenUses, Comment: "made at the first start", By: "control plane"}
	known, secret, err := authority.CreateToken(ctx, request)
	if err != nil {
		return err //nolint:wrapcheck // it says what failed
	}
	// The one secret that is written to a log: it ends by itself, and only nodes are made
	// with it.
	_, line, err := c.members.JoinLine(known, secret, "")
	if err != nil {
		return fmt.Errorf("cluster_advertise: %w", err)
	}
	c.log.Info("made the cluster's authority: back this file up with the store", "file", filepath.Join(c.s.Path("prefix"), identity.CAKeyFile))
	c.log.Info("data planes join with: sluice-dataplane --join "+line, "uses", known.Uses, "expires", time.Unix(known.ExpiresAt, 0).UTC().Format(time.RFC3339))
	return nil
}

const (
	firstTokenLife = time.Hour
	firstTokenUses = 10
)

// advertised is where nodes reach cluster_listen.
func advertised(s *settings.Settings, hostname string) (string, error) {
	if address := s.String("cluster_advertise"); address != "" {
		if err := tlsutil.CheckAddress(address); err != nil {
			return "", fmt.Errorf("cluster_advertise: %w", err)
		}
		return address, nil
	}
	for _, l := range s.Listeners("cluster_listen") {
		if l.Network == "unix" {
			continue
		}
		host := l.IP
		if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
			host = hostname
		}
		return net.JoinHostPort(host, strconv.Itoa(l.Port)), nil
	}
	return net.JoinHostPort(hostname, "8005"), nil
}
