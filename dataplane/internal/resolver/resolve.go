package resolver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// lookupTimeout bounds all questions for one name.
	lookupTimeout = 30 * time.Second
	// maxDepth bounds how far aliases and service records are followed.
	maxDepth = 8
	// hostsTTL is the lifetime of an answer from the hosts file.
	hostsTTL = 10 * time.Second
)

// resolve looks a name up: in the hosts file, then at the servers. before is what was
// known of it.
func (r *Resolver) resolve(ctx context.Context, name string, before *Answer) *Answer {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if a := r.fromHosts(name); a != nil {
		return a
	}
	last := Type(0)
	if before != nil && before.Err == nil && before.Type != Hosts {
		last = before.Type
	}
	a, err := r.search(ctx, name, last, 0)
	if err != nil {
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrServer) {
			err = fmt.Errorf("%w: %w", ErrServer, err)
		}
		return &Answer{Err: err}
	}
	return a
}

func (r *Resolver) fromHosts(name string) *Answer {
	found := r.system.find(name, r.o.Now())
	if len(found) == 0 {
		return nil
	}
	// Kong's order: an address of version 4 when there is one.
	a := &Answer{Type: Hosts, TTL: hostsTTL}
	for _, addr := range prefer(found, r.o.Order) {
		a.Records = append(a.Records, Record{Addr: addr, Weight: 1})
	}
	return a
}

// prefer keeps the addresses of the version that is named first in an order.
func prefer(addrs []netip.Addr, order []Type) []netip.Addr {
	four, six := slices.Index(order, A), slices.Index(order, AAAA)
	wantSix := six >= 0 && (four < 0 || six < four)
	var wanted []netip.Addr
	for _, a := range addrs {
		if a.Is6() == wantSix {
			wanted = append(wanted, a)
		}
	}
	if len(wanted) > 0 {
		return wanted
	}
	return addrs
}

// search tries the types in their order, each for all full names that the name may
// stand for.
func (r *Resolver) search(ctx context.Context, name string, last Type, depth int) (*Answer, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: %s leads too far", ErrServer, name)
	}
	names := r.system.conf.candidates(name)
	gone := make(map[string]bool, len(names))
	var fault error
	for _, t := range r.types(name, last) {
		for _, full := range names {
			if gone[full] {
				continue
			}
			a, err := r.find(ctx, full, t, depth)
			switch {
			case err == nil && len(a.Records) > 0:
				return a, nil
			case errors.Is(err, errNoName):
				gone[full] = true // of other types there is nothing either
			case err != nil && !errors.Is(err, ErrNotFound) && fault == nil:
				fault = err
			}
			if ctx.Err() != nil {
				return nil, fmt.Errorf("%w: %w", ErrServer, ctx.Err())
			}
		}
	}
	if fault != nil {
		return nil, fault
	}
	return nil, ErrNotFound
}

// errNoName means that a name has no records of any type.
var errNoName = fmt.Errorf("%w at all", ErrNotFound)

// types returns the types that are asked for, each once.
func (r *Resolver) types(name string, last Type) []Type {
	out := make([]Type, 0, len(r.o.Order))
	for _, t := range r.o.Order {
		if t == Last {
			if t = last; t == 0 {
				continue
			}
		}
		if t == SRV && r.o.StrictSRV && !isService(name) || slices.Contains(out, t) {
			continue
		}
		out = append(out, t)
	}
	return out
}

// isService tells whether a name has the form _service._proto.name.
func isService(name string) bool {
	first, rest, ok := strings.Cut(name, ".")
	return ok && strings.HasPrefix(first, "_") && strings.HasPrefix(rest, "_") && strings.Contains(rest, ".")
}

// find asks for the records of one type of a full name, and follows them to addresses.
func (r *Resolver) find(ctx context.Context, full string, t Type, depth int) (*Answer, error) {
	m, err := r.exchange(ctx, full, t.code())
	if err != nil {
		return nil, err
	}
	chain := aliases(m, full)
	owner := chain[len(chain)-1]
	a := &Answer{Type: t, TTL: ttlOf(m, chain)}
	switch t {
	case SRV:
		return r.service(ctx, m, owner, a, depth)
	case CNAME:
		if len(chain) < 2 {
			break
		}
		return r.follow(ctx, owner, a, depth)
	default:
		for _, rr := range m.Answer {
			if addr, ok := addressOf(rr); ok && rr.Header().Rrtype == t.code() && equalName(rr.Header().Name, owner) {
				a.Records = append(a.Records, Record{Addr: addr, Weight: 1})
			}
		}
		// A server that does not follow aliases itself leaves that to us.
		if len(a.Records) == 0 && len(chain) > 1 && m.Rcode == dns.RcodeSuccess {
			return r.follow(ctx, owner, a, depth)
		}
	}
	if len(a.Records) == 0 {
		if m.Rcode == dns.RcodeNameError {
			return nil, errNoName
		}
		return nil, ErrNotFound
	}
	sortRecords(a.Records)
	return a, nil
}

