package controlclient

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/counters"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
)

// Traffic is what the node has counted, as package counters keeps it.
type Traffic interface {
	// Slices returns those behind a sequence that nobody has confirmed, the oldest first,
	// up to about as many deltas.
	Slices(after uint64, deltas int) []counters.Slice
	// Confirm forgets those up to a sequence.
	Confirm(sequence uint64)
}

const (
	// The control plane says how often it wants to hear of traffic; until then, and at the
	// most and the least, these are the times.
	trafficInterval = 2 * time.Second
	trafficFastest  = 500 * time.Millisecond
	trafficSlowest  = time.Minute
	// mostTraffic bounds a message, in deltas of some 150 bytes.
	mostTraffic = 1500
	// unconfirmed is how many beats of the control plane may not confirm anything before
	// it is taken for one that does not know traffic.
	unconfirmed = 3
)

// traffic sends what the node has counted until ctx ends. What an earlier session has
// sent is sent again unless it was confirmed; the control plane knows what it has.
func (s *session) traffic(ctx context.Context) {
	timer := time.NewTimer(trafficInterval)
	defer timer.Stop()
	sent := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if s.deaf.Load() < unconfirmed {
			for {
				slices := s.c.o.Traffic.Slices(sent, mostTraffic)
				if len(slices) == 0 {
					break
				}
				if s.send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Traffic{Traffic: toTraffic(slices, time.Now())}}) != nil {
					return
				}
				sent = slices[len(slices)-1].Sequence
				s.told.Store(true)
			}
		}
		timer.Reset(s.trafficInterval())
	}
}

func (s *session) trafficInterval() time.Duration {
	if wanted := s.interval.Load(); wanted > 0 {
		return min(max(time.Duration(wanted), trafficFastest), trafficSlowest)
	}
	return trafficInterval
}

// trafficHeard takes what a beat of the control plane says of traffic.
func (s *session) trafficHeard(b *configv1.Beat) {
	if s.c.o.Traffic == nil {
		return
	}
	if ms := b.GetTrafficIntervalMs(); ms > 0 {
		s.interval.Store(int64(ms) * int64(time.Millisecond))
	}
	if sequence := b.GetTrafficSequence(); sequence > 0 {
		s.c.o.Traffic.Confirm(sequence)
		s.deaf.Store(0)
	} else if s.told.Load() {
		s.deaf.Add(1)
	}
}

func toTraffic(slices []counters.Slice, now time.Time) *configv1.Traffic {
	m := &configv1.Traffic{Slices: make([]*configv1.TrafficSlice, len(slices))}
	for i := range slices {
		s := &slices[i]
		out := &configv1.TrafficSlice{Sequence: s.Sequence, AgeMs: millis(now.Sub(s.End)), LengthMs: millis(s.Length), Lost: s.Lost}
		out.Series = make([]*configv1.TrafficSeries, len(s.Deltas))
		for j := range s.Deltas {
			d := &s.Deltas[j]
			out.Series[j] = &configv1.TrafficSeries{
				Workspace: d.Workspace, Service: d.Service, Route: d.Route, Statuses: pairs(d.Statuses),
				BytesIn: d.In, BytesOut: d.Out, UpstreamErrors: d.Failed,
				Total: gaps(d.Total), Upstream: gaps(d.Upstream), Gateway: gaps(d.Gateway),
			}
		}
		m.Slices[i] = out
	}
	return m
}

func millis(d time.Duration) uint32 {
	return uint32(min(max(d.Milliseconds(), 0), 1<<32-1))
}

func pairs(in []counters.Count) []uint32 {
	out := make([]uint32, 0, 2*len(in))
	for _, c := range in {
		out = append(out, c.Of, c.N)
	}
	return out
}

// gaps writes how many buckets are skipped in the place of a bucket's number.
func gaps(in []counters.Count) []uint32 {
	out := make([]uint32, 0, 2*len(in))
	next := uint32(0)
	for _, c := range in {
		out = append(out, c.Of-next, c.N)
		next = c.Of + 1
	}
	return out
}
