package balancer

import (
	"net/netip"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-gateway/sluice/dataplane/internal/resolver"
)

// live is what may be picked. It is immutable.
type live struct {
	epoch uint64
	// until is when it must be looked at again although nothing has changed, in
	// nanoseconds since 1970, 0 for never; ramping that a slow start is under way.
	until   int64
	ramping bool
	// all are the addresses with a weight; usable those that requests may go to now.
	all, usable []*address
	// unresolved tells that no target has an address because of names, unknown that some
	// name was not resolved yet.
	unresolved, unknown bool
	// troubled tells that some target does not get requests though it has a weight.
	troubled bool
	// total and available are the weights of what counts for the threshold.
	total, available uint64

	wheel   []uint16 // places into usable, of round robin
	sums    []uint64 // of weights up to each of usable
	equal   bool     // all of usable have one weight
	cookies map[string]*address
	scores  []score // of hashing, parallel to usable
}

// live returns the table, a new one when something has changed.
func (u *Upstream) live() *live {
	l := u.now.Load()
	if l.epoch != u.group.epoch.Load() || l.until != 0 && time.Now().UnixNano() >= l.until {
		return u.rebuild()
	}
	return l
}

// rebuild makes the table of what is known now.
func (u *Upstream) rebuild() *live {
	u.mu.Lock()
	defer u.mu.Unlock()
	l := &live{epoch: u.group.epoch.Load()}
	now := time.Now()
	for _, t := range u.Targets {
		if t.Weight == 0 {
			continue
		}
		u.locate(t, l, now)
		l.all = append(l.all, t.addresses...)
	}
	l.troubled = l.unresolved
	l.unresolved = l.unresolved && len(l.all) == 0
	u.narrow(l, now.UnixNano())
	u.index(l)
	u.now.Store(l)
	return l
}

// locate finds the addresses of a target. Those that it had stay the same.
func (u *Upstream) locate(t *Target, l *live, now time.Time) {
	if t.literal {
		if t.addresses == nil {
			at, _ := addrPort(t.Host, t.Port)
			t.addresses = []*address{u.address(t, at, uint32(t.Weight), "", now)} //nolint:gosec // checked by the schema
		}
		return
	}
	answer := u.group.b.o.Resolver.Peek(t.Host)
	switch {
	case answer == nil:
		l.unknown = true
		return
	case answer.Err != nil:
		// While its name is gone the target has no address.
		t.answer, t.addresses, t.dnsError = answer, nil, true
		l.unresolved = true
		return
	case answer == t.answer:
		return
	}
	t.dnsError = false
	if answer.TTL == 0 && !answer.Until.IsZero() {
		if len(t.addresses) != 1 || !t.addresses[0].dynamic {
			a := u.address(t, netip.AddrPort{}, uint32(t.Weight), "", now) //nolint:gosec // checked by the schema
			a.dynamic, a.port = true, t.Port
			t.addresses = []*address{a}
		}
		t.answer = answer
		return
	}
	before := t.addresses
	t.answer, t.addresses = answer, make([]*address, 0, len(answer.Records))
	for i := range answer.Records {
		rec := &answer.Records[i]
		port, weight := uint16(t.Port), uint32(t.Weight) //nolint:gosec // checked by the schema
		if answer.Type == resolver.SRV {
			weight = uint32(rec.Weight) // theirs, as in Kong
			if rec.Port != 0 {
				port = rec.Port
			}
		}
		at := netip.AddrPortFrom(rec.Addr, port)
		same := false
		for _, a := range before {
			if a.state.key.at == at && a.weight == weight && a.name == rec.Target {
				t.addresses, same = append(t.addresses, a), true
				break
			}
		}
		if !same {
			t.addresses = append(t.addresses, u.address(t, at, weight, rec.Target, now))
		}
	}
}

