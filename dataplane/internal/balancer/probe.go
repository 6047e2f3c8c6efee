package balancer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluice-gateway/sluice/shared/entity"
)

// prober makes the checks of one view.
type prober struct {
	client  *http.Client
	tls     *tls.Config
	limit   int32
	running atomic.Int32
	ctx     context.Context //nolint:containedctx // the life of the view
	stop    context.CancelFunc
}

// probes tells whether an upstream asks for active checks.
func probes(u *entity.Upstream) bool {
	c := &u.HealthChecks.Active
	return c.Healthy.Interval > 0 || c.Unhealthy.Interval > 0
}

const defaultConcurrency = 10

func newProber(u *Upstream) *prober {
	c := &u.Entity.HealthChecks.Active
	p := &prober{limit: defaultConcurrency}
	if c.Concurrency > 0 {
		p.limit = int32(min(c.Concurrency, 1<<30)) //nolint:gosec // bounded
	}
	p.tls = &tls.Config{InsecureSkipVerify: !c.HTTPSVerifyCertificate, ServerName: c.HTTPSSNI} //nolint:gosec // as the user says
	p.client = &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: p.tls, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// begin takes one of the checks that may be under way at the same time.
func (p *prober) begin() bool {
	if p.running.Add(1) > p.limit {
		p.running.Add(-1)
		return false
	}
	return true
}

func (p *prober) end() { p.running.Add(-1) }

// probeNetwork makes checks; tests put something else in its place.
var probeNetwork = func(ctx context.Context, p *prober, u *Upstream, s *state) (int, error) { return p.probe(ctx, u, s) } //nolint:gochecknoglobals // as it says

// check makes one check and counts its outcome.
func (p *prober) check(ctx context.Context, u *Upstream, s *state) {
	c := &u.Entity.HealthChecks.Active
	limit := seconds(c.Timeout)
	if limit <= 0 {
		limit = time.Second
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)() //nolint:contextcheck // the view may end before the check
	code, err := probeNetwork(within, p, u, s)
	if ctx.Err() != nil || p.ctx.Err() != nil {
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
	if err != nil && u.group.b.log.IsDebug() {
		u.group.b.log.Debug("check failed", "upstream", u.Entity.Name, "target", s.key.target, "address", s.address, "error", err)
	}
	if s.health.note(s, outcome, code, &c.Healthy, &c.Unhealthy, byChecks) {
		u.changed(s)
	}
}

// probe makes one check. One of TCP that connects, and one of gRPC that serves, count as
// a good status.
func (p *prober) probe(ctx context.Context, u *Upstream, s *state) (code int, err error) {
	c := &u.Entity.HealthChecks.Active
	switch c.Type {
	case "tcp":
		nc, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
		if err != nil {
			return 0, err
		}
		return good(c), nc.Close()
	case "grpc", "grpcs":
		return p.probeGRPC(ctx, c, u, s)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Type+"://"+s.address+c.HTTPPath, nil)
	if err != nil {
		return 0, fmt.Errorf("make check: %w", err)
	}
	for name, values := range c.Headers {
		req.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	req.Host = u.checkHost(s)
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	client := p.client
	if c.Type == "https" && c.HTTPSSNI == "" {
		// The name of the target is what its certificate is for.
		t := p.client.Transport.(*http.Transport).Clone() //nolint:forcetypeassert // made above
		t.TLSClientConfig.ServerName = u.checkName(s)
		client = &http.Client{Transport: t, CheckRedirect: p.client.CheckRedirect}
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	return resp.StatusCode, resp.Body.Close()
}

// probeGRPC asks the service grpc.health.v1.Health; the path without its slash is the
// name of the service that it is asked about, none for /.
func (p *prober) probeGRPC(ctx context.Context, c *entity.ActiveCheck, u *Upstream, s *state) (int, error) {
	transport := insecure.NewCredentials()
	if c.Type == "grpcs" {
		config := p.tls.Clone()
		if config.ServerName == "" {
			config.ServerName = u.checkName(s)
		}
		transport = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient(
		"passthrough:///"+s.address, grpc.WithTransportCredentials(transport), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithAuthority(u.checkHost(s)),
	)
	if err != nil {
		return 0, fmt.Errorf("make check: %w", err)
	}
	defer func() { _ = conn.Close() }()
	for name, values := range c.Headers {
		for _, v := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, name, v) //nolint:fatcontext // a few headers
		}
	}
	request := &healthv1.HealthCheckRequest{}
	if len(c.HTTPPath) > 1 {
		request.Service = c.HTTPPath[1:]
	}
	answer, err := healthv1.NewHealthClient(conn).Check(ctx, request)
	switch {
	case status.Code(err) == codes.DeadlineExceeded:
		return 0, context.DeadlineExceeded
	case status.Code(err) == codes.Unavailable:
		return 0, err
	case err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_SERVING:
		return poor(c), nil //nolint:nilerr // it answers, and does not serve
	}
	return good(c), nil
}

// good is a status that counts as healthy, poor one that counts as unhealthy.
func good(c *entity.ActiveCheck) int {
	if len(c.Healthy.HTTPStatuses) > 0 {
		return c.Healthy.HTTPStatuses[0]
	}
	return 0
}

func poor(c *entity.ActiveCheck) int {
	if len(c.Unhealthy.HTTPStatuses) > 0 {
		return c.Unhealthy.HTTPStatuses[0]
	}
	return 0
}

// checkHost is the Host of checks, and checkName the name that certificates are for.
func (u *Upstream) checkHost(s *state) string {
	if u.Entity.HostHeader != "" {
		return u.Entity.HostHeader
	}
	return u.checkName(s)
}

func (u *Upstream) checkName(s *state) string {
	for _, a := range u.now.Load().all {
		if a.state == s {
			return a.host
		}
	}
	host, _ := SplitTarget(s.key.target)
	return host
}
