package resolver

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// server is one name server.
type server struct {
	address string
	// failedAt is when it gave no answer last, in nanoseconds, 0 when it answered since.
	failedAt atomic.Int64
	asked    atomic.Int64
	failed   atomic.Int64
}

// avoidFor is how long a server that gave no answer is asked after the others.
const avoidFor = 10 * time.Second

// udpSize is the largest answer that is taken over UDP; it passes without fragments.
const udpSize = 1232

// order returns the servers as they are to be asked: as they are listed, those that
// failed a moment ago last.
func (r *Resolver) order(turn uint32) []*server {
	out := make([]*server, 0, len(r.servers))
	var bad []*server
	now := r.o.Now()
	start := 0
	if r.system.conf.rotate && len(r.servers) > 0 {
		start = int(turn % uint32(len(r.servers)))
	}
	for i := range r.servers {
		s := r.servers[(start+i)%len(r.servers)]
		if at := s.failedAt.Load(); at != 0 && now.Sub(time.Unix(0, at)) < avoidFor {
			bad = append(bad, s)
		} else {
			out = append(out, s)
		}
	}
	return append(out, bad...)
}

// exchange asks the servers for records of a full name until one answers. An answer is
// one that says what there is, or that there is nothing.
func (r *Resolver) exchange(ctx context.Context, name string, code uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, code)
	m.SetEdns0(udpSize, false)
	if _, ok := dns.IsDomainName(name); !ok {
		return nil, fmt.Errorf("%w: %q is no domain name", ErrNotFound, name)
	}
	var errs []error
	for attempt := range r.system.conf.attempts {
		for _, s := range r.order(uint32(m.Id) + uint32(attempt)) {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("%w: %w", ErrServer, ctx.Err())
			}
			answer, err := r.askServer(ctx, s, m)
			s.asked.Add(1)
			if err == nil {
				s.failedAt.Store(0)
				return answer, nil
			}
			s.failed.Add(1)
			s.failedAt.Store(r.o.Now().UnixNano())
			if attempt == 0 {
				errs = append(errs, err)
			}
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrServer, errors.Join(errs...))
}

// askServer asks one server, over TCP when the answer does not fit.
func (r *Resolver) askServer(ctx context.Context, s *server, m *dns.Msg) (*dns.Msg, error) {
	network := "udp"
	if r.system.conf.tcp {
		network = "tcp"
	}
	answer, err := r.send(ctx, network, s.address, m)
	if err == nil && answer.Rcode == dns.RcodeFormatError && m.IsEdns0() != nil {
		m = m.Copy() // an old server that knows no extensions
		m.Extra = nil
		answer, err = r.send(ctx, network, s.address, m)
	}
	if network == "udp" && (err == nil && answer.Truncated || errors.Is(err, errMalformed)) {
		answer, err = r.send(ctx, "tcp", s.address, m)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask %s: %w", s.address, err)
	case answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("ask %s: it answers %s", s.address, dns.RcodeToString[answer.Rcode])
	}
	return answer, nil
}

func (r *Resolver) send(ctx context.Context, network, address string, m *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, r.system.conf.timeout)
	defer cancel()
	nc, err := r.o.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = nc.Close() }()
	// The connection ends with the look-up, whatever the client waits for.
	end := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer end()
	client := dns.Client{Net: network, UDPSize: udpSize, Timeout: r.system.conf.timeout}
	answer, _, err := client.ExchangeWithConnContext(ctx, m, &dns.Conn{Conn: nc, UDPSize: udpSize})
	if e, ok := errors.AsType[*dns.Error](err); ok {
		return nil, fmt.Errorf("%w: %w", errMalformed, e) // it may be too long for UDP
	}
	if err != nil {
		return nil, err
	}
	if !answer.Response || len(answer.Question) > 0 && (answer.Question[0].Qtype != m.Question[0].Qtype || !equalName(answer.Question[0].Name, m.Question[0].Name)) {
		return nil, errors.New("the answer is to another question")
	}
	return answer, nil
}

var errMalformed = errors.New("answer is malformed")

func equalName(a, b string) bool { return dns.CanonicalName(a) == dns.CanonicalName(b) }
