// Package identity keeps what a node is known by: the key and the short-lived certificate
// that it got with a join token, and the pin of the cluster's authority. It owns joining,
// renewing at half the certificate's life, and the one file in the prefix that all of
// this is in. It refuses to stop anything: a node whose certificate can not be renewed or
// has expired goes on trying, and proxying.
package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// File is the name of the file in the prefix.
const File = "cluster-identity.pem"

// Options of an Identity.
type Options struct {
	// Dir keeps the file.
	Dir string
	// Join is the join line; nil when the node has joined before.
	Join *tlsutil.JoinLine
	// Address of the control plane, host:port; "" means the one of the join line, else the
	// one that the node has joined at.
	Address string
	// NodeID is a UUID. Hostname is for people.
	NodeID, Hostname string
	// Now is the clock; nil means time.Now. It only decides how soon after a start a
	// certificate is renewed.
	Now func() time.Time
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Identity is a node's. It is safe for concurrent use.
type Identity struct {
	o       Options
	log     hclog.Logger
	address string
	pin     tlsutil.Pin
	changed chan struct{} // capacity 1: there is another certificate

	// asking makes those take turns who ask the control plane.
	asking sync.Mutex

	mu      sync.Mutex
	kept    *kept // nil before the node has joined
	renewAt time.Time
	stale   bool   // the control plane does not take the certificate
	trouble string // why there is no newer certificate, "" for nothing
}

// Exists tells whether a node has joined before.
func Exists(dir string) bool { return exists(filepath.Join(dir, File)) }

// Open reads what the prefix has. A file that can not be read is an error unless there is
// a join line to get another one with.
func Open(o Options) (*Identity, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	i := &Identity{o: o, log: o.Logger, changed: make(chan struct{}, 1)}
	found, err := load(filepath.Join(o.Dir, File), o.NodeID)
	switch {
	case err == nil && (o.Join == nil || o.Join.Pin == found.pin):
		i.pin, i.kept = found.pin, found
		i.renewAt = i.o.Now().Add(i.untilRenewal(found))
	case o.Join == nil:
		return nil, err
	default:
		i.pin = o.Join.Pin
		if !errors.Is(err, errNone) {
			i.log.Warn("the node joins anew", "because", reason(err))
		}
	}
	switch {
	case o.Address != "":
		i.address = o.Address
	case o.Join != nil:
		i.address = o.Join.Address
	default:
		i.address = found.address
	}
	if i.address == "" {
		return nil, errors.New("the control plane's address is not known")
	}
	return i, nil
}

func reason(err error) string {
	if err != nil {
		return err.Error()
	}
	return "the join line is of another cluster than the certificate"
}

// Address of the control plane.
func (i *Identity) Address() string { return i.address }

// Expires is when the certificate does; zero before the node has joined.
func (i *Identity) Expires() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.kept == nil {
		return time.Time{}
	}
	return i.kept.leaf.NotAfter
}

// Trouble tells why there is no newer certificate, "" when nothing is wrong.
func (i *Identity) Trouble() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.trouble
}

// TLS returns how to dial the control plane. It joins first when the node has not yet,
// and renews first when the certificate was refused.
func (i *Identity) TLS(ctx context.Context) (*tls.Config, error) {
	i.asking.Lock()
	defer i.asking.Unlock()
	i.mu.Lock()
	have, stale := i.kept, i.stale
	i.mu.Unlock()
	// By this machine's clock, which may be wrong: what counts is what the control plane
	// says.
	expired := have != nil && !i.o.Now().Before(have.leaf.NotAfter)
	if have == nil || stale || expired {
		if err := i.obtain(ctx, have); err != nil && (have == nil || stale) {
			return nil, err
		}
	}
	return i.pin.Client(i.certificate), nil
}

func (i *Identity) certificate() *tls.Certificate {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.kept == nil {
		return nil
	}
	return &i.kept.pair
}

