package pdktest

import (
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Allocations returns how many allocations the request phases of a config make, access
// and header filter, for an exchange that prepare makes ready anew each time.
func (p *Plugin) Allocations(prepare func(x *pdk.Exchange)) float64 {
	p.t.Helper()
	x := new(pdk.Exchange)
	return testing.AllocsPerRun(200, func() {
		x.Reset()
		x.View, x.Route, x.Service, x.Start = p.o.View, p.o.Route, p.o.Service, Start
		prepare(x)
		x.Upstream.RawQuery, x.Upstream.HasQuery = x.Request.RawQuery, x.Request.HasQuery
		if p.Phases.Access != nil {
			if err := p.Phases.Access(x); err != nil {
				p.t.Fatal(err)
			}
		}
		if p.Phases.HeaderFilter != nil {
			if err := p.Phases.HeaderFilter(x); err != nil {
				p.t.Fatal(err)
			}
		}
	})
}
