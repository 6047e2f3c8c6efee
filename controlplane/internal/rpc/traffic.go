package rpc

import (
	"errors"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/traffic"
	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
)

// counted takes what a node has counted.
func (s *service) counted(session *hub.Session, m *configv1.Traffic) error {
	session.Heard()
	if s.traffic == nil {
		return nil
	}
	list, err := toSlices(m)
	if err != nil {
		return err
	}
	if err := traffic.Check(list); err != nil {
		return err
	}
	s.traffic.Add(session.NodeID(), session.Process(), list)
	return nil
}

// confirm tells a node what there is of its traffic, and how often to send it.
func (s *service) confirm(session *hub.Session, b *configv1.Beat) {
	if s.traffic != nil {
		b.TrafficSequence = s.traffic.Sequence(session.Process())
		b.TrafficIntervalMs = uint32(traffic.Interval(s.hub.Connected()).Milliseconds()) //nolint:gosec // seconds
	}
}

var errPairs = errors.New("traffic with half a pair")

func toSlices(m *configv1.Traffic) ([]traffic.Slice, error) {
	if len(m.GetSlices()) > traffic.MaxSlices {
		return nil, errors.New("traffic has too many slices")
	}
	out := make([]traffic.Slice, len(m.GetSlices()))
	for i, in := range m.GetSlices() {
		s := &out[i]
		s.Sequence, s.Lost = in.GetSequence(), in.GetLost()
		s.Age, s.Length = time.Duration(in.GetAgeMs())*time.Millisecond, time.Duration(in.GetLengthMs())*time.Millisecond
		s.Cells = make([]traffic.Cell, len(in.GetSeries()))
		for j, c := range in.GetSeries() {
			to := &s.Cells[j]
			to.Key = traffic.Key{Workspace: c.GetWorkspace(), Service: c.GetService(), Route: c.GetRoute()}
			to.BytesIn, to.BytesOut, to.UpstreamErrs = c.GetBytesIn(), c.GetBytesOut(), c.GetUpstreamErrors()
			for _, list := range []struct {
				to   *[]traffic.Count
				from []uint32
				gaps bool
			}{
				{&to.Statuses, c.GetStatuses(), false},
				{&to.Total, c.GetTotal(), true},
				{&to.Upstream, c.GetUpstream(), true},
				{&to.Gateway, c.GetGateway(), true},
			} {
				var err error
				if *list.to, err = toCounts(list.from, list.gaps); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// toCounts reads pairs; with gaps the first of each is how many were skipped.
func toCounts(in []uint32, gaps bool) ([]traffic.Count, error) {
	if len(in)%2 != 0 {
		return nil, errPairs
	}
	out := make([]traffic.Count, 0, len(in)/2)
	next := uint64(0)
	for i := 0; i < len(in); i += 2 {
		of := uint64(in[i])
		if gaps {
			of += next
			next = of + 1
		}
		out = append(out, traffic.Count{Of: uint32(min(of, 1<<32-1)), N: in[i+1]}) //nolint:gosec // bounded
	}
	return out, nil
}
