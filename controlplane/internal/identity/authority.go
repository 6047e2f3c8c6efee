// Package identity says who a node is. It owns the cluster's authority, the join tokens,
// the short-lived certificates that nodes get with them and renew, and which nodes are
// revoked. It refuses to know the wire, where rpc asks it, and what nodes are sent.
//
// A node that joins shows a token and gets a certificate that names it and its epoch: how
// often it has joined. Revoking, forgetting and joining again make all certificates of
// earlier epochs worthless at once. A node of which nothing is kept, because a backup from
// before it joined was restored, is good as long as its certificate is: the authority has
// signed it. Tokens and nodes are kinds of the store that are not streamed; of a token
// there is only a hash.
//
// Only the control plane's clock counts, for what it has issued itself: a certificate
// lives from its issue for as long as the control plane says, and starts of validity
// and the authority's own expiry are not looked at.
package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// Kinds in the store; they are not streamed.
const (
	KindTokens = "join_tokens"
	KindNodes  = "cluster_nodes"
)

// Defaults of Options.
const (
	DefaultLife  = 24 * time.Hour
	DefaultGrace = 30 * 24 * time.Hour
)

// Options of an Authority. Dir and Store are required.
type Options struct {
	// Dir keeps the authority's certificate and key.
	Dir string
	// Store that records what is done; Quiet one that does not, for renewals. nil means
	// Store.
	Store, Quiet store.Store
	// Life of a node's certificate; 0 means DefaultLife.
	Life time.Duration
	// Grace is how long after its expiry a certificate is good for renewal; 0 means
	// DefaultGrace.
	Grace time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Authority is a cluster's. It is safe for concurrent use.
type Authority struct {
	o    Options
	log  hclog.Logger
	ca   *ca
	made bool

	// writing makes writers take turns, so that what is in memory is what was committed.
	writing sync.Mutex
	pruned  time.Time // by writers

	mu      sync.RWMutex
	tokens  map[string]*Token // none of them is changed
	nodes   map[string]*Node  // none of them is changed
	renewed map[string]time.Time
}

// New reads the authority and what is kept of tokens and nodes. Without an authority it
// makes one.
func New(o Options) (*Authority, error) {
	if o.Dir == "" || o.Store == nil {
		return nil, errors.New("authority needs a folder and a store")
	}
	if o.Quiet == nil {
		o.Quiet = o.Store
	}
	o.Life = cmp.Or(o.Life, DefaultLife)
	o.Grace = cmp.Or(o.Grace, DefaultGrace)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	a := &Authority{o: o, log: o.Logger, tokens: map[string]*Token{}, nodes: map[string]*Node{}, renewed: map[string]time.Time{}}
	var err error
	if a.ca, a.made, err = openCA(o.Dir, o.Now()); err != nil {
		return nil, err
	}
	return a, a.load()
}

// Made tells whether New has made the authority.
func (a *Authority) Made() bool { return a.made }

// Pin is what nodes know the authority by.
func (a *Authority) Pin() tlsutil.Pin { return a.ca.pin }

func (a *Authority) load() error {
	return a.o.Store.View(func(tx store.Tx) error {
		return errors.Join(read(tx, KindTokens, a.tokens), read(tx, KindNodes, a.nodes))
	})
}

func read[T any](tx store.Tx, kind string, into map[string]*T) error {
	var failed error
	err := tx.List(kind, "", int(^uint(0)>>1), func(id string, body []byte) bool {
		v := new(T)
		if err := json.Unmarshal(body, v); err != nil {
			failed = fmt.Errorf("read %s %s: %w", kind, id, err)
			return false
		}
		into[id] = v
		return true
	})
	return errors.Join(err, failed)
}

// writes collects what a transaction has written, to take it over after the commit.
type writes struct {
	tx     store.WriteTx
	tokens map[string]*Token // nil for removed
	nodes  map[string]*Node
}

func (w *writes) token(t *Token) error { return put(w.tx, KindTokens, t.ID, t, w.tokens) }
func (w *writes) node(n *Node) error   { return put(w.tx, KindNodes, n.ID, n, w.nodes) }

func put[T any](tx store.WriteTx, kind, id string, v *T, into map[string]*T) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", kind, id, err)
	}
	into[id] = v
	return tx.PutLocal(kind, id, body, nil)
}

func remove[T any](tx store.WriteTx, kind, id string, into map[string]*T) error {
	into[id] = nil
	if err := tx.DeleteLocal(kind, id); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}

// pruneEvery is how often what nobody needs is looked for, when something is written.
const pruneEvery = time.Hour