func (u *Upstream) address(t *Target, at netip.AddrPort, weight uint32, name string, now time.Time) *address {
	s := u.group.state(stateKey{t.Entity.Target, at}, t.marks, now)
	hash := t.Entity.Target
	if at.IsValid() {
		hash = s.address
	}
	a := &address{state: s, text: s.address, host: t.Host, port: int(at.Port()), weight: weight, target: t, hash: xxhash.Sum64String(hash), name: name}
	if name != "" && u.Entity.UseSRVName {
		a.host = name
	}
	return a
}

// class is what an address is to a table.
type class uint8

const (
	unusable class = iota
	inZone
	elsewhere
	spare // for failover
)

// narrow chooses the usable addresses: those of the first class that has some. Targets of
// the node's zone come first as long as half of them are there, then all others, then
// those for failover.
func (u *Upstream) narrow(l *live, now int64) {
	classes := make([]class, len(l.all))
	var count [spare + 1]int
	var zoneTotal, zoneUp uint64
	for i, a := range l.all {
		primary, weight := !a.target.Entity.Failover, uint64(a.weight)
		usable := u.usable(l, a, now)
		switch {
		case primary && a.target.inZone:
			zoneTotal += weight
			if usable {
				zoneUp += weight
				classes[i] = inZone
			}
		case primary && usable:
			classes[i] = elsewhere
		case usable:
			classes[i] = spare
		}
		if primary {
			l.total += weight
			if usable {
				l.available += weight
			}
		}
		count[classes[i]]++
		l.troubled = l.troubled || !usable
	}
	from, to := inZone, elsewhere
	switch limit := u.Entity.HealthChecks.Threshold; {
	case limit > 0 && l.total > 0 && float64(l.available)*100/float64(l.total) < limit:
		from, to = spare, spare // the rest would break under what the others leave it
	case count[inZone] > 0 && zoneUp*2 >= zoneTotal:
		to = inZone
	case count[inZone]+count[elsewhere] == 0:
		from, to = spare, spare
	}
	n := 0
	for c := from; c <= to; c++ {
		n += count[c]
	}
	if n == len(l.all) {
		l.usable = l.all
		return
	}
	l.usable = make([]*address, 0, n)
	for i, a := range l.all { // in the order of targets
		if classes[i] >= from && classes[i] <= to {
			l.usable = append(l.usable, a)
		}
	}
}

// usable tells whether requests may go to an address, and notes when that changes by
// itself.
func (u *Upstream) usable(l *live, a *address, now int64) bool {
	soon := func(at int64) {
		if l.until == 0 || at < l.until {
			l.until = at
		}
	}
	if a.state.down.Load() {
		return false
	}
	if until := a.state.ejected.Load(); until > now {
		soon(until)
		return false
	}
	if from := a.state.rampFrom.Load(); from != 0 && u.slowStart > 0 {
		if end := from + int64(u.slowStart); end > now {
			l.ramping = true
			soon(end)
		}
	}
	return true
}

// index prepares what the algorithm looks at.
func (u *Upstream) index(l *live) {
	if len(l.usable) == 0 {
		return
	}
	l.equal = true
	for _, a := range l.usable {
		l.equal = l.equal && a.weight == l.usable[0].weight
	}
	switch u.algorithm {
	case stickySessions:
		l.cookies = u.signed(l.usable)
		l.wheel = wheelOf(l.usable)
	case hashing:
		l.scores = make([]score, len(l.usable))
		for i, a := range l.usable {
			l.scores[i] = score{a.hash, 1 / float64(a.weight)}
		}
		l.wheel = wheelOf(l.usable)
	case roundRobin:
		l.wheel = wheelOf(l.usable)
	case leastConnections, peakEWMA:
		if len(l.usable) <= few {
			return
		}
	}
	if l.wheel == nil {
		sum := uint64(0)
		l.sums = make([]uint64, len(l.usable))
		for i, a := range l.usable {
			sum += uint64(a.weight)
			l.sums[i] = sum
		}
	}
}

// allTried tells whether every usable address was tried.
func (l *live) allTried(skip *Skip) bool {
	for _, a := range l.usable {
		if !skip.has(a.state) {
			return false
		}
	}
	return true
}
