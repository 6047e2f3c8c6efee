package traffic

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/shared/sketch"
)

// By is what a result has series of beside the total.
type By string

// Groups of series.
const (
	ByNothing By = ""
	ByService By = "service"
	ByRoute   By = "route"
	ByNode    By = "node"
)

// Query asks for what happened.
type Query struct {
	// Window is how far back, up to an hour; 0 means 5 minutes. Step is how long a point
	// is; 0 means a sixtieth of the window, and what is longer ago than a few minutes has
	// minutes.
	Window, Step time.Duration
	// Delay is how much of the present is left out, because nodes have not told yet.
	Delay time.Duration
	// Node, Service and Route are ids; "" means all.
	Node, Service, Route string
	// Workspace by id, "" for the default one; nil means all.
	Workspace *string
	By        By
	// Top is how many services, routes and nodes are listed, the busiest first; 0 means 10.
	Top int
}

// Limits of a query.
const (
	Longest    = time.Hour
	MostPoints = 720
	MostTop    = 1000
	// mostSeries bounds the groups that have points.
	mostSeries = 50
)

// Result is what happened from From to To, in seconds since 1970.
type Result struct {
	From, To, Step int64
	// Oldest is since when there is anything, Fine since when seconds are kept.
	Oldest, Fine int64
	// Times are where the steps begin.
	Times []int64
	Total Group
	// Groups are those of Query.By, with points, the busiest first.
	Groups                  []Group
	Services, Routes, Nodes []Group
	// Unmatched are requests without a route. Lost are those that nodes have counted and
	// could not tell of.
	Unmatched, Lost uint64
}

// Group is a part of the traffic.
type Group struct {
	Key
	Node   string
	Stats  Stats
	Points *Points
}

// Stats are figures of a stretch of time.
type Stats struct {
	Requests uint64  `json:"requests"`
	Rate     float64 `json:"rate"`
	// Statuses are by class, such as "2xx", Codes by status; what has no code of its own
	// is there under its class.
	Statuses       map[string]uint64 `json:"statuses"`
	Codes          map[string]uint64 `json:"codes"`
	ErrorRate      float64           `json:"error_rate"`
	UpstreamErrors uint64            `json:"upstream_errors"`
	BytesIn        uint64            `json:"bytes_in"`
	BytesOut       uint64            `json:"bytes_out"`
	Latency        Latencies         `json:"latency"`
}

// Latencies of requests as a whole, of their upstreams, and of the gateway before it
// calls those.
type Latencies struct {
	Total    *Latency `json:"total"`
	Upstream *Latency `json:"upstream"`
	Gateway  *Latency `json:"gateway"`
}

// Latency is in milliseconds.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
}

// Points are figures step by step. Latencies are in milliseconds, nil where there was no
// request.
type Points struct {
	Requests       []uint64   `json:"requests"`
	Rate           []float64  `json:"rate"`
	S1xx           []uint64   `json:"1xx"`
	S2xx           []uint64   `json:"2xx"`
	S3xx           []uint64   `json:"3xx"`
	S4xx           []uint64   `json:"4xx"`
	S5xx           []uint64   `json:"5xx"`
	UpstreamErrors []uint64   `json:"upstream_errors"`
	BytesIn        []uint64   `json:"bytes_in"`
	BytesOut       []uint64   `json:"bytes_out"`
	P50            []*float64 `json:"p50"`
	P90            []*float64 `json:"p90"`
	P99            []*float64 `json:"p99"`
	UpstreamP50    []*float64 `json:"upstream_p50"`
	UpstreamP99    []*float64 `json:"upstream_p99"`
	GatewayP50     []*float64 `json:"gateway_p50"`
	GatewayP99     []*float64 `json:"gateway_p99"`
}

// Error says which field of a query is wrong.
type Error struct{ Field, Message string }

func (e *Error) Error() string { return e.Field + ": " + e.Message }

// normal fills in what is not asked for, and refuses what can't be.
func (q *Query) normal() error {
	if q.Window == 0 {
		q.Window = 5 * time.Minute
	}
	if q.Window < time.Second || q.Window > Longest {
		return &Error{"window", fmt.Sprintf("expected seconds from 1 to %.0f", Longest.Seconds())}
	}
	if q.Step == 0 {
		q.Step = max(time.Second, (q.Window / 60).Round(time.Second))
	}
	if q.Step < time.Second || q.Step > q.Window {
		return &Error{"step", "expected seconds from 1 to the window"}
	}
	if q.Window/q.Step > MostPoints {
		return &Error{"step", fmt.Sprintf("the window would have more than %d steps", MostPoints)}
	}
	if q.Top == 0 {
		q.Top = 10
	}
	if q.Top < 1 || q.Top > MostTop {
		return &Error{"top", fmt.Sprintf("expected a number from 1 to %d", MostTop)}
	}
	switch q.By {
	case ByNothing, ByService, ByRoute, ByNode:
	default:
		return &Error{"by", "expected one of: service, route, node"}
	}
	return nil
}

