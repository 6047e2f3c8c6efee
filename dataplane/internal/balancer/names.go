package balancer

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/cow"
)

// lookupTimeout bounds one question.
const lookupTimeout = 5 * time.Second

// names resolves and remembers. An answer serves for ValidTTL, then on while a new
// one is fetched in the background, as long as StaleTTL. Questions for one name that
// come together are asked once.
type names struct {
	o     Options
	log   hclog.Logger
	known atomic.Pointer[cow.Map[*resolved]]

	mu     sync.Mutex
	asking map[string]*question
	work   sync.WaitGroup
	ctx    context.Context //nolint:containedctx // bounds look-ups that outlive who asked, ended by close
	stop   context.CancelFunc
	swept  time.Time
}

type question struct {
	done   chan struct{}
	answer *resolved
}

// resolved is an answer.
type resolved struct {
	addrs []netip.Addr
	err   error
	until time.Time
	// stale is when the addresses serve no longer, however often asking again fails.
	stale time.Time
	fixed bool
	next  atomic.Uint32
	// text caches ip:port for the last port asked for.
	text atomic.Pointer[addressText]
}

type addressText struct {
	port int
	list []string
}

func newNames(o Options) *names {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.ValidTTL == 0 {
		o.ValidTTL = 10 * time.Second
	}
	if o.StaleTTL == 0 {
		o.StaleTTL = time.Hour
	}
	if o.ErrorTTL == 0 {
		o.ErrorTTL = time.Second
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	n := &names{o: o, log: o.Logger, asking: map[string]*question{}}
	n.known.Store(&cow.Map[*resolved]{})
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n
}

func (n *names) close() {
	n.stop()
	n.work.Wait()
}

// lookup returns a usable answer. It does not allocate when it has one.
func (n *names) lookup(ctx context.Context, host string) (*resolved, error) {
	r, ok := n.known.Load().Get(host)
	if ok {
		if r.fixed {
			return r, nil
		}
		now := time.Now()
		switch {
		case now.Before(r.until):
			return r, r.err
		case r.err == nil && now.Before(r.stale):
			n.ask(host, r) //nolint:contextcheck // the answer is for others too
			return r, nil
		}
	}
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		r := &resolved{addrs: []netip.Addr{addr}, fixed: true}
		n.keep(host, r)
		return r, nil
	}
	q := n.ask(host, r) //nolint:contextcheck // the answer is for others too
	select {
	case <-q.done:
		return q.answer, q.answer.err
	case <-ctx.Done():
		return nil, ErrResolve
	}
}

// ask starts a question unless it is being asked already. old is the answer before.
func (n *names) ask(host string, old *resolved) *question {
	n.mu.Lock()
	defer n.mu.Unlock()
	if q, ok := n.asking[host]; ok {
		return q
	}
	host = strings.Clone(host)
	q := &question{done: make(chan struct{})}
	n.asking[host] = q
	n.work.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, lookupTimeout)
		defer cancel()
		addrs, err := n.o.Resolver.LookupNetIP(ctx, "ip", host)
		now := time.Now()
		r := &resolved{addrs: prefer4(addrs), until: now.Add(n.o.ValidTTL), stale: now.Add(n.o.ValidTTL + n.o.StaleTTL)}
		if err != nil || len(addrs) == 0 {
			n.log.Warn("name does not resolve", "host", host, "error", err)
			if old != nil && old.err == nil && now.Before(old.stale) {
				r = &resolved{addrs: old.addrs, until: now.Add(n.o.ErrorTTL), stale: old.stale}
				r.next.Store(old.next.Load())
			} else {
				r = &resolved{err: ErrResolve, until: now.Add(n.o.ErrorTTL)}
			}
		} else if old != nil && slices.Equal(old.addrs, r.addrs) {
			r.next.Store(old.next.Load())
		}
		q.answer = r
		n.keep(host, r)
		n.mu.Lock()
		delete(n.asking, host)
		n.mu.Unlock()
		close(q.done)
	})
	return q
}

// keep remembers an answer and now and then forgets names that were not asked for.
func (n *names) keep(host string, r *resolved) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	edit := n.known.Load().Edit()
	edit.Set(strings.Clone(host), r)
	if now.Sub(n.swept) > time.Minute {
		n.swept = now
		n.known.Load().All(func(host string, r *resolved) bool {
			if !r.fixed && now.After(r.until) && now.After(r.stale) {
				edit.Delete(host)
			}
			return true
		})
	}
	next := edit.Done()
	n.known.Store(&next)
}

// address returns ip:port of the i-th address in turn.
func (r *resolved) address(port int, i uint32) string {
	t := r.text.Load()
	if t == nil || t.port != port {
		t = &addressText{port: port}
		for _, a := range r.addrs {
			t.list = append(t.list, netip.AddrPortFrom(a, uint16(port)).String())
		}
		r.text.Store(t)
	}
	return t.list[int(i)%len(t.list)]
}

// prefer4 returns the IPv4 addresses, or all when there are none.
func prefer4(addrs []netip.Addr) []netip.Addr {
	var four []netip.Addr
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
		if addrs[i].Is4() {
			four = append(four, addrs[i])
		}
	}
	if len(four) > 0 {
		return four
	}
	return addrs
}
