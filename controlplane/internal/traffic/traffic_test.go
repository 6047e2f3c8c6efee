package traffic_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/traffic"
	"github.com/sluice-gateway/sluice/shared/sketch"
)

type fixture struct {
	*testing.T
	at       time.Time
	store    *traffic.Store
	sequence map[string]uint64
}

func newFixture(t *testing.T, bytes int64) *fixture {
	t.Helper()
	f := &fixture{T: t, at: time.Unix(1_800_000_000, 0), sequence: map[string]uint64{}}
	f.store = traffic.New(traffic.Options{MaxBytes: bytes, Now: func() time.Time { return f.at }})
	return f
}

// cell has n requests of 10 ms, of which one in ten failed.
func cell(k traffic.Key, n uint32) traffic.Cell {
	return traffic.Cell{
		Key: k, Statuses: []traffic.Count{{Of: 200, N: n - n/10}, {Of: 5, N: n / 10}}, BytesIn: uint64(n), BytesOut: 2 * uint64(n), UpstreamErrs: uint64(n / 10),
		Total: []traffic.Count{{Of: uint32(sketch.Bucket(10 * time.Millisecond)), N: n}},
	}
}

// send has a node tell of a second that ended just now.
func (f *fixture) send(node string, cells ...traffic.Cell) {
	f.Helper()
	f.sequence[node]++
	f.sends(node, traffic.Slice{Sequence: f.sequence[node], Length: time.Second, Cells: cells})
}

func (f *fixture) sends(node string, list ...traffic.Slice) {
	f.Helper()
	if err := traffic.Check(list); err != nil {
		f.Fatal(err)
	}
	f.store.Add(node, node+"/boot", list)
}

