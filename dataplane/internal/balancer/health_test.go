package balancer_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// passive is an upstream with passive checks.
func passive(successes, statuses, refused, silent int) *entity.Upstream {
	e := &entity.Upstream{}
	e.HealthChecks.Passive = entity.PassiveCheck{
		Healthy:   entity.CheckHealthy{HTTPStatuses: []int{200, 204}, Successes: successes},
		Unhealthy: entity.CheckUnhealthy{HTTPStatuses: []int{500, 503}, HTTPFailures: statuses, TCPFailures: refused, Timeouts: silent},
	}
	return e
}

// stateOf returns the health of a target.
func stateOf(u *fixture, id string) balancer.TargetHealth { return u.Health().Targets[id] }

// TestPassiveCounters holds how outcomes of requests are counted: statuses, connection
// failures and timeouts on their own, successes begin them all anew.
func TestPassiveCounters(t *testing.T) {
	const ok, bad, other, refused, silent = 200, 500, 404, -1, -2
	for _, c := range []struct {
		name                  string
		good, http, tcp, time int
		outcomes              []int
		want                  string
		detail                string
	}{
		{"below the limit", 1, 3, 2, 2, []int{bad, bad}, balancer.Healthy, ""},
		{"statuses", 1, 3, 2, 2, []int{bad, bad, 503}, balancer.Unhealthy, "3 bad statuses, the last one 503"},
		{"connections", 1, 3, 2, 2, []int{refused, refused}, balancer.Unhealthy, "2 connection failures"},
		{"timeouts", 1, 3, 2, 2, []int{silent, silent}, balancer.Unhealthy, "2 timeouts"},
		{"each on its own", 1, 3, 2, 2, []int{bad, bad, refused, silent}, balancer.Healthy, ""},
		{"a success between", 1, 2, 2, 2, []int{bad, ok, bad, ok, bad}, balancer.Healthy, ""},
		{"successes that are not counted", 0, 2, 2, 2, []int{bad, ok, bad}, balancer.Unhealthy, "2 bad statuses, the last one 500"},
		{"statuses that say nothing", 1, 1, 1, 1, []int{other, other, other}, balancer.Healthy, ""},
		{"counters that are off", 1, 0, 0, 1, []int{bad, bad, refused, refused}, balancer.Healthy, ""},
		{"not enough successes", 3, 1, 1, 1, []int{bad, ok, ok}, balancer.Unhealthy, "1 bad statuses, the last one 500"},
		{"enough successes", 3, 1, 1, 1, []int{bad, ok, ok, ok}, balancer.Healthy, "3 successes"},
		{"successes in a row", 2, 1, 1, 1, []int{bad, ok, bad, ok}, balancer.Unhealthy, "1 bad statuses, the last one 500"},
		{"nothing is on", 0, 0, 0, 0, []int{bad, refused, silent, ok}, balancer.ChecksOff, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newUpstream(t, passive(c.good, c.http, c.tcp, c.time), targets(1, 1))
			p := pick(t, u, nil, nil)
			for _, o := range c.outcomes {
				switch o {
				case refused:
					p.Report(balancer.Failed, 0)
				case silent:
					p.Report(balancer.TimedOut, 0)
				default:
					p.Report(balancer.Answered, o)
				}
			}
			h := stateOf(u, "t1")
			if h.Health != c.want || h.Detail != c.detail {
				t.Errorf("%s because of %q, want %s because of %q", h.Health, h.Detail, c.want, c.detail)
			}
			if h.Detail != "" && (h.Why != "traffic" || time.Since(time.Unix(h.Since, 0)) > time.Minute) {
				t.Errorf("since %d because of %q", h.Since, h.Why)
			}
			if other := stateOf(u, "t2"); other.Health == balancer.Unhealthy {
				t.Error("the other target is down, too")
			}
			for range 4 {
				if got := pick(t, u, nil, nil); got.Port == 1 && c.want == balancer.Unhealthy {
					t.Error("a target that is down is picked")
				}
			}
		})
	}
}

