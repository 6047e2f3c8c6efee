package counters_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/dataplane/internal/counters"
	"github.com/sluice-gateway/sluice/shared/sketch"
)

// clock is a clock that tests put forward.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) forward(d time.Duration) { c.at = c.at.Add(d) }

func newSet(o counters.Options) (*counters.Set, *clock) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	o.Now = c.now
	return counters.New(o), c
}

func add(s *counters.Set, ref *counters.Ref, k counters.Key, m counters.Sample) {
	series := s.Known(ref)
	if series == nil {
		series = s.Series(ref, k)
	}
	s.Add(0, series, &m)
}

// took is a sample that has latencies of so many milliseconds.
func took(status int, ms time.Duration) counters.Sample {
	return counters.Sample{Status: status, In: 10, Out: 100, Total: ms * time.Millisecond, Upstream: ms * time.Millisecond / 2, Gateway: -1}
}

func TestSlices(t *testing.T) {
	s, c := newSet(counters.Options{})
	a, b := counters.Key{Service: "s", Route: "a"}, counters.Key{Workspace: "w", Service: "s", Route: "b"}
	var refA, refB counters.Ref
	add(s, &refA, a, took(200, 3))
	add(s, &refA, a, took(200, 3))
	add(s, &refA, a, took(404, 40))
	failed := took(599, 1)
	failed.Failed, failed.Upstream = 2, -1
	add(s, &refB, b, failed)
	add(s, &refB, b, counters.Sample{Status: 9999, Total: -1, Upstream: -1, Gateway: 0})
	c.forward(time.Second)
	s.Cut()
	c.forward(time.Second)
	s.Cut() // nothing happened
	add(s, &refA, a, took(200, 3))
	c.forward(time.Second)
	s.Cut()

	list := s.Slices(0, 1000)
	if len(list) != 2 || list[0].Sequence != 1 || list[1].Sequence != 2 || list[0].Length != time.Second || !list[1].End.Equal(c.at) {
		t.Fatalf("slices %+v", list)
	}
	got := map[counters.Key]counters.Delta{}
	for _, d := range list[0].Deltas {
		got[d.Key] = d
	}
	three, forty := uint32(sketch.Bucket(3*time.Millisecond)), uint32(sketch.Bucket(40*time.Millisecond))
	want := map[counters.Key][][]counters.Count{
		a: {{{Of: 200, N: 2}, {Of: 404, N: 1}}, {{Of: three, N: 2}, {Of: forty, N: 1}}, nil},
		b: {{{Of: 0, N: 1}, {Of: 5, N: 1}}, {{Of: uint32(sketch.Bucket(time.Millisecond)), N: 1}}, {{Of: 0, N: 1}}},
	}
	for k, w := range want {
		d := got[k]
		if diff := cmp.Diff(w, [][]counters.Count{d.Statuses, d.Total, d.Gateway}); diff != "" {
			t.Errorf("%v (-want +got):\n%s", k, diff)
		}
	}
	if d := got[a]; d.In != 30 || d.Out != 300 || d.Failed != 0 || len(d.Upstream) != 2 {
		t.Errorf("a: %+v", d)
	}
	if d := got[b]; d.Failed != 2 || d.Upstream != nil {
		t.Errorf("b: %+v", d)
	}
	s.Confirm(1)
	if list := s.Slices(0, 1000); len(list) != 1 || list[0].Sequence != 2 {
		t.Errorf("after confirming: %+v", list)
	}
	if list := s.Slices(2, 1000); list != nil {
		t.Errorf("behind the last: %+v", list)
	}
	s.Confirm(99)
	if list := s.Slices(0, 1000); list != nil {
		t.Errorf("all are confirmed: %+v", list)
	}
}

func requests(list []counters.Slice) (n uint64) {
	for _, s := range list {
		n += s.Lost
		for _, d := range s.Deltas {
			for _, c := range d.Statuses {
				n += uint64(c.N)
			}
		}
	}
	return n
}

// TestNobodyTakes: what waits is bounded, and what is thrown away is told.
func TestNobodyTakes(t *testing.T) {
	s, c := newSet(counters.Options{})
	refs := make([]counters.Ref, 50)
	total := uint64(0)
	for range 1000 {
		for i := range refs {
			add(s, &refs[i], counters.Key{Route: fmt.Sprint(i)}, took(200, 1))
			total++
		}
		c.forward(time.Second)
		s.Cut()
	}
	list := s.Slices(0, 1<<30)
	if len(list) > 300 || len(list) < 100 {
		t.Errorf("%d slices wait", len(list))
	}
	if got := requests(list); got != total {
		t.Errorf("%d requests are accounted for, want %d", got, total)
	}
	if some := s.Slices(0, 120); len(some) != 2 {
		t.Errorf("%d slices of 50 make 120", len(some))
	}
	if one := s.Slices(0, 1); len(one) != 1 {
		t.Errorf("at least one goes: %d", len(one))
	}
}

