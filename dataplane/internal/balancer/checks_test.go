package balancer_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/shared/entity"
)

// active is an upstream with active checks of a type, that follow each other fast.
func active(kind string) *entity.Upstream {
	e := &entity.Upstream{}
	e.HealthChecks.Active = entity.ActiveCheck{
		Type: kind, Timeout: 0.2, Concurrency: 10, HTTPPath: "/",
		Healthy:   entity.CheckHealthy{Interval: 0.02, Successes: 2, HTTPStatuses: []int{200, 302}},
		Unhealthy: entity.CheckUnhealthy{Interval: 0.02, HTTPFailures: 2, TCPFailures: 2, Timeouts: 2, HTTPStatuses: []int{429, 500, 503}},
	}
	return e
}

// becomes waits until a target has a health.
func becomes(t *testing.T, u *fixture, id, want string) balancer.TargetHealth {
	t.Helper()
	eventually(t, id+" becomes "+want, func() bool { return stateOf(u, id).Health == want })
	return stateOf(u, id)
}

// TestHTTPChecks holds that a server which refuses, hangs, cuts off or answers badly is
// found, and that it comes back when it has recovered.
func TestHTTPChecks(t *testing.T) {
	for _, kind := range []string{"http", "https"} {
		var mode atomic.Value
		mode.Store("ok")
		seen := make(chan *http.Request, 1000)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case seen <- r:
			default:
			}
			switch mode.Load() {
			case "500":
				w.WriteHeader(500)
			case "hang":
				time.Sleep(500 * time.Millisecond)
			case "cut":
				panic(http.ErrAbortHandler)
			case "redirect":
				http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			}
		}))
		server.Config.ErrorLog = nil
		if kind == "https" {
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
		e := active(kind)
		e.HealthChecks.Active.HTTPPath, e.HealthChecks.Active.Headers = "/up?x=1", map[string][]string{"x-probe": {"a", "b"}}
		e.HostHeader = "probe.test"
		u := on(newBalancer(t, balancer.Options{}), e, []*entity.Target{named(server.Listener.Addr().String(), 1)})
		id := u.targets[0].ID
		r := <-seen
		if r.Host != "probe.test" || r.URL.RequestURI() != "/up?x=1" || fmt.Sprint(r.Header["X-Probe"]) != "[a b]" || r.Method != "GET" {
			t.Errorf("the check is %s %s at %s with %v", r.Method, r.URL, r.Host, r.Header)
		}
		for fault, why := range map[string]string{"500": "2 bad statuses, the last one 500", "hang": "2 timeouts", "cut": "2 connection failures"} {
			mode.Store(fault)
			if h := becomes(t, u, id, balancer.Unhealthy); h.Detail != why || h.Why != "checks" {
				t.Errorf("%s, %s: because of %s, %q", kind, fault, h.Why, h.Detail)
			}
			mode.Store("redirect") // a good status, and not followed
			if h := becomes(t, u, id, balancer.Healthy); h.Detail != "2 successes" {
				t.Errorf("%s, after %s: because of %q", kind, fault, h.Detail)
			}
		}
		server.Close()
		if h := becomes(t, u, id, balancer.Unhealthy); h.Detail != "2 connection failures" {
			t.Errorf("%s, gone: because of %q", kind, h.Detail)
		}
	}
}

// TestHTTPSVerification holds that certificates are verified when they should be, for the
// name of https_sni or else the target's.
func TestHTTPSVerification(t *testing.T) {
	names := make(chan string, 1000)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		names <- hello.ServerName
		return nil, nil
	}}
	server.StartTLS()
	defer server.Close()
	e := active("https")
	e.HealthChecks.Active.HTTPSVerifyCertificate, e.HealthChecks.Active.HTTPSSNI = true, "sni.test"
	u := on(newBalancer(t, balancer.Options{}), e, []*entity.Target{named(server.Listener.Addr().String(), 1)})
	if h := becomes(t, u, u.targets[0].ID, balancer.Unhealthy); h.Detail != "2 connection failures" {
		t.Errorf("a certificate that nobody knows: %q", h.Detail)
	}
	if got := <-names; got != "sni.test" {
		t.Errorf("SNI %q", got)
	}
}

func TestTCPChecks(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := on(newBalancer(t, balancer.Options{}), active("tcp"), []*entity.Target{named(l.Addr().String(), 1)})
	u.mark(u.targets[0].ID, false)
	becomes(t, u, u.targets[0].ID, balancer.Healthy)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	becomes(t, u, u.targets[0].ID, balancer.Unhealthy)
}