// update runs fn in a transaction, and makes what it wrote count.
func (a *Authority) update(ctx context.Context, to store.Store, summary string, fn func(w *writes) error) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	w := &writes{}
	_, err := to.Update(ctx, store.Info{Summary: summary}, func(tx store.WriteTx) error {
		*w = writes{tx: tx, tokens: map[string]*Token{}, nodes: map[string]*Node{}}
		return fn(w)
	})
	if err != nil {
		return err
	}
	a.mu.Lock()
	take(a.tokens, w.tokens)
	take(a.nodes, w.nodes)
	a.mu.Unlock()
	if now := a.o.Now(); now.Sub(a.pruned).Abs() >= pruneEvery {
		a.pruned = now
		if err := a.pruneLocked(ctx, now); err != nil {
			a.log.Warn("what is kept of old nodes and tokens is not dropped", "error", err)
		}
	}
	return nil
}

func take[T any](all, written map[string]*T) {
	for id, v := range written {
		if v == nil {
			delete(all, id)
		} else {
			all[id] = v
		}
	}
}

// keptTokens is how long a token stays listed after its time is over.
const keptTokens = 7 * 24 * time.Hour

// pruneLocked drops what is over; a.writing is held.
func (a *Authority) pruneLocked(ctx context.Context, now time.Time) error {
	w := &writes{tokens: map[string]*Token{}, nodes: map[string]*Node{}}
	a.mu.Lock()
	for id, t := range a.tokens {
		if now.After(time.Unix(t.ExpiresAt, 0).Add(keptTokens)) {
			w.tokens[id] = nil
		}
	}
	for id, n := range a.nodes {
		if n.over(now, a.o.Grace) {
			w.nodes[id] = nil
		}
	}
	for id, at := range a.renewed {
		if now.Sub(at).Abs() > time.Minute {
			delete(a.renewed, id)
		}
	}
	a.mu.Unlock()
	if len(w.tokens)+len(w.nodes) == 0 {
		return nil
	}
	_, err := a.o.Quiet.Update(ctx, store.Info{Summary: "drop old nodes and join tokens"}, func(tx store.WriteTx) error {
		var errs []error
		for id := range w.tokens {
			errs = append(errs, remove(tx, KindTokens, id, w.tokens))
		}
		for id := range w.nodes {
			errs = append(errs, remove(tx, KindNodes, id, w.nodes))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	take(a.tokens, w.tokens)
	take(a.nodes, w.nodes)
	return nil
}

// CreateToken makes a token and returns its secret, once.
func (a *Authority) CreateToken(ctx context.Context, r TokenRequest) (known *Token, secret string, err error) {
	if field, err := r.Check(); err != nil {
		return nil, "", fmt.Errorf("%s: %w", field, err)
	}
	now := a.o.Now()
	id, secret := generate()
	known = &Token{
		ID: id, Hash: digest(secret), Comment: r.Comment, CreatedAt: now.Unix(), CreatedBy: r.By,
		ExpiresAt: now.Add(cmp.Or(r.Life, defaultTokenLife)).Unix(), Uses: max(0, cmp.Or(r.Uses, 1)),
	}
	err = a.update(ctx, a.o.Store, "create join token "+id, func(w *writes) error { return w.token(known) })
	if err != nil {
		return nil, "", fmt.Errorf("create join token: %w", err)
	}
	return known, secret, nil
}

// RevokeToken ends a token. Nodes that have joined with it stay.
func (a *Authority) RevokeToken(ctx context.Context, id string) error {
	if a.Token(id) == nil {
		return ErrNotFound
	}
	err := a.update(ctx, a.o.Store, "revoke join token "+id, func(w *writes) error { return remove(w.tx, KindTokens, id, w.tokens) })
	if err != nil {
		return fmt.Errorf("revoke join token: %w", err)
	}
	return nil
}

// Token returns a token by its id, nil when there is none.
func (a *Authority) Token(id string) *Token {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.tokens[id]
}

// Tokens lists all tokens, the newest first.
func (a *Authority) Tokens() []*Token {
	a.mu.RLock()
	defer a.mu.RUnlock()
	out := make([]*Token, 0, len(a.tokens))
	for _, t := range a.tokens {
		out = append(out, t)
	}
	slices.SortFunc(out, func(x, y *Token) int { return cmp.Or(cmp.Compare(y.CreatedAt, x.CreatedAt), cmp.Compare(x.ID, y.ID)) })
	return out
}

// JoinLine is what a node is given to join with a new token.
func (a *Authority) JoinLine(known *Token, secret, address string) tlsutil.JoinLine {
	return tlsutil.JoinLine{TokenID: known.ID, Secret: secret, Pin: a.ca.pin, Address: address}
}