// Ended is told why a session with the control plane ended. It says whether TLS will try to
// get another certificate because of that, and has not tried before.
func (i *Identity) Ended(err error) (better bool) {
	if status.Code(err) != codes.Unauthenticated {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	better = i.kept != nil && !i.stale
	i.stale = i.kept != nil
	return better
}

// obtain gets a certificate, by renewing the one there is or by joining; i.asking is held.
func (i *Identity) obtain(ctx context.Context, have *kept) error {
	var err error
	if have != nil {
		if err = i.renew(ctx, have); err == nil {
			return nil
		}
		err = fmt.Errorf("renew the node's certificate: %w", err)
		// It is too old or no longer good: what is left is the token.
		if status.Code(err) == codes.Unauthenticated && i.o.Join != nil {
			if joined := i.join(ctx); joined != nil {
				err = fmt.Errorf("%w; join again: %w", err, joined)
			} else {
				err = nil
			}
		}
	} else if err = i.join(ctx); err != nil {
		err = fmt.Errorf("join the cluster: %w", err)
	}
	if err != nil && ctx.Err() == nil {
		i.mu.Lock()
		i.trouble = err.Error()
		i.mu.Unlock()
	}
	return err
}

// take makes a new certificate the node's.
func (i *Identity) take(next *kept) {
	next.address = i.address
	if err := next.save(filepath.Join(i.o.Dir, File)); err != nil {
		// It is good until the process ends.
		i.log.Error("the node's certificate is not written", "error", err)
	}
	i.mu.Lock()
	i.kept, i.stale, i.trouble = next, false, ""
	i.renewAt = i.o.Now().Add(jittered(next.life / 2))
	i.mu.Unlock()
	select {
	case i.changed <- struct{}{}:
	default:
	}
}

// jittered spreads a time by a fifth, so that nodes that have joined together part.
func jittered(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5+1)
}

// untilRenewal is how long a certificate that was found on disk may still be used without
// another one. A clock that does not fit renews soon.
func (i *Identity) untilRenewal(k *kept) time.Duration {
	age := i.o.Now().Sub(k.leaf.NotBefore)
	if left := k.life/2 - age; age >= 0 && left > 0 {
		return jittered(left)
	}
	return rand.N(min(k.life/10, 10*time.Second) + 1)
}

const (
	// Waits between tries to renew; see retryAfter.
	firstRetry   = time.Second
	longestRetry = 5 * time.Minute
)

// retryAfter is how long to wait after n tries have failed: random up to a time that
// doubles, and not more than an eighth of the certificate's life.
func retryAfter(n int, life time.Duration) time.Duration {
	ceiling := min(firstRetry<<min(n, 16), longestRetry, max(life/8, 100*time.Millisecond))
	return ceiling/4 + rand.N(ceiling*3/4+1)
}

// Run renews the certificate in time, until ctx ends.
func (i *Identity) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failed := 0
	for {
		i.mu.Lock()
		have, at := i.kept, i.renewAt
		i.mu.Unlock()
		switch {
		case have == nil:
			timer.Stop() // whoever dials joins
		case failed > 0:
			timer.Reset(retryAfter(failed, have.life))
		default:
			timer.Reset(at.Sub(i.o.Now()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-i.changed:
			failed = 0
			continue
		case <-timer.C:
		}
		if have == nil {
			continue
		}
		if err := i.refresh(ctx, have); err != nil && ctx.Err() == nil {
			failed++
			i.log.Warn("the node's certificate is not renewed, and the node goes on with it", "expires", have.leaf.NotAfter.UTC().Format(time.RFC3339), "tries", failed, "error", err)
		} else {
			failed = 0
		}
	}
}

// refresh obtains a certificate unless somebody else has.
func (i *Identity) refresh(ctx context.Context, have *kept) error {
	i.asking.Lock()
	defer i.asking.Unlock()
	i.mu.Lock()
	same := i.kept == have
	i.mu.Unlock()
	if !same {
		return nil
	}
	return i.obtain(ctx, have)
}