// follow resolves what an alias leads to.
func (r *Resolver) follow(ctx context.Context, target string, a *Answer, depth int) (*Answer, error) {
	found, err := r.search(ctx, dns.Fqdn(target), 0, depth+1)
	if err != nil {
		return nil, err
	}
	a.Records, a.Type, a.TTL = found.Records, found.Type, min(a.TTL, found.TTL)
	return a, nil
}

// service resolves the targets of the service records with the best priority. Targets
// that do not resolve are left out while there are others.
func (r *Resolver) service(ctx context.Context, m *dns.Msg, owner string, a *Answer, depth int) (*Answer, error) {
	var list []*dns.SRV
	for _, rr := range m.Answer {
		if s, ok := rr.(*dns.SRV); ok && equalName(s.Hdr.Name, owner) && s.Target != "." {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		if m.Rcode == dns.RcodeNameError {
			return nil, errNoName
		}
		return nil, ErrNotFound
	}
	best := slices.MinFunc(list, func(a, b *dns.SRV) int { return cmp.Compare(a.Priority, b.Priority) }).Priority
	var fault error
	for _, s := range list {
		if s.Priority != best {
			continue
		}
		addrs, ttl, err := r.addresses(ctx, m, s.Target, depth)
		if err != nil {
			fault = err
			continue
		}
		a.TTL = min(a.TTL, ttl)
		// The addresses of one target share its weight.
		weight := max(int(s.Weight)/len(addrs), 1)
		for _, addr := range addrs {
			a.Records = append(a.Records, Record{
				Addr: addr, Port: s.Port, Weight: uint16(weight), Priority: s.Priority, Target: strings.TrimSuffix(s.Target, "."), //nolint:gosec // not more than s.Weight
			})
		}
	}
	if len(a.Records) == 0 {
		return nil, fault
	}
	sortRecords(a.Records)
	return a, nil
}

// addresses resolves the target of a service record: an IP, which some servers give,
// a name that came along, or one that is looked up.
func (r *Resolver) addresses(ctx context.Context, m *dns.Msg, target string, depth int) ([]netip.Addr, time.Duration, error) {
	if addr, err := netip.ParseAddr(strings.TrimSuffix(target, ".")); err == nil {
		return []netip.Addr{addr.Unmap()}, maxTTL, nil
	}
	if found := r.fromHosts(target); found != nil {
		return addrsOf(found), found.TTL, nil
	}
	var along []netip.Addr
	ttl := maxTTL
	for _, rr := range m.Extra {
		if addr, ok := addressOf(rr); ok && equalName(rr.Header().Name, target) {
			along = append(along, addr)
			ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
		}
	}
	if len(along) > 0 {
		return prefer(along, r.o.Order), ttl, nil
	}
	fault := ErrNotFound
	for _, t := range r.types(target, 0) {
		if t == SRV {
			continue // services do not lead to services
		}
		a, err := r.find(ctx, dns.Fqdn(target), t, depth+1)
		if err == nil && len(a.Records) > 0 {
			return addrsOf(a), a.TTL, nil
		}
		if err != nil {
			fault = err
		}
	}
	return nil, 0, fault
}

func addrsOf(a *Answer) []netip.Addr {
	out := make([]netip.Addr, len(a.Records))
	for i := range a.Records {
		out[i] = a.Records[i].Addr
	}
	return out
}

// maxTTL bounds lifetimes: a day.
const maxTTL = 24 * time.Hour

// ttlOf is the shortest lifetime of the records that belong to a chain of names.
func ttlOf(m *dns.Msg, chain []string) time.Duration {
	ttl := maxTTL
	for _, rr := range m.Answer {
		if slices.ContainsFunc(chain, func(name string) bool { return equalName(name, rr.Header().Name) }) {
			ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
		}
	}
	return ttl
}

// aliases follows the aliases that an answer has, from a name to where they end.
func aliases(m *dns.Msg, name string) []string {
	chain := []string{name}
	for range maxDepth {
		next := ""
		for _, rr := range m.Answer {
			if c, ok := rr.(*dns.CNAME); ok && equalName(c.Hdr.Name, chain[len(chain)-1]) {
				next = c.Target
			}
		}
		if next == "" || slices.ContainsFunc(chain, func(n string) bool { return equalName(n, next) }) {
			break
		}
		chain = append(chain, next)
	}
	return chain
}

func addressOf(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		addr, ok := netip.AddrFromSlice(rr.A)
		return addr.Unmap(), ok
	case *dns.AAAA:
		addr, ok := netip.AddrFromSlice(rr.AAAA)
		return addr, ok
	}
	return netip.Addr{}, false
}

// sortRecords gives records an order that does not depend on the server's.
func sortRecords(list []Record) {
	slices.SortFunc(list, func(a, b Record) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Weight, b.Weight))
	})
}
