// Package balancer chooses where a request goes. It owns pickers (one file each),
// the state of targets, which is kept by identity and outlives plans, and names. It
// refuses to open connections to targets and to decide on retries.
//
// An Upstream is an immutable view of an upstreams entity and its targets, made
// with a plan; it shares each target's state with the view before.
package balancer

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
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
	// Resolver; nil means net.DefaultResolver.
	Resolver *net.Resolver
	// ValidTTL is how long an answer serves; 0 means 10s. StaleTTL is how much longer it
	// serves while a new one is fetched; 0 means an hour. ErrorTTL is how long a failure
	// lasts; 0 means 1s.
	ValidTTL, StaleTTL, ErrorTTL time.Duration
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Balancer owns what outlives plans. It is safe for concurrent use.
type Balancer struct {
	names *names
	log   hclog.Logger

	mu      sync.Mutex
	targets map[targetKey]*targetState
	probers map[*prober]struct{} // that may have checks under way
	leaving sync.WaitGroup
}

type targetKey struct{ upstream, target string }

// targetState is what is known of a target over all plans.
type targetState struct {
	// active is the number of requests under way.
	active atomic.Int64
	// latency is a moving average in nanoseconds.
	latency atomic.Int64
	health  health
	users   int // views, under Balancer.mu
}

// New makes a balancer. Close ends its work.
func New(o Options) *Balancer {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return &Balancer{names: newNames(o), log: o.Logger, targets: map[targetKey]*targetState{}, probers: map[*prober]struct{}{}}
}

// Close ends checks, and waits for them and for look-ups to end.
func (b *Balancer) Close() {
	b.mu.Lock()
	probers := make([]*prober, 0, len(b.probers))
	for p := range b.probers {
		probers = append(probers, p)
	}
	clear(b.probers)
	b.mu.Unlock()
	for _, p := range probers {
		p.stop()
	}
	for _, p := range probers {
		p.done.Wait()
	}
	b.leaving.Wait()
	b.names.close()
}

// Peer is one address that a request can be sent to.
type Peer struct {
	// Address is ip:port.
	Address string
	// Host is the name or IP that the address came from, for Host headers and SNI.
	Host string
	Port int

	target *Target
}

// Start counts a request that is sent to the peer; Done takes it off again.
func (p *Peer) Start() {
	if p.target != nil {
		p.target.state.active.Add(1)
	}
}

// Done ends what Start began. took is the time to the response head, 0 for a failure.
func (p *Peer) Done(took time.Duration) {
	if p.target == nil {
		return
	}
	p.target.state.active.Add(-1)
	if took > 0 {
		p.target.state.observe(took)
	}
}

func (s *targetState) observe(took time.Duration) {
	old := s.latency.Load()
	if old == 0 {
		s.latency.Store(int64(took))
		return
	}
	s.latency.Store(old + (int64(took)-old)/8)
}

// Target is a target in a view.
type Target struct {
	Entity *entity.Target
	Host   string
	Port   int
	Weight int
	// addr is set when Host is an IP.
	addr     string
	upstream *Upstream
	passive  bool // outcomes of requests are counted
	state    *targetState
	rotate   atomic.Uint32
	index    int
}

// Upstream is a view of an upstream.
type Upstream struct {
	Entity  *entity.Upstream
	Targets []*Target
	balance *Balancer
	picker  picker
	prober  *prober // nil without active checks
}

// picker chooses among the targets of one view. It is safe for concurrent use.
type picker interface {
	// pick returns a target that skip does not rule out, or nil.
	pick(x *pdk.Exchange, u *Upstream, skip *Skip) *Target
}

// Skip rules out targets that were tried.
type Skip struct {
	tried [16]*Target
	n     int
}

func (s *Skip) has(t *Target) bool {
	return t.state.health.down.Load() || slices.Contains(s.tried[:s.n], t)
}

// Add rules the peer's target out for further picks.
func (s *Skip) Add(p Peer) {
	if p.target != nil && s.n < len(s.tried) && !s.has(p.target) {
		s.tried[s.n] = p.target
		s.n++
	}
}