// TestHealthSurvivesChanges holds that new views know what the ones before knew, and that
// a target that comes back within minutes has the health that it had.
func TestHealthSurvivesChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream(t, passive(1, 1, 1, 1), targets(1, 1))
		p := pick(t, u, nil, nil)
		p.Report(balancer.Failed, 0)
		u.change(targets(1, 5, 7))
		if h := stateOf(u, "t1").Health; h != balancer.Unhealthy {
			t.Errorf("after a change of other targets: %s", h)
		}
		u.change(targets(0, 1)) // drained, and back
		u.change(targets(1, 1))
		if h := stateOf(u, "t1").Health; h != balancer.Unhealthy {
			t.Errorf("after it was drained: %s", h)
		}
		u.change(targets()) // gone for four minutes
		time.Sleep(4 * time.Minute)
		u.change(targets(1, 1))
		if h := stateOf(u, "t1").Health; h != balancer.Unhealthy {
			t.Errorf("after four minutes without it: %s", h)
		}
		u.change(targets())
		time.Sleep(10 * time.Minute)
		u.change(targets(1, 1))
		if h := stateOf(u, "t1").Health; h != balancer.Healthy {
			t.Errorf("after ten minutes without it: %s", h)
		}
	})
}

// TestMarks holds that a mark is obeyed once, also by a node that starts later, and that
// checks may change what it said.
func TestMarks(t *testing.T) {
	u := newUpstream(t, passive(1, 1, 1, 1), targets(1, 1))
	down := pick(t, u, nil, nil)
	u.mark("t1", false)
	if h := stateOf(u, "t1"); h.Health != balancer.Unhealthy || h.Why != "by hand" || h.Since != u.marked/1000 {
		t.Errorf("%+v", h)
	}
	down.Report(balancer.Answered, 200)
	if h := stateOf(u, "t1"); h.Health != balancer.Healthy || h.Why != "traffic" {
		t.Errorf("after a success: %+v", h)
	}
	u.change(u.targets)
	if h := stateOf(u, "t1"); h.Health != balancer.Healthy {
		t.Errorf("the mark was obeyed a second time: %+v", h)
	}
	u.mark("t1", false)
	u.mark("t1", true)
	if h := stateOf(u, "t1"); h.Health != balancer.Healthy || h.Why != "by hand" {
		t.Errorf("marked down and up: %+v", h)
	}
	u.mark("t2", false)
	var marks []*entity.TargetMark
	for _, m := range u.marks {
		marks = append(marks, m)
	}
	restarted := newBalancer(t, balancer.Options{}).Upstream(u.e, u.targets, marks)
	if h := restarted.Health().Targets["t2"]; h.Health != balancer.Unhealthy || h.Why != "by hand" || h.Since != u.marked/1000 {
		t.Errorf("on a node that starts later: %+v", h)
	}
	one := newBalancer(t, balancer.Options{}).Upstream(u.e, u.targets, []*entity.TargetMark{
		{Target: &entity.Ref{ID: "t1"}, Address: "10.0.0.1:1", At: 1}, {Target: &entity.Ref{ID: "t2"}, Address: "10.0.0.9:2", At: 1},
	}).Health().Targets
	if one["t1"].Health != balancer.Unhealthy || one["t2"].Health != balancer.Healthy {
		t.Errorf("marks of addresses: %+v", one)
	}
}

func TestThreshold(t *testing.T) {
	e := passive(1, 1, 1, 1)
	e.HealthChecks.Threshold = 50
	u := newUpstream(t, e, targets(40, 30, 30))
	u.mark("t1", false)
	pick(t, u, nil, nil) // 60 % are there
	u.mark("t2", false)
	if _, err := u.Pick(t.Context(), &pdk.Exchange{}, &balancer.Skip{}); !errors.Is(err, balancer.ErrNoPeer) {
		t.Errorf("with 30 %% of the weight: %v", err)
	}
	if h := u.Health(); h.Health != balancer.Unhealthy || h.Available != 30 || h.Total != 100 {
		t.Errorf("%+v", h)
	}
	u.mark("t1", true)
	pick(t, u, nil, nil)
}

// counted picks so often and counts by port.
func counted(t *testing.T, u picker, n int) map[int]int {
	t.Helper()
	out := map[int]int{}
	for range n {
		out[pick(t, u, nil, nil).Port]++
	}
	return out
}

func TestFailover(t *testing.T) {
	list := targets(1, 1, 1, 1)
	list[2].Failover, list[3].Failover = true, true
	for _, a := range algorithms {
		u := newUpstream(t, &entity.Upstream{Algorithm: a, HashOn: "path", StickySessionsCookie: "c"}, list)
		if got := counted(t, u, 40); got[3]+got[4] > 0 {
			t.Errorf("%s: with all there: %v", a, got)
		}
		u.mark("t1", false)
		if got := counted(t, u, 40); got[2] != 40 {
			t.Errorf("%s: with one there: %v", a, got)
		}
		u.mark("t2", false)
		if got := counted(t, u, 40); got[3]+got[4] != 40 {
			t.Errorf("%s: with none there: %v", a, got)
		}
		u.mark("t1", true)
		if got := counted(t, u, 40); got[1] != 40 {
			t.Errorf("%s: with one back: %v", a, got)
		}
	}
}

