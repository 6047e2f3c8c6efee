package proxy

import (
	"net/netip"

	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// phase runs a phase as run does, with a span of its own when that is asked for.
func (w *walk) phase(what pdk.Instrument, name string, i *plan.Instance, phase func(*pdk.Exchange) error) (ok bool) {
	if w.timing != nil {
		w.timing.plugin(i)
		defer w.timing.leavePlugin()
	}
	if w.x.Trace.On&what == 0 {
		return w.run(i, phase)
	}
	faults := w.faults
	span := w.x.Trace.Span(name, i.Plugin.Name, pdk.SpanInternal)
	ok = w.run(i, phase)
	w.x.Trace.End(span, w.faults > faults)
	return ok
}

// begin begins a span and returns its number for end, -1 when it is not asked for.
func (w *walk) begin(what pdk.Instrument, name, plugin string, kind uint8) int {
	if w.x.Trace.On&what == 0 {
		return -1
	}
	return w.x.Trace.Span(name, plugin, kind)
}

func (w *walk) end(span int, failed bool) {
	if span >= 0 {
		w.x.Trace.End(span, failed)
	}
}

// lookup begins the span of looking a name up; an address is not looked up.
func (w *walk) lookup(up *pdk.Upstream) int {
	if _, err := netip.ParseAddr(up.Host); err == nil {
		return -1
	}
	span := w.x.Trace.Span("kong.dns", "", pdk.SpanClient)
	s := &w.x.Trace.Spans[span]
	s.Domain, s.Port = up.Host, up.Port
	return span
}