// Upstream makes a view.
func (b *Balancer) Upstream(u *entity.Upstream, targets []*entity.Target) *Upstream {
	view := &Upstream{Entity: u, balance: b}
	passive := watches(u)
	// The oldest comes first, in every plan and on every node.
	targets = slices.Clone(targets)
	slices.SortStableFunc(targets, func(a, c *entity.Target) int {
		if by := cmp.Compare(a.CreatedAt, c.CreatedAt); by != 0 {
			return by
		}
		return strings.Compare(a.Target, c.Target)
	})
	b.mu.Lock()
	for _, e := range targets {
		host, port := SplitTarget(e.Target)
		t := &Target{upstream: view, passive: passive, Entity: e, Host: host, Port: port, Weight: e.Weight, index: len(view.Targets)}
		if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
			t.addr = netip.AddrPortFrom(a, uint16(port)).String()
		}
		key := targetKey{u.ID, e.Target}
		if t.state = b.targets[key]; t.state == nil {
			t.state = &targetState{}
			b.targets[key] = t.state
		}
		t.state.users++
		view.Targets = append(view.Targets, t)
	}
	b.mu.Unlock()
	view.picker = newPicker(view)
	if probes(u) {
		view.prober = newProber(view)
		b.mu.Lock()
		b.probers[view.prober] = struct{}{}
		b.mu.Unlock()
	}
	return view
}

// Drop says that no plan has the view any more. A request may still use it.
func (b *Balancer) Drop(view *Upstream) {
	if p := view.prober; p != nil {
		p.stop()
		// It is forgotten once its last check has ended.
		b.leaving.Go(func() {
			p.done.Wait()
			b.mu.Lock()
			delete(b.probers, p)
			b.mu.Unlock()
		})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range view.Targets {
		if t.state.users--; t.state.users == 0 {
			key := targetKey{view.Entity.ID, t.Entity.Target}
			if b.targets[key] == t.state {
				delete(b.targets, key)
			}
		}
	}
}

// Pick chooses a peer of the upstream. When all targets were tried it starts over.
func (u *Upstream) Pick(ctx context.Context, x *pdk.Exchange, skip *Skip) (Peer, error) {
	if !u.usable() {
		return Peer{}, ErrNoPeer
	}
	for range len(u.Targets) {
		t := u.picker.pick(x, u, skip)
		if t == nil && skip.n > 0 {
			skip.n = 0
			t = u.picker.pick(x, u, skip)
		}
		if t == nil {
			return Peer{}, ErrNoPeer
		}
		address, err := u.balance.resolve(ctx, t)
		if err == nil {
			return Peer{Address: address, Host: t.Host, Port: t.Port, target: t}, nil
		}
		skip.Add(Peer{target: t})
		if skip.n >= len(u.Targets) || skip.n == len(skip.tried) {
			return Peer{}, err
		}
	}
	return Peer{}, ErrNoPeer
}

// resolve returns the address of a target, the next one of a name with several.
func (b *Balancer) resolve(ctx context.Context, t *Target) (string, error) {
	if t.addr != "" {
		return t.addr, nil
	}
	r, err := b.names.lookup(ctx, t.Host)
	if err != nil {
		return "", err
	}
	return r.address(t.Port, t.rotate.Add(1)-1), nil
}

// Direct returns the peer of a host that is no upstream: an IP or a name.
func (b *Balancer) Direct(ctx context.Context, host string, port int) (Peer, error) {
	r, err := b.names.lookup(ctx, host)
	if err != nil {
		return Peer{}, err
	}
	return Peer{Address: r.address(port, r.next.Add(1)-1), Host: host, Port: port}, nil
}

// SplitTarget splits host:port; the port is 8000 when there is none.
func SplitTarget(s string) (host string, port int) {
	host = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		if p, err := strconv.Atoi(s[i+1:]); err == nil {
			return s[:i], p
		}
	}
	return host, 8000
}