func TestZones(t *testing.T) {
	list := targets(1, 1, 1, 1, 1)
	list[0].Tags, list[1].Tags = []string{"zone:a"}, []string{"x", "zone:a"}
	list[2].Tags = []string{"zone:b"}
	for label, want := range map[string][]int{"a": {1, 2}, "b": {3}, "c": {1, 2, 3, 4, 5}, "": {1, 2, 3, 4, 5}} {
		labels := map[string]string{"zone": label}
		if label == "" {
			labels = nil
		}
		u := on(newBalancer(t, balancer.Options{Labels: labels}), &entity.Upstream{ZoneLabel: "zone"}, list)
		got := counted(t, u, 60)
		for _, port := range want {
			if got[port] != 60/len(want) {
				t.Errorf("a node in zone %q: %v, want equal parts for %v", label, got, want)
			}
		}
	}
	// Half of the zone is enough; with less than that all are used.
	u := on(newBalancer(t, balancer.Options{Labels: map[string]string{"zone": "a"}}), &entity.Upstream{ZoneLabel: "zone"}, list)
	u.mark("t1", false)
	if got := counted(t, u, 10); got[2] != 10 {
		t.Errorf("half of the zone: %v", got)
	}
	u.mark("t2", false)
	if got := counted(t, u, 30); got[3] != 10 || got[4] != 10 || got[5] != 10 {
		t.Errorf("nothing of the zone: %v", got)
	}
}

// TestSlowStart holds that targets which are new or have recovered get to their share by
// and by, and that those of a start have it at once.
func TestSlowStart(t *testing.T) {
	for _, a := range []string{"round-robin", "least-connections", "latency"} {
		synctest.Test(t, func(t *testing.T) {
			u := newUpstream(t, &entity.Upstream{Algorithm: a, SlowStart: 100}, targets(100, 100))
			share := func() float64 {
				got := map[int]int{}
				var open []balancer.Peer
				for range 2000 {
					p := pick(t, u, nil, nil)
					p.Start()
					open = append(open, p)
					got[p.Port]++
				}
				for _, p := range open {
					p.Done()
				}
				return float64(got[3]) / 2000
			}
			if got := counted(t, u, 100); a == "round-robin" && got[1] != 50 {
				t.Errorf("%s: at the start: %v", a, got)
			}
			u.change(targets(100, 100, 100))
			// Of three, with a tenth of its weight: 0.1 of 2.1, with half: 0.5 of 2.5.
			for _, at := range []struct {
				after     time.Duration
				low, high float64
			}{{0, 0.03, 0.07}, {50 * time.Second, 0.16, 0.24}, {51 * time.Second, 0.30, 0.36}} {
				time.Sleep(at.after)
				if s := share(); s < at.low || s > at.high {
					t.Errorf("%s: %v later a new target gets %.3f, want %v to %v", a, at.after, s, at.low, at.high)
				}
			}
			u.mark("t3", false)
			u.mark("t3", true)
			if s := share(); s > 0.07 {
				t.Errorf("%s: a target that has recovered gets %.3f at once", a, s)
			}
		})
	}
}

