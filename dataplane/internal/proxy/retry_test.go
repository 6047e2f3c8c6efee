package proxy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/referencetest"
	"github.com/sluice-gateway/sluice/shared/schema"
)

func retryPlugin(config schema.Object) schema.Object {
	return schema.Object{"name": "retry", "config": config}
}

// TestRetryPolicies holds how many requests fail, with one of three targets that does,
// under policies beyond Kong's rules.
func TestRetryPolicies(t *testing.T) {
	const clients, each = 3, 30
	all := clients * each
	for _, c := range []struct {
		name, mode, method string
		config             schema.Object
		// low and high bound the failed requests.
		low, high int64
	}{
		{"statuses", "500", "GET", schema.Object{"on": []any{"status"}, "statuses": []any{500}, "budget_percent": 100}, 0, 0},
		{"statuses of methods that may not be repeated", "500", "POST", schema.Object{"on": []any{"status"}, "statuses": []any{500}, "budget_percent": 100}, int64(all/3 - 2), int64(all/3 + 2)},
		{"statuses of methods that may", "500", "POST", schema.Object{"on": []any{"status"}, "statuses": []any{500}, "methods": []any{"POST"}, "budget_percent": 100}, 0, 0},
		{"other statuses", "500", "GET", schema.Object{"on": []any{"status"}, "statuses": []any{503}, "budget_percent": 100}, int64(all/3 - 2), int64(all/3 + 2)},
		{"statuses that are not on", "500", "GET", schema.Object{"statuses": []any{500}, "budget_percent": 100}, int64(all/3 - 2), int64(all/3 + 2)},
		{"resets", "reset", "GET", schema.Object{"on": []any{"reset"}, "budget_percent": 100}, 0, 0},
		{"resets that are not on", "reset", "GET", schema.Object{"on": []any{"connect"}, "budget_percent": 100}, int64(all/3 - 2), int64(all/3 + 2)},
		{"per try timeout", "hang", "GET", schema.Object{"per_try_timeout": 50, "budget_percent": 100, "backoff": 0}, 0, 0},
		{"no retries", "reset", "GET", schema.Object{"retries": 0, "budget_percent": 100}, int64(all/3 - 2), int64(all/3 + 2)},
		// A tenth of what would be needed, at most the least of all.
		{"budget", "500", "GET", schema.Object{"on": []any{"status"}, "statuses": []any{500}, "budget_percent": 10, "budget_min": 1}, int64(all/3 - all/10 - 3), int64(all/3 - 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, nil)
			addresses := []string{newFailing(t, "ok").address(), newFailing(t, c.mode).address(), newFailing(t, "ok").address()}
			began := time.Now()
			g.balanced(schema.Object{"read_timeout": 60000}, nil, addresses, retryPlugin(c.config))
			if failed := g.load(c.method, clients, each, nil); failed < c.low || failed > c.high {
				t.Errorf("%d of %d requests fail, want %d to %d", failed, all, c.low, c.high)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestRetriedAnswer holds that the client gets one whole answer and nothing of those that
// were thrown away, and that the last one goes through when all are bad.
func TestRetriedAnswer(t *testing.T) {
	g := newGateway(t, nil)
	good, bad, worse := referencetest.NewUpstream(t, 1), newFailing(t, "500"), newFailing(t, "500")
	policy := func(retries int) schema.Object {
		return retryPlugin(schema.Object{"on": []any{"status"}, "statuses": []any{500}, "methods": []any{"POST"}, "retries": retries, "backoff": 1, "budget_percent": 100, "budget_min": 1000})
	}
	g.balanced(nil, nil, []string{bad.address(), worse.address(), good.Address()}, policy(2))
	for range 6 {
		r := g.do("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody")
		if r.StatusCode != 200 || r.Header.Get("X-Target") != "" || !strings.Contains(r.body, `"body":"body"`) {
			t.Fatalf("%d %v: %s", r.StatusCode, r.Header, r.body)
		}
	}
	g.balanced(nil, nil, []string{bad.address(), worse.address()}, policy(3))
	before := bad.calls.Load() + worse.calls.Load()
	r := g.do("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody")
	if calls := bad.calls.Load() + worse.calls.Load() - before; r.StatusCode != 500 || r.body != "ok" || calls != 4 {
		t.Errorf("%d %q after %d calls, want the last 500 after 4", r.StatusCode, r.body, calls)
	}
	if got := r.Header.Values("X-Target"); len(got) != 1 {
		t.Errorf("X-Target is there %d times", len(got))
	}
}

// TestHedging holds that a second target is asked when the first does not answer in time,
// that the first answer is the client's, whole, and that the slow try is ended.
func TestHedging(t *testing.T) {
	for _, fast := range []string{"ok", "500"} {
		g := newGateway(t, nil)
		slow, other := newFailing(t, "hang"), newFailing(t, fast)
		g.balanced(schema.Object{"read_timeout": 60000}, nil, []string{slow.address(), other.address()}, retryPlugin(schema.Object{
			"hedge_after": 30, "budget_percent": 100, "budget_min": 1000,
		}))
		want := map[string]int{"ok": 200, "500": 500}[fast]
		began := time.Now()
		for range 20 {
			r := g.do("GET /x?y HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if r.StatusCode != want || r.body != "ok" || r.Header.Get("X-Target") != other.address() || r.err != nil {
				t.Fatalf("%d %q %v", r.StatusCode, r.body, r.Header)
			}
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
		if slow.calls.Load() == 0 {
			t.Error("the slow target was never asked")
		}
		soon(t, "tries that lost are ended", func() bool {
			slow.mu.Lock()
			defer slow.mu.Unlock()
			return len(slow.open) == 0
		})
		// POST is not sent twice, and a target that hangs makes it wait.
		g.balanced(schema.Object{"read_timeout": 100}, nil, []string{slow.address()}, retryPlugin(schema.Object{"hedge_after": 10, "retries": 0}))
		before := slow.calls.Load()
		r := g.do("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
		if n := slow.calls.Load() - before; r.StatusCode != 504 || n != 1 {
			t.Errorf("POST: %d after %d calls", r.StatusCode, n)
		}
		// With one target that does not answer there is a timeout, once both tries have ended.
		if r := g.do("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); r.StatusCode != 504 {
			t.Errorf("GET at a target that hangs: %d", r.StatusCode)
		}
	}
}

// TestHedgingUnderLoad holds that answers stay whole when many requests are hedged.
func TestHedgingUnderLoad(t *testing.T) {
	g := newGateway(t, nil)
	g.balanced(nil, nil, []string{newFailing(t, "ok").address(), newFailing(t, "slow").address(), newFailing(t, "reset").address()}, retryPlugin(schema.Object{
		"hedge_after": 1, "retries": 5, "budget_percent": 100, "budget_min": 10000, "backoff": 0,
	}))
	if failed := g.load("GET", 4, 60, nil); failed > 0 {
		t.Errorf("%d requests fail", failed)
	}
}