// part is a slot and when it begins.
type part struct {
	at    int64
	cells []byte
}

// Query answers. Its error is an *Error.
func (s *Store) Query(q Query) (*Result, error) {
	if err := q.normal(); err != nil {
		return nil, err
	}
	r := &Result{Step: int64(q.Step / time.Second)}
	parts, keys := s.collect(&q, r)
	wanted := make([]bool, len(keys))
	for i := range keys {
		wanted[i] = q.wants(&keys[i])
	}
	v := newView(&q, r, keys, wanted, parts)
	v.run(parts)
	v.finish()
	return r, nil
}

func (q *Query) wants(k *nodeKey) bool {
	return (q.Node == "" || q.Node == k.node) && (q.Service == "" || q.Service == k.Service) && (q.Route == "" || q.Route == k.Route) &&
		(q.Workspace == nil || *q.Workspace == k.Workspace)
}

// collect takes what there is in the window. Slots only grow, so that what is there now
// can be read without the lock.
func (s *Store) collect(q *Query, r *Result) ([]part, []nodeKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	s.ageLocked(now.Unix())
	r.Fine, r.Oldest = s.fineFrom, s.fineFrom
	r.To = now.Add(-q.Delay).Unix()
	if r.To-int64(q.Window/time.Second) < s.fineFrom && r.Step%60 != 0 {
		r.Step = (r.Step/60 + 1) * 60
	}
	r.From = r.To - int64(q.Window/time.Second)
	r.From -= r.From % r.Step
	var parts []part
	for minute, c := range s.minutes {
		r.Oldest = min(r.Oldest, minute*60)
		if minute*60 >= r.From && minute*60 < r.To {
			parts = append(parts, part{minute * 60, c.cells})
			r.Lost += c.lost
		}
	}
	for second, c := range s.seconds {
		if second >= r.From && second < r.To {
			parts = append(parts, part{second, c.cells})
			r.Lost += c.lost
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.at, b.at) })
	return parts, slices.Clip(s.keys)
}

// view adds cells up for one query.
type view struct {
	q       *Query
	r       *Result
	targets [][]*sum // by key: what its cells are added to
	total   *group
	lists   [3][]*group // services, routes, nodes
	stepped []*group    // those with points
}

// group is a Group that is being added up.
type group struct {
	Group

	all  sum
	step *sum // nil without points
}

// groupKey names a group of services, routes or nodes.
type groupKey struct{ workspace, service, route, node string }

func newView(q *Query, r *Result, keys []nodeKey, wanted []bool, parts []part) *view {
	v := &view{q: q, r: r, targets: make([][]*sum, len(keys)), total: &group{}}
	v.stepped = []*group{v.total}
	requests := make([]uint64, len(keys))
	for _, p := range parts {
		each(p.cells, func(key uint32, rest []byte) {
			if wanted[key] {
				requests[key] += requestsOf(rest)
			}
		})
	}
	by := [3]func(k *nodeKey) (groupKey, bool){
		func(k *nodeKey) (groupKey, bool) {
			return groupKey{workspace: k.Workspace, service: k.Service}, k.Service != ""
		},
		func(k *nodeKey) (groupKey, bool) {
			return groupKey{workspace: k.Workspace, service: k.Service, route: k.Route}, k.Route != ""
		},
		func(k *nodeKey) (groupKey, bool) { return groupKey{node: k.node}, true },
	}
	var groups [3]map[groupKey]*group
	for i, of := range by {
		groups[i] = v.choose(i, of, keys, requests)
	}
	if i := slices.Index([]By{ByService, ByRoute, ByNode}, q.By); i >= 0 {
		v.stepped = append(v.stepped, v.lists[i][:min(len(v.lists[i]), mostSeries)]...)
	}
	for _, g := range v.stepped {
		g.step, g.Points = &sum{}, &Points{}
	}
	for i := range keys {
		if requests[i] == 0 {
			continue
		}
		if keys[i].Route == "" {
			r.Unmatched += requests[i]
		}
		list := []*group{v.total}
		for j, of := range by {
			if at, ok := of(&keys[i]); ok && groups[j][at] != nil {
				list = append(list, groups[j][at])
			}
		}
		for _, g := range list {
			v.targets[i] = append(v.targets[i], &g.all)
			if g.step != nil {
				v.targets[i] = append(v.targets[i], g.step)
			}
		}
	}
	return v
}