// TestOutliers holds when targets are ejected, for how long, and that not too much of an
// upstream is.
func TestOutliers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &entity.Upstream{OutlierDetection: &entity.OutlierDetection{
			ConsecutiveErrors: 3, ErrorPercent: 50, MinRequests: 10, Interval: 10, EjectionTime: 30, MaxEjectionTime: 70, MaxEjectedPercent: 50,
		}}
		u := newUpstream(t, e, targets(1, 1, 1, 1))
		byPort := map[int]balancer.Peer{}
		for range 4 {
			p := pick(t, u, nil, nil)
			byPort[p.Port] = p
		}
		fail := func(port int, outcomes ...int) {
			for _, status := range outcomes {
				p := byPort[port]
				if status == 0 {
					p.Report(balancer.Failed, 0)
				} else {
					p.Report(balancer.Answered, status)
				}
			}
		}
		out := func(port int) bool { return counted(t, u, 40)[port] == 0 }
		fail(1, 0, 500, 200, 503, 0)
		if out(1) {
			t.Error("ejected without three failures in a row")
		}
		fail(1, 599)
		if !out(1) {
			t.Error("three failures in a row do not eject")
		}
		if h := stateOf(u, "t1"); h.Health != balancer.Unhealthy || h.Why != "outlier detection" || h.Detail != "3 failures in a row" {
			t.Errorf("%+v", h)
		}
		for range 10 {
			fail(2, 200, 500)
		}
		if !out(2) {
			t.Error("half of an interval's requests fail and it is not ejected")
		}
		// Half of the upstream is out: the others stay.
		fail(3, 0, 0, 0, 0, 0, 0, 0, 0)
		if out(3) {
			t.Error("more than the cap is ejected")
		}
		time.Sleep(31 * time.Second)
		if out(1) || out(2) {
			t.Error("they do not come back after the time of an ejection")
		}
		// Each further time takes as much longer, up to the most.
		for _, took := range []time.Duration{60, 70, 70} {
			fail(1, 0, 0, 0)
			time.Sleep((took - 1) * time.Second)
			if !out(1) {
				t.Errorf("it is back before %d seconds", took)
			}
			time.Sleep(2 * time.Second)
			if out(1) {
				t.Errorf("it is not back after %d seconds", took)
			}
		}
		time.Sleep(time.Hour)
		fail(1, 0, 0, 0)
		time.Sleep(31 * time.Second)
		if out(1) {
			t.Error("what was long ago still counts")
		}
		fail(4, 0, 0, 0)
		u.mark("t4", true)
		if out(4) {
			t.Error("a mark does not end an ejection")
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &entity.Upstream{Limits: &entity.UpstreamLimits{MaxConnections: 2, MaxPending: 2, MaxRequests: 5, PendingTimeout: 3}}
		u := newUpstream(t, e, targets(1))
		admit := func(want bool, why balancer.Refusal) {
			t.Helper()
			if ok, got := u.Admit(t.Context()); ok != want || got != why {
				t.Errorf("admitted %v %q, want %v %q", ok, got, want, why)
			}
		}
		admit(true, "")
		admit(true, "")
		began := time.Now()
		admit(false, balancer.RefusedTimeout)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it waited for %v", took)
		}
		results := make(chan time.Duration, 2)
		for i := range 2 {
			go func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if ok, why := u.Admit(t.Context()); !ok {
					t.Error(why)
				}
				results <- time.Since(began)
			}()
		}
		time.Sleep(time.Second)
		if h := u.Health(); h.Requests != 4 || h.Pending != 2 {
			t.Errorf("%+v", h)
		}
		admit(false, balancer.RefusedPending)
		u.Leave()
		first := <-results
		time.Sleep(time.Second)
		u.Leave()
		if second := <-results; second-first != time.Second {
			t.Errorf("they came in after %v and %v", first, second)
		}
		u.Leave()
		u.Leave()
		// All requests are bounded, waiting or not.
		e.Limits = &entity.UpstreamLimits{MaxConnections: 10, MaxRequests: 2}
		u.change(u.targets)
		admit(true, "")
		admit(true, "")
		admit(false, balancer.RefusedRequests)
		u.Leave()
		admit(true, "")
		u.Leave()
		u.Leave()
		e.Limits = nil
		u.change(u.targets)
		admit(false, "")
		if h := u.Health(); h.Requests != 0 || h.Pending != 0 {
			t.Errorf("what was let in and has left: %+v", h)
		}
	})
}

// TestReport holds what a node tells of its own accord.
func TestReport(t *testing.T) {
	b := newBalancer(t, balancer.Options{})
	u := on(b, passive(1, 1, 1, 1), targets(1, 1, 0))
	on(b, &entity.Upstream{ID: "v"}, targets(1))
	if r := b.Report(10); r.Upstreams != 2 || r.Targets != 4 || r.Unhealthy != 0 || len(r.Troubles) != 0 {
		t.Errorf("%+v", r)
	}
	u.mark("t2", false)
	p := pick(t, u, nil, nil)
	p.Report(balancer.Failed, 0)
	r := b.Report(1)
	if r.Unhealthy != 2 || len(r.Troubles) != 1 || fmt.Sprint(r.Troubles[0].Upstream, r.Troubles[0].Target, r.Troubles[0].Health, r.Troubles[0].Why) != "ut1UNHEALTHYtraffic" {
		t.Errorf("%+v", r)
	}
	b.Drop(u.Upstream)
	if r := b.Report(1); r.Upstreams != 1 || r.Unhealthy != 0 {
		t.Errorf("after it was dropped: %+v", r)
	}
}
