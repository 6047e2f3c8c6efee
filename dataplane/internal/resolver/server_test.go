package resolver_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/dataplane/internal/resolver"
	"github.com/sluice-gateway/sluice/dataplane/internal/resolver/resolvertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is one that only tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// resolverFor asks these servers, with a resolv.conf of its own.
func resolverFor(t testing.TB, o resolver.Options, conf string, servers ...*resolvertest.Server) (*resolver.Resolver, *clock) {
	t.Helper()
	o.ResolvConf = filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(o.ResolvConf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		o.Servers = append(o.Servers, s.Address)
	}
	c := newClock()
	o.Now = c.Now
	r, err := resolver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, c
}

// lookup returns the addresses of a name, with ports and weights of services, or the
// error's text.
func lookup(t testing.TB, r *resolver.Resolver, name string) string {
	t.Helper()
	a, err := r.Lookup(t.Context(), name)
	if err != nil {
		return err.Error()
	}
	return text(a)
}
