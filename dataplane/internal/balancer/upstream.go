package balancer

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/resolver"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Upstream is a view of an upstream.
type Upstream struct {
	Entity  *entity.Upstream
	Targets []*Target

	group     *group
	algorithm algorithm
	passive   bool // outcomes of requests are counted
	checks    bool // addresses are probed
	slowStart time.Duration
	prober    *prober // nil without checks
	watches   []*resolver.Watch

	now atomic.Pointer[live]
	mu  sync.Mutex // of making the next
}

// Target is a target in a view.
type Target struct {
	Entity *entity.Target
	Host   string
	Port   int
	Weight int

	literal bool // Host is an IP
	inZone  bool
	marks   []*entity.TargetMark
	next    atomic.Uint32 // of a name that is resolved for each request
	// addresses as they were last, and the answer that they are of; the view's mu.
	answer    *resolver.Answer
	addresses []*address
	dnsError  bool
}

// address is one place that requests can go to.
type address struct {
	state *state
	// text is ip:port and host the name that it goes by: what peers have.
	text, host string
	port       int
	weight     uint32
	// dynamic ones are resolved for each request: their state stands for the target.
	dynamic bool
	target  *Target
	hash    uint64
	// name is the one that a service record leads to, "" for others.
	name string
}

// Upstream makes a view. marks are those of the targets that were given by hand.
func (b *Balancer) Upstream(u *entity.Upstream, targets []*entity.Target, marks []*entity.TargetMark) *Upstream {
	view := &Upstream{
		Entity: u, algorithm: algorithmOf(u), passive: watches(u) || u.OutlierDetection != nil, checks: probes(u),
		slowStart: seconds(u.SlowStart),
	}
	// The oldest comes first, in every plan and on every node.
	targets = slices.Clone(targets)
	slices.SortStableFunc(targets, func(a, c *entity.Target) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, c.CreatedAt), strings.Compare(a.Target, c.Target))
	})
	byTarget := map[string][]*entity.TargetMark{}
	for _, m := range marks {
		id := entity.RefID(m.Target)
		byTarget[id] = append(byTarget[id], m)
	}
	for _, e := range targets {
		host, port := SplitTarget(e.Target)
		t := &Target{Entity: e, Host: host, Port: port, Weight: e.Weight, marks: byTarget[e.ID], inZone: b.inZone(u, e)}
		slices.SortFunc(t.marks, func(a, b *entity.TargetMark) int { return cmp.Compare(a.At, b.At) })
		_, t.literal = addrPort(host, port)
		view.Targets = append(view.Targets, t)
	}
	if view.checks {
		view.prober = newProber(view)
	}
	for added := false; !added; { // again when it is forgotten at this very moment
		view.group = b.group(u.ID)
		added = view.group.add(view)
	}
	view.group.limit.configure(u.Limits)
	for _, t := range view.Targets {
		if !t.literal && t.Weight > 0 {
			view.watches = append(view.watches, b.o.Resolver.Watch(t.Host, func(*resolver.Answer) { view.named(t) }))
		}
	}
	l := view.rebuild()
	view.group.mu.Lock()
	view.group.warm = view.group.warm || len(l.all) > 0
	view.group.mu.Unlock()
	view.group.changed()
	if view.checks {
		b.checker.look(view)
	}
	return view
}

// named looks at the new answer for a target's name.
func (u *Upstream) named(*Target) {
	u.group.changed()
	if u.checks {
		u.rebuild()
		u.group.b.checker.look(u)
	}
}

// Drop says that no plan has the view any more. A request may still use it.
func (b *Balancer) Drop(view *Upstream) {
	for _, w := range view.watches {
		w.Stop()
	}
	view.group.remove(view)
	if newest := view.group.newest(); newest != nil {
		newest.group.limit.configure(newest.Entity.Limits)
		view.group.changed()
	}
	if view.prober != nil {
		view.prober.stop()
	}
}

// inZone tells whether a target has a tag that fits the node's own label.
func (b *Balancer) inZone(u *entity.Upstream, t *entity.Target) bool {
	if u.ZoneLabel == "" {
		return false
	}
	value, ok := b.o.Labels[u.ZoneLabel]
	return ok && slices.Contains(t.Tags, u.ZoneLabel+":"+value)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Pick chooses a peer of the upstream. When all addresses were tried it starts over.
func (u *Upstream) Pick(ctx context.Context, x *pdk.Exchange, skip *Skip) (Peer, error) {
	l := u.live()
	if len(l.usable) == 0 && l.unknown {
		l = u.await(ctx)
	}
	if len(l.usable) == 0 {
		if l.unresolved {
			return Peer{}, ErrResolve
		}
		return Peer{}, ErrNoPeer
	}
	if skip.n >= len(l.usable) && l.allTried(skip) {
		skip.n = 0
	}
	a := u.choose(l, x, skip)
	if a.dynamic {
		return u.resolved(ctx, a)
	}
	return Peer{Address: a.text, Host: a.host, Port: a.port, view: u, at: a}, nil
}

// await resolves names that are not known yet, once, and looks again.
func (u *Upstream) await(ctx context.Context) *live {
	for _, t := range u.Targets {
		if !t.literal && t.Weight > 0 {
			// What is wrong shows in the table.
			_, _ = u.group.b.o.Resolver.Lookup(ctx, t.Host)
		}
	}
	return u.rebuild()
}

// resolved makes a peer of an address whose name is resolved for each request.
func (u *Upstream) resolved(ctx context.Context, a *address) (Peer, error) {
	answer, err := u.group.b.o.Resolver.Lookup(ctx, a.target.Host)
	if err != nil {
		u.group.changed()
		return Peer{}, ErrResolve
	}
	i := int(a.target.next.Add(1)-1) % len(answer.Records)
	port := a.target.Port
	if p := answer.Records[i].Port; p != 0 {
		port = int(p)
	}
	return Peer{Address: answer.Address(i, a.target.Port), Host: a.target.Host, Port: port, view: u, at: a}, nil
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