func (f *fixture) query(q traffic.Query) *traffic.Result {
	f.Helper()
	r, err := f.store.Query(q)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

var (
	keyA = traffic.Key{Service: "s1", Route: "a"}
	keyB = traffic.Key{Service: "s1", Route: "b"}
	keyC = traffic.Key{Workspace: "w", Service: "s2", Route: "c"}
)

func TestAddingUp(t *testing.T) {
	f := newFixture(t, 0)
	for range 60 {
		f.at = f.at.Add(time.Second)
		f.send("n1", cell(keyA, 10), cell(keyB, 20))
		f.send("n2", cell(keyA, 30), cell(keyC, 40), cell(traffic.Key{}, 50))
	}
	f.at = f.at.Add(time.Second)
	r := f.query(traffic.Query{Window: time.Minute, Step: 10 * time.Second, By: traffic.ByNode})
	if r.Total.Stats.Requests != 60*150 || r.Unmatched != 60*50 {
		t.Errorf("%d requests, %d without route", r.Total.Stats.Requests, r.Unmatched)
	}
	s := r.Total.Stats
	if s.Statuses["5xx"] != 60*15 || s.Codes["200"] != 60*135 || s.Codes["5xx"] != 60*15 || s.ErrorRate != 0.1 || s.UpstreamErrors != 60*15 {
		t.Errorf("statuses %v, codes %v, error rate %v, upstream errors %d", s.Statuses, s.Codes, s.ErrorRate, s.UpstreamErrors)
	}
	if s.BytesIn != 60*150 || s.BytesOut != 2*60*150 {
		t.Errorf("bytes %d and %d", s.BytesIn, s.BytesOut)
	}
	if l := s.Latency.Total; l == nil || math.Abs(l.P50-10) > 0.7 || math.Abs(l.Mean-10) > 0.7 || s.Latency.Upstream != nil {
		t.Errorf("latency %+v", s.Latency)
	}
	if len(r.Times) < 6 || len(r.Times) > 8 || r.Times[1]-r.Times[0] != 10 {
		t.Errorf("times %v", r.Times)
	}
	if len(r.Groups) != 2 || r.Groups[0].Node != "n2" || r.Groups[0].Stats.Requests != 60*120 || r.Groups[1].Stats.Requests != 60*30 {
		t.Errorf("groups %+v", r.Groups)
	}
	sum := uint64(0)
	for i, n := range r.Total.Points.Requests {
		sum += n
		if n != r.Groups[0].Points.Requests[i]+r.Groups[1].Points.Requests[i] {
			t.Errorf("point %d: %d is not the sum of the nodes", i, n)
		}
	}
	if sum != s.Requests || r.Total.Points.Rate[2] != 150 || r.Total.Points.P99[2] == nil || r.Total.Points.UpstreamP50[2] != nil {
		t.Errorf("points %+v", r.Total.Points)
	}
	if len(r.Services) != 2 || r.Services[0].Service != "s1" || r.Services[0].Stats.Requests != 60*60 || r.Services[0].Points != nil {
		t.Errorf("services %+v", r.Services)
	}
	if len(r.Routes) != 3 || r.Routes[2].Route != "b" {
		t.Errorf("routes %+v", r.Routes)
	}
	space, none := "w", ""
	for _, test := range []struct {
		name string
		q    traffic.Query
		want uint64
	}{
		{"node", traffic.Query{Node: "n1"}, 60 * 30},
		{"service", traffic.Query{Service: "s1"}, 60 * 60},
		{"route", traffic.Query{Route: "a"}, 60 * 40},
		{"route of a node", traffic.Query{Route: "a", Node: "n2"}, 60 * 30},
		{"workspace", traffic.Query{Workspace: &space}, 60 * 40},
		{"default workspace", traffic.Query{Workspace: &none}, 60 * 110},
		{"nothing", traffic.Query{Route: "a", Service: "s2"}, 0},
	} {
		r := f.query(test.q)
		if r.Total.Stats.Requests != test.want {
			t.Errorf("%s: %d requests, want %d", test.name, r.Total.Stats.Requests, test.want)
		}
	}
	if r := f.query(traffic.Query{Top: 1}); len(r.Routes) != 1 || r.Routes[0].Key != keyA && r.Routes[0].Key != keyC {
		t.Errorf("the busiest route is %+v", r.Routes)
	}
}

// TestNothingCountsTwice: what is sent again is known, whichever stream it comes on; another
// process begins anew.
func TestNothingCountsTwice(t *testing.T) {
	f := newFixture(t, 0)
	one := traffic.Slice{Sequence: 1, Length: time.Second, Age: 2 * time.Second, Cells: []traffic.Cell{cell(keyA, 10)}}
	two := traffic.Slice{Sequence: 2, Length: time.Second, Age: time.Second, Lost: 7, Cells: []traffic.Cell{cell(keyA, 10)}}
	f.sends("n", one)
	f.sends("n", one, two)
	f.sends("n", one, two)
	f.at = f.at.Add(time.Second)
	if r := f.query(traffic.Query{}); r.Total.Stats.Requests != 20 || r.Lost != 7 {
		t.Errorf("%d requests, %d lost", r.Total.Stats.Requests, r.Lost)
	}
	if f.store.Sequence("n/boot") != 2 || f.store.Sequence("n/other") != 0 {
		t.Errorf("sequences %d and %d", f.store.Sequence("n/boot"), f.store.Sequence("n/other"))
	}
	f.store.Add("n", "n/other", []traffic.Slice{one})
	if r := f.query(traffic.Query{}); r.Total.Stats.Requests != 30 {
		t.Errorf("%d requests with the restarted node", r.Total.Stats.Requests)
	}
}

// TestHour: after some minutes there are minutes, after an hour nothing; sums stay.
func TestHour(t *testing.T) {
	f := newFixture(t, 0)
	for range 3600 + 600 {
		f.at = f.at.Add(time.Second)
		f.send("n1", cell(keyA, 2))
		f.send("n2", cell(keyB, 3))
	}
	r := f.query(traffic.Query{Window: time.Hour, By: traffic.ByRoute})
	if r.Step != 60 || len(r.Times) < 59 || len(r.Times) > 61 {
		t.Errorf("step %d, %d points", r.Step, len(r.Times))
	}
	if r.Oldest < f.at.Unix()-3660 || r.Oldest > f.at.Unix()-3400 || r.Fine < f.at.Unix()-500 || r.Fine > f.at.Unix()-300 {
		t.Errorf("oldest %d s ago, fine since %d s ago", f.at.Unix()-r.Oldest, f.at.Unix()-r.Fine)
	}
	for i := 2; i < len(r.Times)-1; i++ {
		if r.Total.Points.Requests[i] != 300 || r.Groups[0].Points.Requests[i] != 180 {
			t.Fatalf("minute %d has %d requests, %d of the busiest", i, r.Total.Points.Requests[i], r.Groups[0].Points.Requests[i])
		}
	}
	r = f.query(traffic.Query{Window: time.Minute, Step: time.Second})
	if r.Step != 1 || r.Total.Points.Requests[30] != 5 {
		t.Errorf("step %d, %v", r.Step, r.Total.Points.Requests)
	}
	// Late news of ten minutes ago is added to its minute, of two hours ago to none.
	before := f.query(traffic.Query{Window: time.Hour}).Total.Stats.Requests
	f.sends("late", traffic.Slice{Sequence: 1, Age: 10 * time.Minute, Length: time.Second, Cells: []traffic.Cell{cell(keyA, 100)}},
		traffic.Slice{Sequence: 2, Age: 2 * time.Hour, Length: time.Second, Cells: []traffic.Cell{cell(keyA, 100)}})
	if got := f.query(traffic.Query{Window: time.Hour}).Total.Stats.Requests; got != before+100 {
		t.Errorf("%d requests more, want 100", got-before)
	}
	// Nobody says anything for hours, and the clock jumps back.
	f.at = f.at.Add(5 * time.Hour)
	if r := f.query(traffic.Query{Window: time.Hour}); r.Total.Stats.Requests != 0 {
		t.Errorf("%d requests after hours of silence", r.Total.Stats.Requests)
	}
	f.send("n1", cell(keyA, 2))
	f.at = f.at.Add(-24 * time.Hour)
	f.send("n1", cell(keyA, 2))
	f.at = f.at.Add(time.Second)
	if r := f.query(traffic.Query{Window: time.Hour}); r.Total.Stats.Requests != 2 {
		t.Errorf("%d requests after the clock went back", r.Total.Stats.Requests)
	}
}

// TestMemory: more than fits costs detail, not the sums of the last minutes, and no more
// memory.
func TestMemory(t *testing.T) {
	const most = 1 << 20
	f := newFixture(t, most)
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // no secret
	largest := int64(0)
	for range 1200 {
		f.at = f.at.Add(time.Second)
		for n := range 3 {
			cells := make([]traffic.Cell, 20)
			for i := range cells {
				cells[i] = cell(traffic.Key{Service: "s", Route: fmt.Sprint(i)}, 10)
				for b := range uint32(20) {
					cells[i].Upstream = append(cells[i].Upstream, traffic.Count{Of: b * 5, N: random.Uint32N(100)})
				}
			}
			f.send(fmt.Sprint("n", n), cells...)
		}
		largest = max(largest, f.store.Bytes())
	}
	if largest > most*11/10 {
		t.Errorf("%d bytes are used, %d may be", largest, most)
	}
	r := f.query(traffic.Query{Window: 2 * time.Minute, Delay: time.Second})
	if got := r.Total.Stats.Rate; got < 590 || got > 610 {
		t.Errorf("%v requests a second, want 600", got)
	}
	// Routes that come and go do not fill the memory.
	for i := range 30_000 {
		if i%100 == 0 {
			f.at = f.at.Add(time.Second)
		}
		f.send("n1", cell(traffic.Key{Service: "s", Route: fmt.Sprint("gone", i)}, 1))
		largest = max(largest, f.store.Bytes())
	}
	if largest > most*3/2 {
		t.Errorf("%d bytes are used by what comes and goes, %d may be", largest, most)
	}
}

func TestWrongQueriesAndNodes(t *testing.T) {
	f := newFixture(t, 0)
	for field, q := range map[string]traffic.Query{
		"window": {Window: 2 * time.Hour}, "step": {Window: time.Hour, Step: time.Second}, "top": {Top: -1}, "by": {By: "colour"},
	} {
		_, err := f.store.Query(q)
		if wrong, ok := errors.AsType[*traffic.Error](err); !ok || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for name, s := range map[string]traffic.Slice{
		"no sequence": {Length: time.Second},
		"long id":     {Sequence: 1, Cells: []traffic.Cell{{Key: traffic.Key{Route: string(make([]byte, 37))}}}},
		"status":      {Sequence: 1, Cells: []traffic.Cell{{Statuses: []traffic.Count{{Of: 1000, N: 1}}}}},
		"bucket":      {Sequence: 1, Cells: []traffic.Cell{{Total: []traffic.Count{{Of: sketch.Buckets, N: 1}}}}},
		"order":       {Sequence: 1, Cells: []traffic.Cell{{Total: []traffic.Count{{Of: 5, N: 1}, {Of: 5, N: 1}}}}},
		"many":        {Sequence: 1, Cells: make([]traffic.Cell, traffic.MaxCells+1)},
	} {
		if traffic.Check([]traffic.Slice{s}) == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if traffic.Check(make([]traffic.Slice, traffic.MaxSlices+1)) == nil {
		t.Error("too many slices are taken")
	}
}

// BenchmarkQuery is five minutes of three nodes with a hundred busy routes each.
func BenchmarkQuery(b *testing.B) {
	at := time.Unix(1_800_000_000, 0)
	s := traffic.New(traffic.Options{Now: func() time.Time { return at }})
	for i := range 300 {
		at = at.Add(time.Second)
		for n := range 3 {
			cells := make([]traffic.Cell, 100)
			for j := range cells {
				cells[j] = cell(traffic.Key{Service: fmt.Sprint(j / 10), Route: fmt.Sprint(j)}, 10)
				for k := range uint32(10) {
					cells[j].Upstream = append(cells[j].Upstream, traffic.Count{Of: 50 + k, N: 3})
				}
			}
			s.Add(fmt.Sprint(n), fmt.Sprint(n), []traffic.Slice{{Sequence: uint64(i + 1), Length: time.Second, Cells: cells}})
		}
	}
	b.ReportMetric(float64(s.Bytes()), "bytes")
	for b.Loop() {
		if _, err := s.Query(traffic.Query{By: traffic.ByService}); err != nil {
			b.Fatal(err)
		}
	}
}
