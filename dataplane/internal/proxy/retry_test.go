package proxy_test

import (
	"strings"
	"testing"
	"time"

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
	good, bad, worse := newRecordedUpstream(t, 1), newFailing(t, "500"), newFailing(t, "500")
	policy := func(retries int) schema.Object {
		return retryPlugin(schema.Object{"on": []any{"status"}, "statuses": []any{500}, "methods": []any{"POST"}, "retries": retries, "backoff": 1, "budget_percent": 100, "budget_min": 1000})
	}
	g.balanced(nil, nil, []string{bad.address(), worse.address(), good.address()}, policy(2))
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
