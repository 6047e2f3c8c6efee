package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// Issued is a node's new certificate with the authority's, in DER.
type Issued struct {
	NodeID                 string
	Certificate, Authority []byte
	// Life is how long it lives from now.
	Life    time.Duration
	Expires time.Time
}

// JoinRequest is what a node says that wants to join. Nothing of it is believed.
type JoinRequest struct {
	TokenID, Secret, NodeID, Hostname string
	// Request is PKCS #10 in DER.
	Request []byte
}

const (
	longestRequest  = 16 << 10
	longestHostname = 256
)

// Authenticate returns the token that somebody shows, or why it is not good. It changes
// nothing, and the secret of another token takes as long as that of none. A token that is
// over is returned with the error.
func (a *Authority) Authenticate(id, secret string) (*Token, error) {
	known := a.Token(id)
	sum := digest(secret[:min(len(secret), longestComment)])
	if known == nil {
		_ = nobody.is(sum)
		return nil, ErrTokenUnknown
	}
	if !known.is(sum) {
		return nil, ErrTokenUnknown
	}
	switch known.State(a.o.Now()) {
	case Expired:
		return known, ErrTokenExpired
	case UsedUp:
		return known, ErrTokenUsed
	case Good:
	}
	return known, nil
}

// Join gives a node its first certificate of a new epoch. A node that has not got the
// answer may ask again with the same key, which does not use the token twice.
func (a *Authority) Join(ctx context.Context, r JoinRequest) (*Issued, error) {
	known, tokenErr := a.Authenticate(r.TokenID, r.Secret)
	if known == nil || errors.Is(tokenErr, ErrTokenExpired) {
		return nil, tokenErr
	}
	if _, err := uuid.Parse(r.NodeID); err != nil || len(r.NodeID) != 36 {
		return nil, fmt.Errorf("%w: the node id is not a UUID", ErrRequest)
	}
	key, err := publicKey(r.Request)
	if err != nil {
		return nil, err
	}
	mark, err := fingerprint(key)
	if err != nil {
		return nil, err
	}
	now := a.o.Now()
	var issued *Issued
	err = a.update(ctx, a.o.Store, "node "+r.NodeID+" joins with token "+known.ID, func(w *writes) error {
		token, node := a.Token(known.ID), a.Node(r.NodeID) // a.update lets nobody else write
		if token == nil {
			return ErrTokenUnknown
		}
		if node == nil {
			node = &Node{}
		}
		if node.RevokedAt != 0 {
			return ErrRevoked
		}
		again := node.ForgottenAt == 0 && node.With == token.ID && node.Key == mark
		next := &Node{
			ID: r.NodeID, Epoch: node.Epoch, Hostname: r.Hostname[:min(len(r.Hostname), longestHostname)],
			With: token.ID, Key: mark, JoinedAt: now.Unix(), ExpiresAt: now.Add(a.o.Life).Unix(),
		}
		if !again {
			// Another may have used it up in the meantime.
			switch token.State(now) {
			case Expired:
				return ErrTokenExpired
			case UsedUp:
				return ErrTokenUsed
			case Good:
			}
			next.Epoch++
			used := *token
			used.Used++
			if err := w.token(&used); err != nil {
				return err
			}
		}
		var err error
		if issued, err = a.issue(r.NodeID, next.Epoch, key, now); err != nil {
			return err
		}
		return w.node(next)
	})
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	a.log.Info("node joins", "node_id", r.NodeID, "hostname", r.Hostname, "with", known.ID, "expires", issued.Expires.UTC().Format(time.RFC3339))
	return issued, nil
}

// soonest is between renewals of one node.
const soonest = time.Second

// Renew gives the owner of a certificate the next one, of the same epoch.
func (a *Authority) Renew(ctx context.Context, shown *x509.Certificate, request []byte) (*Issued, error) {
	if shown == nil {
		return nil, ErrNoCertificate
	}
	now := a.o.Now()
	id, epoch, err := a.good(shown)
	if err != nil {
		return nil, err
	}
	if now.After(shown.NotAfter.Add(a.o.Grace)) {
		return nil, fmt.Errorf("%w at %s, more than %v ago", ErrExpired, shown.NotAfter.UTC().Format(time.RFC3339), a.o.Grace)
	}
	if err := a.notTooSoon(id, now); err != nil {
		return nil, err
	}
	key, err := publicKey(request)
	if err != nil {
		return nil, err
	}
	var issued *Issued
	err = a.update(ctx, a.o.Quiet, "node "+id+" renews", func(w *writes) error {
		// It may have been revoked in the meantime.
		if _, _, err := a.good(shown); err != nil {
			return err
		}
		var err error
		if issued, err = a.issue(id, epoch, key, now); err != nil {
			return err
		}
		next := Node{ID: id, JoinedAt: now.Unix()} // nothing is kept of it: see the package comment
		if known := a.Node(id); known != nil {
			next = *known
		}
		next.Epoch, next.ExpiresAt = epoch, issued.Expires.Unix()
		return w.node(&next)
	})
	if err != nil {
		return nil, fmt.Errorf("renew: %w", err)
	}
	a.log.Debug("node renews", "node_id", id, "expires", issued.Expires.UTC().Format(time.RFC3339))
	return issued, nil
}

func (a *Authority) notTooSoon(id string, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if last, ok := a.renewed[id]; ok && now.Sub(last).Abs() < min(soonest, a.o.Life/8) {
		return ErrTooSoon
	}
	a.renewed[id] = now
	return nil
}

func (a *Authority) issue(id string, epoch uint64, key crypto.PublicKey, now time.Time) (*Issued, error) {
	cert, err := a.ca.node(id, epoch, key, now, a.o.Life)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return &Issued{NodeID: id, Certificate: cert, Authority: a.ca.cert.Raw, Life: a.o.Life, Expires: now.Add(a.o.Life).Truncate(time.Second)}, nil
}

// good returns the node of a certificate that the authority has signed, whatever its time.
func (a *Authority) good(shown *x509.Certificate) (id string, epoch uint64, err error) {
	id, epoch, ok := tlsutil.NodeOf(shown)
	if !ok || !a.ca.issued(shown) {
		return "", 0, ErrNoCertificate
	}
	switch known := a.Node(id); {
	case known == nil:
	case known.RevokedAt != 0:
		return "", 0, ErrRevoked
	case epoch < known.Epoch:
		return "", 0, ErrReplaced
	}
	return id, epoch, nil
}

// publicKey returns the key of a request that its owner has signed.
func publicKey(request []byte) (crypto.PublicKey, error) {
	if len(request) > longestRequest {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrRequest, longestRequest)
	}
	r, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	switch key := r.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return nil, fmt.Errorf("%w: its curve is %s", ErrRequest, key.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("%w: want an EC key or Ed25519", ErrRequest)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return r.PublicKey, nil
}

func fingerprint(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return digest(string(der)), nil
}
