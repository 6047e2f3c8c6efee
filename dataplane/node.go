package dataplane

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/shared/settings"
)

// nodeFile keeps the node's id over restarts.
const nodeFile = "kong.id"

// nodeID returns the id that is set, else the one in the prefix, which is made once.
func nodeID(prefix, set string) (string, error) {
	if set != "" {
		if _, err := uuid.Parse(set); err != nil || len(set) != 36 {
			return "", fmt.Errorf("node_id: %q is not a UUID", set)
		}
		return set, nil
	}
	path := filepath.Join(prefix, nodeFile)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read node id: %w", err)
	}
	if id := strings.TrimSpace(string(b)); err == nil {
		if _, wrong := uuid.Parse(id); wrong == nil && len(id) == 36 {
			return id, nil
		}
	}
	id := uuid.NewString()
	next := path + ".new"
	if err := os.WriteFile(next, []byte(id+"\n"), 0o640); err != nil {
		return "", fmt.Errorf("keep node id: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return "", fmt.Errorf("keep node id: %w", err)
	}
	return id, nil
}

// resolver asks the name servers given in turn, nil for the system's.
func resolver(servers []string) *net.Resolver {
	if len(servers) == 0 {
		return nil
	}
	addresses := make([]string, len(servers))
	for i, s := range servers {
		addresses[i] = s
		if _, _, err := net.SplitHostPort(s); err != nil {
			addresses[i] = net.JoinHostPort(strings.Trim(s, "[]"), "53")
		}
	}
	var next atomic.Uint32
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, addresses[int(next.Add(1)-1)%len(addresses)])
		},
	}
}

// trustedRoots verify upstreams, nil for the machine's own.
func trustedRoots(s *settings.Settings) (*x509.CertPool, error) {
	const name = "lua_ssl_trusted_certificate"
	list, err := s.PEMs(name)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if s.HasSystem(name) {
		system, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("%s: read the machine's authorities: %w", name, err)
		}
		pool = system
	}
	for _, pem := range list {
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: a file has no certificate", name)
		}
	}
	return pool, nil
}
