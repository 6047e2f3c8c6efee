// Package balancer chooses where a request goes. It owns algorithms (one file each), the
// state of targets' addresses, which is kept by identity and outlives plans, health with
// its checks, ejections and marks, and limits. It refuses to open connections for
// requests, to decide on retries, and to resolve names, which is the resolver's work.
//
// An Upstream is an immutable view of an upstreams entity and its targets, made with a
// plan. Views of one entity share a group, which has a state for each address. What may
// be picked now is a live table that a view makes of its targets' addresses; each change
// of health, names or ejections counts the group's epoch up, and the next pick makes the
// table anew. So a pick looks at no health, takes no lock and allocates nothing.
package balancer

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/resolver"
)

// Reasons for which there is nowhere to go.
var (
	// ErrNoPeer means that no target of the upstream is usable.
	ErrNoPeer = errors.New("failure to get a peer from the ring-balancer")
	// ErrResolve means that the host's name has no address.
	ErrResolve = errors.New("name resolution failed")
)

// Options of a Balancer.
type Options struct {
	// Resolver of names, which stays the caller's to close; nil makes one of the system's
	// settings.
	Resolver *resolver.Resolver
	// Labels of the node; see the field zone_label of upstreams.
	Labels map[string]string
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Balancer owns what outlives plans. It is safe for concurrent use.
type Balancer struct {
	o       Options
	log     hclog.Logger
	checker *checker
	own     bool // the resolver
	cookies atomic.Pointer[string]

	mu     sync.Mutex
	groups map[string]*group // by id of the upstream
}

// New makes a balancer. Close ends its work.
func New(o Options) *Balancer {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	own := o.Resolver == nil
	if own {
		o.Resolver = systemResolver(o.Logger)
	}
	b := &Balancer{o: o, log: o.Logger, own: own, groups: map[string]*group{}}
	b.checker = newChecker(b)
	return b
}

// Close ends checks and waits for them.
func (b *Balancer) Close() {
	b.checker.close()
	if b.own {
		b.o.Resolver.Close()
	}
}

// SignCookies sets what the cookies of sticky sessions are signed with at upstreams that
// have no key of their own. It must be the same on all nodes of a cluster, and be set
// before views are made.
func (b *Balancer) SignCookies(secret string) { b.cookies.Store(&secret) }

func systemResolver(log hclog.Logger) *resolver.Resolver {
	o := resolver.Options{Hosts: "/etc/hosts", Logger: log}
	r, err := resolver.New(o)
	if err != nil {
		log.Warn("name servers are not known", "error", err)
		o.ResolvConf = os.DevNull
		if r, err = resolver.New(o); err != nil {
			panic(err) // an empty file can be read
		}
	}
	return r
}

// keepState is how long the state of an address is kept that no view has any more: a
// target that comes back by then has the health that it had.
const keepState = 5 * time.Minute

// group returns the group of an upstream, making it when it is not known.
func (b *Balancer) group(id string) *group {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[id]
	if g == nil {
		g = &group{b: b, id: id, states: map[stateKey]*state{}}
		b.groups[id] = g
	}
	return g
}

// sweep forgets states and groups that nobody has used for a while.
func (b *Balancer) sweep(now time.Time) {
	b.mu.Lock()
	all := make([]*group, 0, len(b.groups))
	for _, g := range b.groups {
		all = append(all, g)
	}
	b.mu.Unlock()
	for _, g := range all {
		if !g.sweep(now) {
			continue
		}
		b.mu.Lock()
		g.mu.Lock()
		if len(g.views) == 0 && len(g.states) == 0 && b.groups[g.id] == g {
			delete(b.groups, g.id)
			g.gone = true
		}
		g.mu.Unlock()
		b.mu.Unlock()
	}
}

// stateKey is the identity of an address: the target as it is written, and where it is.
type stateKey struct {
	target string
	at     netip.AddrPort
}