// choose finds the busiest groups.
func (v *view) choose(list int, of func(k *nodeKey) (groupKey, bool), keys []nodeKey, requests []uint64) map[groupKey]*group {
	counts := map[groupKey]uint64{}
	for i := range keys {
		if requests[i] == 0 {
			continue
		}
		if at, ok := of(&keys[i]); ok {
			counts[at] += requests[i]
		}
	}
	order := make([]groupKey, 0, len(counts))
	for at := range counts {
		order = append(order, at)
	}
	slices.SortFunc(order, func(a, b groupKey) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.node, b.node), cmp.Compare(a.service, b.service), cmp.Compare(a.route, b.route),
			cmp.Compare(a.workspace, b.workspace))
	})
	out := map[groupKey]*group{}
	for _, at := range order[:min(len(order), v.q.Top)] {
		g := &group{Group: Group{Key: Key{at.workspace, at.service, at.route}, Node: at.node}}
		out[at] = g
		v.lists[list] = append(v.lists[list], g)
	}
	return out
}

func (v *view) run(parts []part) {
	var c Cell
	for begin := v.r.From; begin < v.r.To; begin += v.r.Step {
		end := min(begin+v.r.Step, v.r.To)
		for ; len(parts) > 0 && parts[0].at < end; parts = parts[1:] {
			each(parts[0].cells, func(key uint32, rest []byte) {
				targets := v.targets[key]
				if len(targets) == 0 {
					return
				}
				decode(rest, &c)
				for _, to := range targets {
					to.add(&c)
				}
			})
		}
		v.r.Times = append(v.r.Times, begin)
		for _, g := range v.stepped {
			g.Points.add(g.step, float64(end-begin))
			*g.step = sum{}
		}
	}
}

func (v *view) finish() {
	seconds := float64(v.r.To - v.r.From)
	done := func(list []*group) []Group {
		out := make([]Group, len(list))
		for i, g := range list {
			g.Stats = g.all.stats(seconds)
			out[i] = g.Group
		}
		return out
	}
	v.r.Total = done([]*group{v.total})[0]
	v.r.Services, v.r.Routes, v.r.Nodes = done(v.lists[0]), done(v.lists[1]), done(v.lists[2])
	v.r.Groups = done(v.stepped[1:])
	for _, list := range [][]Group{v.r.Services, v.r.Routes, v.r.Nodes} {
		for i := range list {
			list[i].Points = nil
		}
	}
}

func (s *sum) stats(seconds float64) Stats {
	out := Stats{
		Requests: s.requests, Rate: perSecond(s.requests, seconds), Statuses: map[string]uint64{}, Codes: map[string]uint64{},
		UpstreamErrors: s.errors, BytesIn: s.in, BytesOut: s.out,
		Latency: Latencies{latency(&s.total), latency(&s.upstream), latency(&s.gate)},
	}
	for n := 1; n <= 5; n++ {
		out.Statuses[strconv.Itoa(n)+"xx"] = s.class(n)
	}
	for i, n := range s.statuses {
		switch {
		case n == 0:
		case i < 10:
			out.Codes[strconv.Itoa(i)+"xx"] = n
		default:
			out.Codes[strconv.Itoa(i)] = n
		}
	}
	if s.requests > 0 {
		out.ErrorRate = round(float64(s.class(5)) / float64(s.requests))
	}
	return out
}

func (p *Points) add(s *sum, seconds float64) {
	p.Requests = append(p.Requests, s.requests)
	p.Rate = append(p.Rate, perSecond(s.requests, seconds))
	for i, to := range []*[]uint64{&p.S1xx, &p.S2xx, &p.S3xx, &p.S4xx, &p.S5xx} {
		*to = append(*to, s.class(i+1))
	}
	p.UpstreamErrors = append(p.UpstreamErrors, s.errors)
	p.BytesIn, p.BytesOut = append(p.BytesIn, s.in), append(p.BytesOut, s.out)
	for _, f := range []struct {
		to *[]*float64
		of *sketch.Counts
		q  float64
	}{
		{&p.P50, &s.total, 0.5},
		{&p.P90, &s.total, 0.9},
		{&p.P99, &s.total, 0.99},
		{&p.UpstreamP50, &s.upstream, 0.5},
		{&p.UpstreamP99, &s.upstream, 0.99},
		{&p.GatewayP50, &s.gate, 0.5},
		{&p.GatewayP99, &s.gate, 0.99},
	} {
		var v *float64
		if s.requests > 0 && f.of.Total() > 0 {
			ms := millis(f.of.Quantile(f.q))
			v = &ms
		}
		*f.to = append(*f.to, v)
	}
}

func latency(c *sketch.Counts) *Latency {
	if c.Total() == 0 {
		return nil
	}
	return &Latency{millis(c.Mean()), millis(c.Quantile(0.5)), millis(c.Quantile(0.9)), millis(c.Quantile(0.99))}
}

// millis has three digits behind the point, which are microseconds.
func millis(d time.Duration) float64 { return float64(d.Round(time.Microsecond)) / 1e6 }

func perSecond(n uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return round(float64(n) / seconds)
}

// round keeps a figure short: nobody reads more than six digits behind the point.
func round(v float64) float64 { return float64(int64(v*1e6+0.5)) / 1e6 }
