// Package resolver turns names into addresses. It owns what is asked (search lists,
// the order of record types, SRV and CNAME), whom (the name servers of the settings or
// of resolv.conf, over UDP and TCP), how long answers, failures and stale answers
// serve, and the hosts file. It refuses to choose among the addresses of a name, which
// is the balancer's work.
//
// Look-ups of a name that is known take no lock and allocate nothing. A name is asked
// for once at a time, whoever waits for it, and again before its answer ends while
// requests go on with the one that is there.
package resolver

import (
	"context"
	"errors"
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

// Reasons for which a name has no addresses.
var (
	// ErrNotFound means that the servers say that there is no such name or record.
	ErrNotFound = errors.New("name does not exist")
	// ErrServer means that no server gave an answer.
	ErrServer = errors.New("no name server answers")
	// ErrClosed means that the resolver was closed.
	ErrClosed = errors.New("resolver is closed")
)

// Options of a Resolver. Durations of 0 mean what is said there, negative ones none.
type Options struct {
	// Servers are ip:port of name servers; empty means those of ResolvConf.
	Servers []string
	// ResolvConf is the file with servers, search list and options; "" means
	// /etc/resolv.conf. Hosts is the hosts file; "" means none.
	ResolvConf, Hosts string
	// Order of record types that are tried; empty means LAST, SRV, A, CNAME. LAST is the
	// type that a name was found with before.
	Order []Type
	// StrictSRV asks for SRV records only under names of the form _service._proto.name.
	StrictSRV bool
	// ValidTTL replaces the lifetime of answers; 0 keeps their own.
	ValidTTL time.Duration
	// StaleTTL is how much longer an answer serves while a new one is fetched, 0 means
	// an hour. NotFoundTTL and ErrorTTL are lifetimes of failures; 0 means 30s and 1s.
	StaleTTL, NotFoundTTL, ErrorTTL time.Duration
	// CacheSize bounds the names that are remembered; 0 means 10000.
	CacheSize int
	// NoSync lets each look-up ask on its own instead of sharing a question.
	NoSync bool
	// Dial opens connections to servers; nil means a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger; nil logs nothing.
	Logger hclog.Logger
}

// Resolver is safe for concurrent use.
type Resolver struct {
	o       Options
	log     hclog.Logger
	system  *system
	servers []*server
	known   atomic.Pointer[cow.Map[*entry]]

	mu      sync.Mutex
	asking  map[string]*question
	watched map[string]*watch
	due     chan struct{} // capacity 1: watched names have changed

	work sync.WaitGroup
	ctx  context.Context //nolint:containedctx // bounds look-ups that outlive who asked, ended by Close
	stop context.CancelFunc
}

// question is a look-up under way.
type question struct {
	done   chan struct{}
	answer *Answer
}

// entry is what is known of a name. Answers are replaced, the counters stay.
type entry struct {
	answer    atomic.Pointer[Answer]
	used      atomic.Int64 // when it was looked up last, in seconds
	hits      atomic.Int64 // look-ups that an answer was there for
	stale     atomic.Int64 // those of hits that were answered with one that had ended
	questions atomic.Int64
	failures  atomic.Int64
	lastError atomic.Pointer[string]
}

// Answer is what a name stands for. It is immutable.
type Answer struct {
	// Records are the addresses, in an order that stays; none when Err is set.
	Records []Record
	Type    Type
	// Err is ErrNotFound, ErrServer or nil.
	Err error
	// TTL is the lifetime; 0 with no error means that each request asks again. Until is
	// when it ends, Stale when it serves no longer although no new one is to be had. Both
	// are zero for what does not change, such as an IP.
	TTL          time.Duration
	Until, Stale time.Time

	refresh time.Time // when it is fetched anew
	next    atomic.Uint32
	text    atomic.Pointer[texts]
}

// texts are ip:port of the records with the port that was asked for last.
type texts struct {
	port int
	list []string
}

// Record is one address of a name.
type Record struct {
	Addr netip.Addr
	// Port, Weight, Priority and Target are those of an SRV record. Weight is at least 1.
	// Priority has been obeyed: only the best ones are there.
	Port             uint16
	Weight, Priority uint16
	Target           string
}

// New reads the system's files and makes a resolver. Close ends its work.
func New(o Options) (*Resolver, error) {
	o = o.filled()
	sys, err := readSystem(o.ResolvConf, o.Hosts)
	if err != nil {
		return nil, err
	}
	r := &Resolver{o: o, log: o.Logger, system: sys, asking: map[string]*question{}, watched: map[string]*watch{}, due: make(chan struct{}, 1)}
	addresses := o.Servers
	if len(addresses) == 0 {
		addresses = sys.conf.servers
	}
	for _, a := range addresses {
		r.servers = append(r.servers, &server{address: a})
	}
	r.known.Store(&cow.Map[*entry]{})
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.work.Go(r.watchAll)
	return r, nil
}

func (o Options) filled() Options {
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	if len(o.Order) == 0 {
		o.Order = []Type{Last, SRV, A, CNAME}
	}
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{{&o.ValidTTL, 0}, {&o.StaleTTL, time.Hour}, {&o.NotFoundTTL, 30 * time.Second}, {&o.ErrorTTL, time.Second}} {
		if *d.value == 0 {
			*d.value = d.standard
		}
		*d.value = max(*d.value, 0)
	}
	if o.CacheSize == 0 {
		o.CacheSize = 10000
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return o
}

// Close ends look-ups and waits for them.
func (r *Resolver) Close() {
	r.mu.Lock()
	r.stop() // no question begins from here on
	r.mu.Unlock()
	r.work.Wait()
}

// Lookup returns the answer for a name or an IP. It waits when there is none yet, until
// ctx ends. Its error is that of the answer, or ctx's.
func (r *Resolver) Lookup(ctx context.Context, name string) (*Answer, error) {
	e, known := r.known.Load().Get(name)
	if known {
		a := e.answer.Load()
		if a.Until.IsZero() {
			return a, nil
		}
		now := r.o.Now()
		e.touch(now)
		switch {
		case a.Err != nil && now.Before(a.Until):
			e.hits.Add(1)
			return a, a.Err
		case a.Err == nil && a.TTL > 0 && now.Before(a.Stale):
			e.hits.Add(1)
			if !now.Before(a.refresh) {
				r.ask(name, false)
				if !now.Before(a.Until) {
					e.stale.Add(1)
				}
			}
			return a, nil
		}
	}
	if a := literal(name); a != nil {
		r.keep(strings.Clone(name), a)
		return a, nil
	}
	q := r.ask(name, r.o.NoSync)
	if q == nil {
		return nil, ErrClosed
	}
	select {
	case <-q.done:
		return q.answer, q.answer.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// literal is the answer for a name that is an IP, else nil.
func literal(name string) *Answer {
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	if err != nil {
		return nil
	}
	t := A
	if addr.Is6() && !addr.Is4In6() {
		t = AAAA
	}
	return &Answer{Records: []Record{{Addr: addr.Unmap(), Weight: 1}}, Type: t}
}

func (e *entry) touch(now time.Time) {
	if s := now.Unix(); e.used.Load() != s {
		e.used.Store(s)
	}
}

// ask starts a question unless it is being asked already, which alone does not look at.
// It returns nil when the resolver was closed.
func (r *Resolver) ask(name string, alone bool) *question {
	r.mu.Lock()
	defer r.mu.Unlock()
	if q, ok := r.asking[name]; ok && !alone {
		return q
	}
	if r.ctx.Err() != nil {
		return nil
	}
	name = strings.Clone(name)
	q := &question{done: make(chan struct{})}
	if !alone {
		r.asking[name] = q
	}
	r.work.Go(func() {
		before := r.answer(name)
		fresh := r.resolve(r.ctx, name, before)
		q.answer = r.keep(name, r.settle(name, before, fresh))
		r.mu.Lock()
		if r.asking[name] == q {
			delete(r.asking, name)
		}
		w := r.watched[name]
		r.mu.Unlock()
		close(q.done)
		if w != nil {
			w.changed(q.answer)
			r.nudge()
		}
	})
	return q
}

// answer returns what is known of a name, or nil.
func (r *Resolver) answer(name string) *Answer {
	if e, ok := r.known.Load().Get(name); ok {
		return e.answer.Load()
	}
	return nil
}

// settle gives an answer its times. A failure does not replace an answer that still
// serves as a stale one.
func (r *Resolver) settle(name string, before, fresh *Answer) *Answer {
	now := r.o.Now()
	switch {
	case fresh.Err == nil:
		if r.o.ValidTTL > 0 && !fresh.fixed() {
			fresh.TTL = r.o.ValidTTL
		}
		fresh.Until = now.Add(fresh.TTL)
		fresh.Stale = fresh.Until.Add(r.o.StaleTTL)
		// A tenth ahead of its end, by 30 seconds at most, it is fetched anew.
		fresh.refresh = fresh.Until.Add(-min(fresh.TTL/10, 30*time.Second))
		if before != nil && before.Err == nil && slices.Equal(before.Records, fresh.Records) {
			fresh.next.Store(before.next.Load())
		}
		return fresh
	case before != nil && before.Err == nil && before.TTL > 0 && now.Before(before.Stale):
		r.log.Warn("name is not resolved again, its last answer serves on", "name", name, "error", fresh.Err, "until", before.Stale)
		a := &Answer{Records: before.Records, Type: before.Type, TTL: before.TTL, Until: before.Until, Stale: before.Stale}
		a.refresh = now.Add(max(r.failureTTL(fresh.Err), 100*time.Millisecond))
		a.next.Store(before.next.Load())
		return a
	}
	if before == nil || before.Err == nil {
		r.log.Warn("name does not resolve", "name", name, "error", fresh.Err)
	}
	fresh.TTL = r.failureTTL(fresh.Err)
	fresh.Until = now.Add(fresh.TTL)
	fresh.Stale, fresh.refresh = fresh.Until, fresh.Until
	return fresh
}

func (r *Resolver) failureTTL(err error) time.Duration {
	if errors.Is(err, ErrNotFound) {
		return r.o.NotFoundTTL
	}
	return r.o.ErrorTTL
}

// fixed tells whether an answer came from the hosts file, whose lifetime is its own.
func (a *Answer) fixed() bool { return a.Type == Hosts }

// Next returns the place of the next record in turn.
func (a *Answer) Next() int { return int((a.next.Add(1) - 1) % uint32(len(a.Records))) }

// Peek returns what is known of a name, or nil. It neither asks nor waits.
func (r *Resolver) Peek(name string) *Answer { return r.answer(name) }

// Address returns ip:port of a record: with its own port, or else with this one.
func (a *Answer) Address(i, port int) string {
	t := a.text.Load()
	if t == nil || t.port != port {
		t = &texts{port: port, list: make([]string, len(a.Records))}
		for j := range a.Records {
			p := uint16(port) //nolint:gosec // a port
			if a.Records[j].Port != 0 {
				p = a.Records[j].Port
			}
			t.list[j] = netip.AddrPortFrom(a.Records[j].Addr, p).String()
		}
		a.text.Store(t)
	}
	return t.list[i]
}
