package dataplane

import (
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/sluice-gateway/sluice/shared/settings"
)

// ticketKey reads the key of session tickets, nil when each process makes its own. It is not
// made from the cluster's key: whoever gets hold of a ticket key can read what was resumed
// with TLS 1.2, so such a key has to be one that can be replaced often.
func ticketKey(s *settings.Settings) (*[32]byte, error) {
	const name = "nginx_proxy_ssl_session_ticket_key"
	path := s.Path(name)
	if path == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(b) != 48 && len(b) != 80 {
		return nil, fmt.Errorf("%s: %s has %d bytes; it has to have 48 or 80", name, path, len(b))
	}
	key := sha256.Sum256(b)
	return &key, nil
}
