package balancer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/shared/entity"
)

// prober checks the targets of one view, until it is stopped.
type prober struct {
	u      *Upstream
	cancel context.CancelFunc
	done   sync.WaitGroup
	client *http.Client
	slots  chan struct{}
}

// probes tells whether an upstream asks for active checks.
func probes(u *entity.Upstream) bool {
	c := &u.HealthChecks.Active
	return c.Healthy.Interval > 0 || c.Unhealthy.Interval > 0
}

const defaultConcurrency = 10

func newProber(u *Upstream) *prober {
	c := &u.Entity.HealthChecks.Active
	n := c.Concurrency
	if n < 1 {
		n = defaultConcurrency
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &prober{u: u, cancel: cancel, slots: make(chan struct{}, n)}
	p.client = &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: !c.HTTPSVerifyCertificate, ServerName: c.HTTPSSNI}, //nolint:gosec // as the user says
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, t := range u.Targets {
		if t.Weight > 0 {
			p.done.Go(func() { p.watch(ctx, t) })
		}
	}
	return p
}

// stop ends the checks; it does not wait for those under way.
func (p *prober) stop() { p.cancel() }

// watch checks one target at the interval of its health.
func (p *prober) watch(ctx context.Context, t *Target) {
	c := &p.u.Entity.HealthChecks.Active
	first := true
	for {
		interval := c.Healthy.Interval
		if t.state.health.down.Load() {
			interval = c.Unhealthy.Interval
		}
		wait := time.Duration(interval * float64(time.Second))
		if interval <= 0 {
			wait = time.Second // this health is not checked; the other one may come
		} else {
			// Checks of many targets spread out.
			wait = wait*9/10 + rand.N(wait/5+1)
		}
		if first {
			wait, first = rand.N(wait/10+time.Millisecond), false
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if interval > 0 {
			p.check(ctx, t)
		}
	}
}

func (p *prober) check(ctx context.Context, t *Target) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return
	}
	c := &p.u.Entity.HealthChecks.Active
	limit := time.Duration(c.Timeout * float64(time.Second))
	if limit <= 0 {
		limit = time.Second
	}
	probe, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	status, err := p.probe(probe, t)
	if ctx.Err() != nil {
		return
	}
	outcome := Answered
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		outcome = TimedOut
	default:
		outcome = Failed
	}
	if t.state.health.note(outcome, status, &c.Healthy, &c.Unhealthy, "checks") {
		p.u.changed(t)
	}
}

// probe makes one check. A TCP check that connects counts as a good status.
func (p *prober) probe(ctx context.Context, t *Target) (status int, err error) {
	c := &p.u.Entity.HealthChecks.Active
	address, err := p.u.balance.resolve(ctx, t)
	if err != nil {
		return 0, err
	}
	if c.Type == "tcp" {
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return 0, err
		}
		if len(c.Healthy.HTTPStatuses) > 0 {
			status = c.Healthy.HTTPStatuses[0]
		}
		return status, nc.Close()
	}
	scheme := "http"
	if c.Type == "https" || c.Type == "grpcs" {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+c.HTTPPath, nil)
	if err != nil {
		return 0, fmt.Errorf("make check: %w", err)
	}
	for name, values := range c.Headers {
		for _, v := range values {
			req.Header.Add(name, v)
		}
	}
	req.Host = t.Host
	if host := p.u.Entity.HostHeader; host != "" {
		req.Host = host
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	return resp.StatusCode, resp.Body.Close()
}

// known are the addresses of a target, as far as they are known now.
func (b *Balancer) known(t *Target) []netip.AddrPort {
	if t.addr != "" {
		if a, err := netip.ParseAddrPort(t.addr); err == nil {
			return []netip.AddrPort{a}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := b.names.lookup(ctx, strings.TrimSuffix(t.Host, "."))
	if err != nil {
		return nil
	}
	out := make([]netip.AddrPort, len(r.addrs))
	for i, a := range r.addrs {
		out[i] = netip.AddrPortFrom(a, uint16(t.Port))
	}
	return out
}