// TestGRPCChecks holds that the health protocol of gRPC is spoken.
func TestGRPCChecks(t *testing.T) {
	for _, kind := range []string{"grpc", "grpcs"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var options []grpc.ServerOption
		if kind == "grpcs" {
			pair := httptest.NewUnstartedServer(nil)
			pair.StartTLS()
			options = append(options, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: pair.TLS.Certificates})))
			pair.Close()
		}
		server := grpc.NewServer(options...)
		state := health.NewServer()
		healthv1.RegisterHealthServer(server, state)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = server.Serve(l)
		}()
		e := active(kind)
		e.HealthChecks.Active.Timeout = 1
		e.HealthChecks.Active.HTTPPath = "/my.Service"
		state.SetServingStatus("my.Service", healthv1.HealthCheckResponse_NOT_SERVING)
		u := on(newBalancer(t, balancer.Options{}), e, []*entity.Target{named(l.Addr().String(), 1)})
		if h := becomes(t, u, u.targets[0].ID, balancer.Unhealthy); !strings.HasPrefix(h.Detail, "2 bad statuses") {
			t.Errorf("%s: %+v", kind, h)
		}
		state.SetServingStatus("my.Service", healthv1.HealthCheckResponse_SERVING)
		becomes(t, u, u.targets[0].ID, balancer.Healthy)
		server.Stop()
		<-done
		if h := becomes(t, u, u.targets[0].ID, balancer.Unhealthy); h.Detail != "2 connection failures" {
			t.Errorf("%s, gone: %+v", kind, h)
		}
	}
}

// TestChecksFollowChanges holds that a change of the upstream counts for the checks, and
// that they end with it.
func TestChecksFollowChanges(t *testing.T) {
	var calls, other atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/new" {
			other.Add(1)
		} else {
			calls.Add(1)
		}
	}))
	defer server.Close()
	target := []*entity.Target{named(server.Listener.Addr().String(), 1)}
	u := on(newBalancer(t, balancer.Options{}), active("http"), target)
	eventually(t, "checks are made", func() bool { return calls.Load() > 2 })
	u.e = active("http")
	u.e.HealthChecks.Active.HTTPPath = "/new"
	u.change(target)
	eventually(t, "the new path is checked", func() bool { return other.Load() > 2 })
	before := calls.Load()
	eventually(t, "more checks are made", func() bool { return other.Load() > 6 })
	if calls.Load() > before {
		t.Error("the old path is still checked")
	}
	u.e = active("http")
	u.e.HealthChecks.Active.Healthy.Interval, u.e.HealthChecks.Active.Unhealthy.Interval = 0, 0
	u.change(target)
	time.Sleep(50 * time.Millisecond) // one may be under way
	before = other.Load()
	time.Sleep(100 * time.Millisecond)
	if other.Load() > before {
		t.Error("checks that are off are made")
	}
	// A target of weight 0 is not checked, nor one that is dropped.
	u.e = active("http")
	u.change([]*entity.Target{named(target[0].Target, 0)})
	u.change(nil)
	u.b.Drop(u.Upstream)
	before = calls.Load()
	time.Sleep(100 * time.Millisecond)
	if calls.Load() > before {
		t.Error("a target without weight is checked")
	}
}

// TestChecksAreSpread holds that checks of many targets do not come at the same time, and
// that no more of an upstream's are under way than it says.
func TestChecksAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := active("http")
		e.HealthChecks.Active.Healthy.Interval, e.HealthChecks.Active.Unhealthy.Interval = 10, 10
		e.HealthChecks.Active.Concurrency = 3
		var weights []int
		for range 500 {
			weights = append(weights, 1)
		}
		list := targets(weights...)
		var running, most atomic.Int32
		var perSecond [600]atomic.Int32
		began := time.Now()
		balancer.ProbeWith(t, func(context.Context, string) (int, error) {
			n := running.Add(1)
			defer running.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				continue
			}
			time.Sleep(5 * time.Millisecond)
			return 200, nil
		}, func() { perSecond[int(time.Since(began)/time.Second)].Add(1) })
		on(newBalancer(t, balancer.Options{}), e, list)
		time.Sleep(2 * time.Minute)
		if most.Load() > 3 {
			t.Errorf("%d checks are under way at the same time, want 3 at most", most.Load())
		}
		checks := 0
		for second := 60; second < 100; second++ {
			n := int(perSecond[second].Load())
			checks += n
			if n > 90 {
				t.Errorf("%d of 500 targets are checked within the second %d, want about 50", n, second)
			}
		}
		if checks < 1800 || checks > 2200 {
			t.Errorf("%d checks in 40 seconds of 500 targets each 10, want about 2000", checks)
		}
	})
}
