package ratelimiting

import (
	"math"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/lease"
)

// openCluster takes the node's leases of the config.
func (p *plugin) openCluster(env pdk.Env) {
	p.leases, _ = env.Shared("leases/"+env.PluginID(), func() any { return lease.New(env.Control()) }).(*lease.Table)
	env.Go(p.leases.Run)
}

// countInCluster takes the request from all windows, or from none when one is full. Of
// several full ones the longest counts.
func (p *plugin) countInCluster(x *pdk.Exchange, u *usage, k kind, key string) {
	u.full = -1
	for i := len(p.limits) - 1; i >= 0; i-- {
		c, w, most := p.leased(x, u, k, key, i)
		if u.full >= 0 {
			u.before[i] = c.Known(w)
			continue
		}
		var ok bool
		if u.before[i], ok = c.Take(w, most); ok {
			continue
		}
		u.full = i
		for j := i + 1; j < len(p.limits); j++ {
			c, w, _ := p.leased(x, u, k, key, j)
			c.Undo(w)
		}
	}
}

// leased returns the counter of a limit, the window that the request is in and how much
// it allows.
func (p *plugin) leased(x *pdk.Exchange, u *usage, k kind, key string, i int) (*lease.Counter, lease.Window, uint64) {
	l := &p.limits[i]
	name := append(x.Text.Room(len(key)+len(p.id)+16), p.id...)
	name = append(name, ':', '0'+byte(k), ':')
	name = append(name, key...)
	name = append(name, ':')
	name = append(name, periods[l.period].Name...)
	start := u.windows.Start[l.period]
	return p.leases.Counter(x.Text.Keep(name)), lease.Window{Start: start, End: start + periods[l.period].Length}, uint64(math.Ceil(l.max))
}
