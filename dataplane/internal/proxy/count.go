package proxy

import (
	"github.com/sluice-gateway/sluice/dataplane/internal/counters"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// count adds an exchange that has ended to the counters of its route. w is nil for what
// could not be read as a request.
func (p *Proxy) count(w *walk, x *pdk.Exchange) {
	ref, worker := &p.unmatched, uint32(0)
	if w != nil {
		worker = w.worker
		if w.route != nil {
			ref = &w.route.Counters
		}
	}
	series := p.o.Counters.Known(ref)
	if series == nil {
		series = p.o.Counters.Series(ref, counterKey(x))
	}
	m := counters.Sample{
		Status: x.Response.Status, In: x.Request.Bytes, Out: max(x.Response.Bytes, x.Response.Sent),
		Total: x.Done.Sub(x.Start), Upstream: -1, Gateway: x.AccessDone.Sub(x.Start),
	}
	if x.Response.Status == 101 {
		m.Total = -1 // how long a tunnel was open is no latency
	}
	if n := len(x.Tries); n > 0 {
		m.Gateway, m.Upstream = x.UpstreamSent.Sub(x.Start), x.UpstreamFirst.Sub(x.UpstreamSent)
		for i := range x.Tries {
			if x.Tries[i].Err != "" {
				m.Failed++
			}
		}
	}
	p.o.Counters.Add(worker, series, &m)
}

func counterKey(x *pdk.Exchange) counters.Key {
	k := counters.Key{Workspace: x.Workspace}
	if x.Route != nil {
		k.Route = x.Route.ID
	}
	if x.Service != nil {
		k.Service = x.Service.ID
	} else if x.Route != nil && x.Route.Service != nil {
		k.Service = x.Route.Service.ID
	}
	return k
}