// TestRoom: there is room for so many routes; the others count together, by workspace, until
// routes are idle.
func TestRoom(t *testing.T) {
	s, c := newSet(counters.Options{MaxSeries: 3})
	refs := make([]counters.Ref, 6)
	hit := func() {
		for i := range refs {
			k := counters.Key{Service: "s", Route: fmt.Sprint(i)}
			if i == 5 {
				k.Workspace = "w"
			}
			add(s, &refs[i], k, took(200, 1))
		}
	}
	keys := func() map[counters.Key]uint64 {
		c.forward(time.Second)
		s.Cut()
		list := s.Slices(0, 1000)
		out := map[counters.Key]uint64{}
		for _, d := range list[len(list)-1].Deltas {
			for _, n := range d.Statuses {
				out[d.Key] += uint64(n.N)
			}
		}
		return out
	}
	hit()
	want := map[counters.Key]uint64{
		{Service: "s", Route: "0"}: 1, {Service: "s", Route: "1"}: 1, {Service: "s", Route: "2"}: 1,
		{Route: counters.Rest}: 2, {Workspace: "w", Route: counters.Rest}: 1,
	}
	if diff := cmp.Diff(want, keys()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for range 12 { // two routes go on, one ends
		add(s, &refs[0], counters.Key{Service: "s", Route: "0"}, took(200, 1))
		add(s, &refs[1], counters.Key{Service: "s", Route: "1"}, took(200, 1))
		c.forward(time.Minute)
		s.Cut()
	}
	for i := range 3 {
		add(s, &refs[i+3], counters.Key{Service: "s", Route: fmt.Sprint(i + 3)}, took(200, 1))
	}
	want = map[counters.Key]uint64{{Service: "s", Route: "3"}: 1, {Route: counters.Rest}: 2}
	if diff := cmp.Diff(want, keys()); diff != "" {
		t.Errorf("after a while (-want +got):\n%s", diff)
	}
}

// TestManyWorkers: nothing is lost while slices are cut, series grow and retire.
func TestManyWorkers(t *testing.T) {
	s := counters.New(counters.Options{Books: 8, MaxSeries: 4})
	const workers, each = 8, 20_000
	refs := make([]counters.Ref, 6)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			m := took(200, 2)
			for i := range each {
				ref := &refs[i%len(refs)]
				series := s.Known(ref)
				if series == nil {
					series = s.Series(ref, counters.Key{Route: fmt.Sprint(i % len(refs))})
				}
				s.Add(uint32(w), series, &m)
			}
		})
	}
	done := make(chan struct{})
	go func() { wait.Wait(); close(done) }()
	total, buckets := uint64(0), uint64(0)
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		s.Cut()
		list := s.Slices(0, 1<<30)
		total += requests(list)
		for _, c := range list {
			for _, d := range c.Deltas {
				for _, b := range d.Total {
					buckets += uint64(b.N)
				}
			}
			s.Confirm(c.Sequence)
		}
	}
	if total != workers*each || buckets != total {
		t.Errorf("%d requests and %d latencies, want %d", total, buckets, workers*each)
	}
}

// TestRun cuts every second, and every few seconds when there are many series.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := counters.New(counters.Options{})
		var wait sync.WaitGroup
		ctx := t.Context()
		wait.Go(func() { _ = s.Run(ctx) })
		refs := make([]counters.Ref, 200)
		time.Sleep(time.Second / 2) // requests come between the cuts
		for range 10 {
			add(s, &refs[0], counters.Key{Route: "0"}, took(200, 1))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		fine := len(s.Slices(0, 1<<30))
		if fine < 9 {
			t.Errorf("%d slices in 10 seconds", fine)
		}
		for range 10 {
			for i := range refs {
				add(s, &refs[i], counters.Key{Route: fmt.Sprint(i)}, took(200, 1))
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if got := len(s.Slices(0, 1<<30)) - fine; got > 4 {
			t.Errorf("%d slices in 10 seconds with many series", got)
		}
	})
}

func TestNoAllocation(t *testing.T) {
	s := counters.New(counters.Options{})
	var ref counters.Ref
	m := took(200, 2)
	add(s, &ref, counters.Key{Route: "r"}, m)
	if n := testing.AllocsPerRun(1000, func() { s.Add(1, s.Known(&ref), &m) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	s := counters.New(counters.Options{})
	var ref counters.Ref
	m := took(200, 2)
	m.Gateway = 40 * time.Microsecond
	add(s, &ref, counters.Key{Route: "r"}, m)
	b.ReportAllocs()
	for b.Loop() {
		s.Add(1, s.Known(&ref), &m)
	}
}

func BenchmarkAddParallel(b *testing.B) {
	s := counters.New(counters.Options{})
	var ref counters.Ref
	m := took(200, 2)
	m.Gateway = 40 * time.Microsecond
	for range 3000 { // a busy series
		add(s, &ref, counters.Key{Route: "r"}, m)
	}
	s.Cut()
	var mu sync.Mutex
	next := uint32(0)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		mu.Lock()
		next++
		worker := next
		mu.Unlock()
		for p.Next() {
			s.Add(worker, s.Known(&ref), &m)
		}
	})
}

// BenchmarkCut is what a thousand routes with traffic cost in each slice.
func BenchmarkCut(b *testing.B) {
	s := counters.New(counters.Options{})
	refs := make([]counters.Ref, 1000)
	m := took(200, 2)
	for b.Loop() {
		for i := range refs {
			add(s, &refs[i], counters.Key{Route: fmt.Sprint(i)}, m)
		}
		s.Cut()
		s.Confirm(1 << 60)
	}
}
