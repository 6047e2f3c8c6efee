package identity

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// Admit tells whether the other side of a connection may be the node that it says it is,
// and with which certificate. shared and pki nodes have shown theirs in the handshake; a
// certificate of this authority counts as that even where pki would take it for another.
func (a *Authority) Admit(s tls.ConnectionState, nodeID string) error {
	if !tlsutil.IsJoined(s.ServerName) && (len(s.PeerCertificates) == 0 || !a.ca.issued(s.PeerCertificates[0])) {
		switch known := a.Node(nodeID); {
		case known == nil || known.over(a.o.Now(), a.o.Grace):
		case known.RevokedAt != 0:
			return ErrRevoked
		case known.ForgottenAt == 0:
			return ErrJoined
		}
		return nil
	}
	if len(s.PeerCertificates) == 0 {
		return ErrNoCertificate
	}
	leaf := s.PeerCertificates[0]
	id, _, err := a.good(leaf)
	switch {
	case err != nil:
		return err
	case id != nodeID:
		return ErrOtherNode
	case !a.o.Now().Before(leaf.NotAfter):
		return fmt.Errorf("%w at %s", ErrExpired, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// Node returns what is kept of a node, nil for nothing.
func (a *Authority) Node(id string) *Node {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.nodes[id]
}

// Nodes lists what is kept of nodes that were not forgotten, by id.
func (a *Authority) Nodes() []*Node {
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := make([]*Node, 0, len(a.nodes))
	for _, n := range a.nodes {
		if n.ForgottenAt == 0 {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(x, y *Node) int { return cmp.Compare(x.ID, y.ID) })
	return out
}

// Revoke makes all certificates of a node worthless and keeps it from joining, until it
// is forgotten. A node with a certificate for all can be revoked, too, by its id.
func (a *Authority) Revoke(ctx context.Context, id string) error {
	err := a.update(ctx, a.o.Store, "revoke node "+id, func(w *writes) error {
		next := Node{ID: id}
		if known := a.Node(id); known != nil {
			next = *known
		}
		next.RevokedAt, next.ForgottenAt = a.o.Now().Unix(), 0
		return w.node(&next)
	})
	if err != nil {
		return fmt.Errorf("revoke node: %w", err)
	}
	return nil
}

// unseen is above every epoch that a node can have joined in.
const unseen = 1 << 32

// Adopt keeps a node in mind that has shown a certificate and of which nothing is kept,
// so that it can be told from others with its id, and be forgotten.
func (a *Authority) Adopt(ctx context.Context, s tls.ConnectionState) error {
	if !tlsutil.IsJoined(s.ServerName) || len(s.PeerCertificates) == 0 {
		return nil
	}
	leaf := s.PeerCertificates[0]
	id, epoch, ok := tlsutil.NodeOf(leaf)
	if !ok || a.Node(id) != nil {
		return nil
	}
	err := a.update(ctx, a.o.Quiet, "node "+id+" is known again", func(w *writes) error {
		if a.Node(id) != nil {
			return nil
		}
		return w.node(&Node{ID: id, Epoch: epoch, JoinedAt: leaf.NotBefore.Unix(), ExpiresAt: leaf.NotAfter.Unix()})
	})
	if err != nil {
		return fmt.Errorf("keep node %s: %w", id, err)
	}
	return nil
}

// Forget makes all certificates of a node worthless and lets it join again. It is
// ErrNotFound when nothing is kept of it.
func (a *Authority) Forget(ctx context.Context, id string) error {
	if known := a.Node(id); known == nil || known.ForgottenAt != 0 {
		return ErrNotFound
	}
	err := a.update(ctx, a.o.Store, "forget node "+id, func(w *writes) error {
		known, now := a.Node(id), a.o.Now()
		if known == nil {
			return nil // it was dropped in the meantime
		}
		// A tombstone lasts as long as a certificate could, to know it by. Of a node that
		// was revoked unseen nobody knows the epoch.
		next := &Node{ID: id, Epoch: cmp.Or(known.Epoch, unseen) + 1, ForgottenAt: now.Unix()}
		next.ExpiresAt = cmp.Or(known.ExpiresAt, now.Add(a.o.Life).Unix())
		return w.node(next)
	})
	if err != nil {
		return fmt.Errorf("forget node: %w", err)
	}
	return nil
}

// Server is the TLS of the listener that joined nodes share with others: base is for
// those. Who wants to join shows no certificate, and may do nothing else: see Admit.
func (a *Authority) Server(base *tls.Config) *tls.Config {
	joined := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{a.ca.server},
		ClientAuth:             tls.RequestClientCert,
		NextProtos:             []string{"h2"},
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) > 0 && !a.ca.issued(s.PeerCertificates[0]) {
				return tlsutil.ErrOther
			}
			return nil
		},
	}
	out := base.Clone()
	out.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if tlsutil.IsJoined(hello.ServerName) {
			return joined, nil
		}
		return nil, nil //nolint:nilnil // goes on with out
	}
	return out
}
