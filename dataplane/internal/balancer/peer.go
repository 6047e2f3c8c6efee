package balancer

import (
	"context"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/resolver"
)

// Peer is one address that a request can be sent to.
type Peer struct {
	// Address is ip:port.
	Address string
	// Host is the name or IP that the address came from, for Host headers and SNI.
	Host string
	Port int

	// Of an upstream's target; nil for a host that is no upstream.
	view *Upstream
	at   *address
}

// Start counts a request that is sent to the peer; Done takes it off again, once the
// response has ended or the try has failed.
func (p *Peer) Start() {
	if p.at != nil {
		p.at.state.active.Add(1)
	}
}

// Done ends what Start began.
func (p *Peer) Done() {
	if p.at != nil {
		p.at.state.active.Add(-1)
	}
}

// Observe tells the time that it took to the response head, which came at now.
func (p *Peer) Observe(took time.Duration, now time.Time) {
	if p.at != nil && p.view.algorithm == peakEWMA {
		p.at.state.observe(took, now)
	}
}

// Skip rules out addresses that were tried. The zero value rules out none.
type Skip struct {
	tried [16]*state
	n     int
}

func (s *Skip) has(st *state) bool {
	return slices.Contains(s.tried[:s.n], st)
}

// Add rules the peer's address out for further picks.
func (s *Skip) Add(p Peer) {
	if p.at != nil && s.n < len(s.tried) && !p.at.dynamic && !s.has(p.at.state) {
		s.tried[s.n] = p.at.state
		s.n++
	}
}

// Direct returns the peer of a host that is no upstream: an IP or a name. The port is
// that of a service record when there is one.
func (b *Balancer) Direct(ctx context.Context, host string, port int) (Peer, error) {
	answer, err := b.o.Resolver.Lookup(ctx, host)
	if err != nil {
		return Peer{}, ErrResolve
	}
	i := answer.Next()
	if answer.Type == resolver.SRV {
		if p := answer.Records[i].Port; p != 0 {
			port = int(p)
		}
	}
	return Peer{Address: answer.Address(i, port), Host: host, Port: port}, nil
}
