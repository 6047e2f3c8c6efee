package balancer_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/resolver/resolvertest"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// eventually waits for what happens in a goroutine of the resolver or checker.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("it does not come true: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// addresses picks so often and counts by address.
func addresses(t testing.TB, u picker, n int) map[string]int {
	t.Helper()
	out := map[string]int{}
	for range n {
		out[pick(t, u, nil, nil).Address]++
	}
	return out
}

func named(target string, weight int) *entity.Target {
	return &entity.Target{ID: target, Target: target, Weight: weight}
}

// TestTargetsFollowTheirRecords holds that a target which is a name has all addresses of
// its records, each with the target's weight, and follows them when they change.
func TestTargetsFollowTheirRecords(t *testing.T) {
	s := resolvertest.New(t, "a.test. 1 A 10.0.0.1", "a.test. 1 A 10.0.0.2", "b.test. 1 A 10.0.0.9")
	u := on(newBalancer(t, balancer.Options{}, s.Address), passive(1, 1, 1, 1), []*entity.Target{named("a.test:80", 10), named("b.test:81", 20)})
	got := addresses(t, u, 40)
	if fmt.Sprint(got) != "map[10.0.0.1:80:10 10.0.0.2:80:10 10.0.0.9:81:20]" {
		t.Errorf("%v", got)
	}
	// Health belongs to an address and stays with it.
	for {
		if p := pick(t, u, nil, nil); p.Address == "10.0.0.2:80" {
			p.Report(balancer.Failed, 0)
			break
		}
	}
	s.Say(t, "a.test. 1 A 10.0.0.2", "a.test. 1 A 10.0.0.3", "b.test. 1 A 10.0.0.9")
	eventually(t, "requests go to the new address and not to the old one", func() bool {
		got := addresses(t, u, 40)
		return got["10.0.0.3:80"] > 0 && got["10.0.0.1:80"] == 0
	})
	if got := addresses(t, u, 40); got["10.0.0.2:80"] > 0 {
		t.Error("the address that is down is picked after a change of the others")
	}
	h := stateOf(u, "a.test:80")
	if len(h.Addresses) != 2 || h.Health != balancer.Healthy || h.DNS != "A" || h.Addresses[0].Health != balancer.Unhealthy || h.Addresses[0].Why != "traffic" {
		t.Errorf("%+v", h)
	}
	// A name that is gone serves as long as stale answers do.
	s.Set(func(f *resolvertest.Faults) { f.Codes["a.test."] = dns.RcodeServerFailure })
	time.Sleep(1500 * time.Millisecond)
	if got := addresses(t, u, 10); got["10.0.0.3:80"] == 0 {
		t.Errorf("while the servers fail: %v", got)
	}
}

// TestServiceRecords holds that service records give ports and weights, and that only the
// ones with the best priority count.
func TestServiceRecords(t *testing.T) {
	s := resolvertest.New(
		t,
		"_w._tcp.test. 60 SRV 1 30 8001 a.test.", "_w._tcp.test. 60 SRV 1 10 8002 b.test.", "_w._tcp.test. 60 SRV 1 0 8003 b.test.", "_w._tcp.test. 60 SRV 9 100 8009 a.test.",
		"a.test. 60 A 10.0.0.1", "b.test. 60 A 10.0.0.2",
	)
	e := &entity.Upstream{UseSRVName: true}
	u := on(newBalancer(t, balancer.Options{}, s.Address), e, []*entity.Target{named("_w._tcp.test:80", 1000)})
	got := addresses(t, u, 82)
	if fmt.Sprint(got) != "map[10.0.0.1:8001:60 10.0.0.2:8002:20 10.0.0.2:8003:2]" {
		t.Errorf("%v", got)
	}
	p := pick(t, u, nil, nil)
	if p.Host != "a.test" || p.Port != 8001 {
		t.Errorf("the peer is %+v", p)
	}
	if h := stateOf(u, "_w._tcp.test:80"); h.DNS != "SRV" || len(h.Addresses) != 3 || h.Addresses[0].Weight != 30 {
		t.Errorf("%+v", h)
	}
	e.UseSRVName = false
	u.change(u.targets)
	if p := pick(t, u, nil, nil); p.Host != "_w._tcp.test" {
		t.Errorf("without use_srv_name the host is %s", p.Host)
	}
	// A host that is no upstream has the port of its service record, too.
	direct, err := u.b.Direct(t.Context(), "_w._tcp.test", 80)
	if err != nil || direct.Port == 80 {
		t.Errorf("%+v, %v", direct, err)
	}
}

// TestNamesThatDoNotResolve holds that other targets serve, and what is said when there
// are none.
func TestNamesThatDoNotResolve(t *testing.T) {
	s := resolvertest.New(t, "late.test. 60 A 10.0.0.5")
	b := newBalancer(t, balancer.Options{}, s.Address)
	u := on(b, &entity.Upstream{}, []*entity.Target{named("gone.test:80", 100), named("10.0.0.1:81", 100), named("10.0.0.2:82", 0)})
	for range 6 {
		if p := pick(t, u, nil, nil); p.Port != 81 {
			t.Errorf("goes to %d", p.Port)
		}
	}
	eventually(t, "the name is known not to exist", func() bool { return stateOf(u, "gone.test:80").Health == balancer.DNSError })
	if h := stateOf(u, "gone.test:80"); h.Why != "names" || h.Detail != "name does not exist" || h.Since == 0 {
		t.Errorf("%+v", h)
	}
	if r := b.Report(10); r.Unhealthy != 1 || r.Troubles[0].Health != balancer.DNSError {
		t.Errorf("%+v", r)
	}
	only := on(b, &entity.Upstream{ID: "v"}, []*entity.Target{named("gone.test:80", 100), named("10.0.0.1:81", 0)})
	if _, err := only.Pick(t.Context(), &pdk.Exchange{}, &balancer.Skip{}); !errors.Is(err, balancer.ErrResolve) {
		t.Errorf("nothing but names that are gone: %v", err)
	}
	// The first request waits for the name.
	late := on(b, &entity.Upstream{ID: "w"}, []*entity.Target{named("late.test:80", 100)})
	if p := pick(t, late, nil, nil); p.Address != "10.0.0.5:80" {
		t.Errorf("%+v", p)
	}
}

// TestLifetimeOfZero holds that a target whose records live for no time is resolved for
// each request.
func TestLifetimeOfZero(t *testing.T) {
	s := resolvertest.New(t, "z.test. 0 A 10.0.0.1")
	u := on(newBalancer(t, balancer.Options{}, s.Address), passive(1, 1, 1, 1), []*entity.Target{named("z.test:80", 100), named("10.0.0.99:81", 1)})
	eventually(t, "the name is known", func() bool { return len(stateOf(u, "z.test:80").Addresses) == 1 })
	for i := range 5 {
		want := fmt.Sprintf("10.0.0.%d", i+1)
		s.Say(t, "z.test. 0 A "+want)
		got := addresses(t, u, 20)
		if got[want+":80"] < 18 {
			t.Fatalf("%v, want %s", got, want)
		}
	}
	p := pick(t, u, nil, nil)
	for p.Port == 81 {
		p = pick(t, u, nil, nil)
	}
	p.Report(balancer.Failed, 0)
	if h := stateOf(u, "z.test:80"); h.Health != balancer.Unhealthy || h.Addresses[0].IP != "z.test" {
		t.Errorf("%+v", h)
	}
	if got := addresses(t, u, 5); got["10.0.0.99:81"] != 5 {
		t.Errorf("%v", got)
	}
}
