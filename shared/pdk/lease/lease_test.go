package lease_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/lease"
)

// book grants as a control plane does.
type book struct {
	pdk.NoControl

	nodes int
	delay time.Duration

	mu    sync.Mutex
	taken map[string]map[string]uint64 // by counter and window, and by node
	away  bool
	calls int
}

// node is one node's way to the book.
type node struct {
	*book
	name string
}

func (n node) Lease(ctx context.Context, requests []pdk.LeaseRequest) ([]pdk.LeaseGrant, error) {
	n.mu.Lock()
	away := n.away
	n.calls++
	n.mu.Unlock()
	if away {
		return nil, pdk.ErrControlAway
	}
	time.Sleep(n.delay)
	if ctx.Err() != nil {
		return nil, pdk.ErrControlAway
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]pdk.LeaseGrant, len(requests))
	for i, r := range requests {
		key := fmt.Sprint(r.Counter, r.Start)
		if n.taken[key] == nil {
			n.taken[key] = map[string]uint64{}
		}
		n.taken[key][n.name] = r.Used + r.Held
		total := uint64(0)
		for _, t := range n.taken[key] {
			total += t
		}
		g := pdk.LeaseGrant{Ahead: r.Limit / 25 / uint64(n.nodes), Nodes: n.nodes}
		g.Granted = min(r.Limit-min(r.Limit, total), r.Waiting+min(r.Ahead, g.Ahead-min(g.Ahead, r.Held)))
		n.taken[key][n.name] += g.Granted
		g.Taken = total + g.Granted
		out[i] = g
	}
	return out, nil
}

func (b *book) set(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

// fleet makes tables of n nodes that run until the test ends.
func fleet(t *testing.T, b *book) []*lease.Table {
	t.Helper()
	b.taken = map[string]map[string]uint64{}
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	out := make([]*lease.Table, b.nodes)
	for i := range out {
		out[i] = lease.New(node{b, fmt.Sprint("n", i)})
		work.Go(func() { out[i].Run(ctx) })
	}
	t.Cleanup(func() {
		stop()
		work.Wait()
	})
	return out
}

func window(length int64) lease.Window {
	now := time.Now().Unix()
	return lease.Window{Start: now - now%length, End: now - now%length + length}
}

// load calls so many times a second on each node and returns how many came through.
func load(tables []*lease.Table, limit uint64, perSecond []int, seconds int) uint64 {
	var ok atomic.Uint64
	var work sync.WaitGroup
	w := window(60)
	for i, table := range tables {
		if perSecond[i] == 0 {
			continue
		}
		for range seconds * perSecond[i] {
			work.Go(func() {
				if _, yes := table.Counter("c").Take(w, limit); yes {
					ok.Add(1)
				}
			})
		}
	}
	work.Wait()
	return ok.Load()
}

func TestTotalOverUnevenNodes(t *testing.T) {
	limits := []uint64{1, 2, 10, 100, 3000}
	if testing.Short() {
		limits = limits[:4]
	}
	for _, limit := range limits {
		for _, share := range [][]int{{1, 1, 1}, {100, 10, 1}, {0, 0, 5}, {50, 50, 0}} {
			synctest.Test(t, func(t *testing.T) {
				b := &book{nodes: 3, delay: 2 * time.Millisecond}
				tables := fleet(t, b)
				total := 0
				for _, s := range share {
					total += s
				}
				rates := make([]int, 3)
				for i, s := range share {
					rates[i] = int(limit) * 2 * s / total
					if s > 0 {
						rates[i] = max(rates[i], 1)
					}
				}
				got := uint64(0)
				for range 3 {
					got += load(tables, limit, rates, 1)
					time.Sleep(2 * time.Second)
				}
				if got > limit || float64(got) < float64(limit)*0.95 {
					t.Errorf("limit %d, load %v: %d came through", limit, share, got)
				}
			})
		}
	}
}

func TestIdleSharesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{nodes: 2}
		tables := fleet(t, b)
		w := window(60)
		tables[0].Counter("c").Take(w, 1000) // holds 20 ahead
		tables[1].Counter("c").Take(w, 1000)
		time.Sleep(3 * time.Second)
		if got := load(tables, 1000, []int{0, 2000}, 1); got != 998 {
			t.Errorf("%d came through on the other node, want 998", got)
		}
	})
}

func TestWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tables := fleet(t, &book{nodes: 1})
		c := tables[0].Counter("c")
		w := window(60)
		next := lease.Window{Start: w.End, End: w.End + 60}
		if _, ok := c.Take(w, 1); !ok {
			t.Error("the first is refused")
		}
		if before, ok := c.Take(w, 1); ok || before != 1 {
			t.Errorf("the second passes, before it %d", before)
		}
		c.Undo(w)
		if _, ok := c.Take(w, 1); !ok {
			t.Error("what was given back is gone")
		}
		if before, ok := c.Take(next, 1); !ok || before != 0 {
			t.Errorf("the next window: %d %v", before, ok)
		}
		if _, ok := c.Take(w, 1); ok {
			t.Error("a late request opens its window again")
		}
		time.Sleep(3 * time.Minute)
		if n := tables[0].Len(); n != 0 {
			t.Errorf("%d counters are left", n)
		}
	})
}

func TestControlPlaneAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{nodes: 3}
		tables := fleet(t, b)
		w := window(60)
		for _, table := range tables { // they have heard how many they are
			if _, ok := table.Counter("c").Take(w, 100); !ok {
				t.Fatal("refused")
			}
		}
		b.set(true)
		time.Sleep(60 * time.Second)
		if got := load(tables, 100, []int{500, 500, 500}, 1); got < 90 || got > 100 {
			t.Errorf("%d came through while the control plane was away, want a third of 100 on each node", got)
		}
		// Back again it learns what was taken.
		b.mu.Lock()
		b.away, b.taken = false, map[string]map[string]uint64{}
		b.mu.Unlock()
		time.Sleep(time.Second)
		_ = load(tables, 100, []int{1, 1, 1}, 1)
		time.Sleep(time.Second)
		if got := load(tables, 100, []int{500, 500, 500}, 1); got > 4 {
			t.Errorf("%d more came through afterwards", got)
		}
	})
}

func TestNeverConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{nodes: 1, away: true}
		tables := fleet(t, b)
		if got := load(tables, 10, []int{100}, 1); got != 10 {
			t.Errorf("%d came through", got)
		}
		if b.calls > 3 {
			t.Errorf("the control plane was asked %d times in no time", b.calls)
		}
	})
}

// A control plane that hangs delays a request for a second, not one after the other.
func TestControlPlaneHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tables := fleet(t, &book{nodes: 1, delay: time.Minute})
		began := time.Now()
		tables[0].Counter("c").Take(window(3600), 10)
		tables[0].Counter("c").Take(window(3600), 10)
		tables[0].Counter("d").Take(window(3600), 10)
		if took := time.Since(began); took > 61*time.Second {
			t.Errorf("three requests took %v", took)
		}
		time.Sleep(2 * time.Minute)
	})
}

func TestAddAndCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tables := fleet(t, &book{nodes: 2})
		w := window(60)
		tables[0].Counter("c").Add(w, 10, 7)
		time.Sleep(time.Second)
		if got := tables[1].Counter("c").Count(w, 10); got != 7 {
			t.Errorf("the other node counts %d, want 7", got)
		}
		tables[1].Counter("c").Add(w, 10, 5)
		time.Sleep(11 * time.Second)
		if got := tables[0].Counter("c").Count(w, 10); got != 12 {
			t.Errorf("the first node counts %d, want 12", got)
		}
	})
}

func TestCountersAreBounded(t *testing.T) {
	table := lease.New(pdk.NoControl{})
	for i := range lease.MaxCounters + 5000 {
		table.Counter(fmt.Sprint(strings.Repeat("x", 10), i))
	}
	if n := table.Len(); n > lease.MaxCounters {
		t.Errorf("%d counters", n)
	}
}

// The config may go while requests wait.
func TestNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := lease.New(pdk.NoControl{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		table.Run(ctx)
		began := time.Now()
		if _, ok := table.Counter("c").Take(window(60), 1); ok || time.Since(began) > 5*time.Second {
			t.Errorf("passes %v after %v", ok, time.Since(began))
		}
	})
}
