package retry_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/retry"
)

// policyOf returns the policy that a config hands to an exchange.
func policyOf(t *testing.T, config string) *pdk.RetryPolicy {
	t.Helper()
	p := pdktest.Build(t, pdktest.Options{Plugin: retry.Plugin, Config: config})
	x := &pdk.Exchange{Start: time.Now()}
	if err := p.Phases.Access(x); err != nil {
		t.Fatal(err)
	}
	return x.Retry
}

func TestPolicy(t *testing.T) {
	ignore := cmpopts.IgnoreFields(pdk.RetryPolicy{}, "Allow")
	for config, want := range map[string]pdk.RetryPolicy{
		`{}`: {
			Retries: 2, On: pdk.FaultConnect | pdk.FaultTimeout | pdk.FaultReset, Statuses: []int{502, 503, 504},
			Methods: []string{"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"}, Backoff: 25 * time.Millisecond, MaxBackoff: 250 * time.Millisecond,
		},
		`{"retries":0,"on":["status","invalid"],"statuses":[500],"methods":["POST"],"per_try_timeout":1500,"backoff":0,"max_backoff":0,"hedge_after":40}`: {
			On: pdk.FaultStatus | pdk.FaultInvalid, Statuses: []int{500}, Methods: []string{"POST"}, PerTry: 1500 * time.Millisecond, Hedge: 40 * time.Millisecond,
		},
	} {
		if diff := cmp.Diff(want, *policyOf(t, config), ignore); diff != "" {
			t.Errorf("%s (-want +got)\n%s", config, diff)
		}
	}
	for config, field := range map[string]string{
		`{"retries":101}`:                   "retries",
		`{"on":["luck"]}`:                   "on",
		`{"statuses":[42]}`:                 "statuses",
		`{"methods":["get"]}`:               "methods",
		`{"backoff":500,"max_backoff":400}`: "max_backoff",
		`{"budget_percent":101}`:            "budget_percent",
		`{"per_try_timeout":-1}`:            "per_try_timeout",
		`{"hedge_after":"soon"}`:            "hedge_after",
	} {
		if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: retry.Plugin, Config: config}); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", config, err)
		}
	}
}

// TestBudget holds that further tries are bounded to a share of the requests, but for the
// least that ten seconds may have.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pdktest.Build(t, pdktest.Options{Plugin: retry.Plugin, Config: `{"budget_percent":10,"budget_min":3}`})
		allowed := func(requests, asked int) (n int) {
			var policy *pdk.RetryPolicy
			for range max(requests, 1) {
				x := &pdk.Exchange{Start: time.Now()}
				if requests == 0 {
					x.Start = time.Now().Add(-time.Hour)
				}
				if err := p.Phases.Access(x); err != nil {
					t.Fatal(err)
				}
				policy = x.Retry
			}
			for range asked {
				if policy.Allow() {
					n++
				}
			}
			return n
		}
		if n := allowed(1, 100); n != 3 {
			t.Errorf("of one request %d further tries are allowed, want the least of 3", n)
		}
		if n := allowed(99, 100); n != 7 {
			t.Errorf("of 100 requests %d more are allowed, want 7: a tenth of them all", n)
		}
		time.Sleep(9 * time.Second)
		if n := allowed(0, 100); n != 0 {
			t.Errorf("%d more are allowed although nothing has ended", n)
		}
		time.Sleep(2 * time.Second)
		if n := allowed(0, 100); n != 3 {
			t.Errorf("%d are allowed when the requests no longer count, want 3", n)
		}
	})
}
