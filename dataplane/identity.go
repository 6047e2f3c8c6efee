package dataplane

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/controlclient"
	"github.com/sluice-gateway/sluice/dataplane/internal/identity"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// link is how the node shows the control plane who it is: with a certificate that it was
// given, or with its own.
type link struct {
	address string
	tls     *tls.Config
	expires time.Time          // of what was given
	own     *identity.Identity // nil with what was given
}

// joined is what the client asks, nil with a certificate that was given.
func (l *link) joined() controlclient.Link {
	if l.own == nil {
		return nil
	}
	return l.own
}

// certificate tells when it ends, and what is wrong with it.
func (l *link) certificate() (expires time.Time, trouble string) {
	if l.own == nil {
		return l.expires, ""
	}
	return l.own.Expires(), l.own.Trouble()
}

// openLink decides by which certificate the node is known: cluster_cert when it is set,
// else what it has joined with, or will.
func (d *DataPlane) openLink(prefix string) (*link, error) {
	line, err := joinLine(d.s.String("join"))
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	given := d.s.IsSet("cluster_cert")
	switch {
	case line != nil && given:
		return nil, errors.New("join: a node that joins gets its own certificate: cluster_cert must not be set")
	case line != nil || !given && identity.Exists(prefix):
		d.link, err = d.ownLink(prefix, line)
	default:
		d.link, err = d.givenLink()
	}
	return d.link, err
}

func (d *DataPlane) ownLink(prefix string, line *tlsutil.JoinLine) (*link, error) {
	o := identity.Options{Dir: prefix, Join: line, NodeID: d.id, Hostname: d.hostname, Logger: d.log.Named("identity")}
	if d.s.IsSet("cluster_control_plane") {
		o.Address = d.s.String("cluster_control_plane")
	}
	own, err := identity.Open(o)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	return &link{address: own.Address(), own: own}, nil
}

func (d *DataPlane) givenLink() (*link, error) {
	var texts [3][]byte
	for i, key := range []string{"cluster_cert", "cluster_cert_key", "cluster_ca_cert"} {
		var err error
		if texts[i], err = d.s.PEM(key); err != nil {
			return nil, err
		}
	}
	if texts[0] == nil || texts[1] == nil {
		return nil, errors.New("join must be set to a join line, which sluice-controlplane token create prints, or cluster_cert and cluster_cert_key, which the control plane makes in its prefix on its first start")
	}
	id, err := tlsutil.Load(tlsutil.Mode(d.s.String("cluster_mtls")), texts[0], texts[1], texts[2])
	if err != nil {
		return nil, fmt.Errorf("cluster_cert: %w", err)
	}
	out := &link{address: d.s.String("cluster_control_plane")}
	name := d.s.String("cluster_server_name")
	if name == "" {
		if name, _, err = net.SplitHostPort(out.address); err != nil {
			return nil, fmt.Errorf("cluster_control_plane: %w", err)
		}
	}
	out.tls = id.Client(name)
	if leaf := id.Certificate.Leaf; leaf != nil {
		out.expires = leaf.NotAfter
	}
	return out, nil
}

// joinLine reads the setting, or the file that it names; nil when it is unset.
func joinLine(text string) (*tlsutil.JoinLine, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	if filepath.IsAbs(text) || strings.HasPrefix(text, ".") {
		b, err := os.ReadFile(text)
		if err != nil {
			return nil, err
		}
		text = string(b)
	}
	line, err := tlsutil.ParseJoinLine(text)
	if err != nil {
		return nil, err
	}
	return &line, nil
}
