package lease_test

import (
	"math"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/lease"
)

func clock() (*time.Time, func() time.Time) {
	now := time.Unix(1000, 0)
	return &now, func() time.Time { return now }
}

func ask(counter string, limit, used, held, waiting, ahead uint64) lease.Request {
	return lease.Request{Counter: counter, Start: 960, End: 1020, Limit: limit, Used: used, Held: held, Waiting: waiting, Ahead: ahead}
}

func TestLimitIsNeverExceeded(t *testing.T) {
	_, now := clock()
	b := lease.New(lease.Options{Now: now})
	used := map[string]uint64{}
	total := uint64(0)
	for i := range 400 {
		node := []string{"a", "a", "a", "a", "b", "b", "c"}[i%7]
		g, ok := b.Lease(node, 3, ask("x", 100, used[node], 0, 1, 0))
		if !ok {
			t.Fatal("refused")
		}
		used[node] += g.Granted
		total += g.Granted
	}
	if total != 100 {
		t.Errorf("granted %d of 100", total)
	}
	if g, _ := b.Lease("d", 3, ask("x", 100, 0, 0, 5, 5)); g.Granted != 0 || g.Taken != 100 {
		t.Errorf("nothing is left, got %+v", g)
	}
	if g, _ := b.Lease("d", 3, ask("y", 100, 0, 0, 5, 0)); g.Granted != 5 {
		t.Errorf("another counter: %+v", g)
	}
}

func TestAheadIsBounded(t *testing.T) {
	_, now := clock()
	b := lease.New(lease.Options{Now: now})
	g, _ := b.Lease("a", 3, ask("x", 3000, 0, 0, 1, 1000))
	if g.Ahead != 40 || g.Granted != 41 {
		t.Errorf("got %+v, want 1 waited for and 40 ahead", g)
	}
	g, _ = b.Lease("a", 3, ask("x", 3000, 11, 30, 0, 1000))
	if g.Granted != 10 {
		t.Errorf("holding 30 of 40 it is granted %d more", g.Granted)
	}
	// What it gives back is there for others.
	g, _ = b.Lease("a", 3, ask("x", 3000, 11, 0, 0, 0))
	if g.Granted != 0 || g.Taken != 11 {
		t.Errorf("after giving back: %+v", g)
	}
	if g, _ = b.Lease("b", 3, ask("x", 10, 0, 0, 0, 5)); g.Ahead != 0 || g.Granted != 0 {
		t.Errorf("small limits are not held ahead of need: %+v", g)
	}
}

func TestNewBookLearns(t *testing.T) {
	_, now := clock()
	b := lease.New(lease.Options{Now: now})
	b.Lease("a", 2, ask("x", 100, 60, 0, 0, 0))
	if g, _ := b.Lease("b", 2, ask("x", 100, 30, 0, 20, 0)); g.Granted != 10 {
		t.Errorf("90 are used, but %d were granted", g.Granted)
	}
}

func TestBounds(t *testing.T) {
	at, now := clock()
	b := lease.New(lease.Options{Now: now, Max: 2})
	for _, name := range []string{"x", "y"} {
		if _, ok := b.Lease("a", 1, ask(name, 10, 0, 0, 1, 0)); !ok {
			t.Errorf("%s is refused", name)
		}
	}
	if _, ok := b.Lease("a", 1, ask("z", 10, 0, 0, 1, 0)); ok {
		t.Error("a third counter has no room")
	}
	*at = at.Add(time.Minute)
	if _, ok := b.Lease("a", 1, ask("z", 10, 0, 0, 1, 0)); !ok || b.Len() != 1 {
		t.Errorf("windows that have passed make room: %v, %d", ok, b.Len())
	}
	// Numbers that no node can mean do not go round.
	if g, _ := b.Lease("a", 1, ask("z", 10, math.MaxUint64, math.MaxUint64, math.MaxUint64, 0)); g.Granted != 0 {
		t.Errorf("granted %+v", g)
	}
}
