package balancer

import (
	"cmp"
	"slices"
	"time"
)

// Report is what a node tells the control plane about its targets of its own accord.
type Report struct {
	Upstreams int `json:"upstreams"`
	Targets   int `json:"targets"`
	// Unhealthy is how many targets do not get requests, and Troubles are the first of
	// them, in the order of their ids.
	Unhealthy int       `json:"unhealthy"`
	Troubles  []Trouble `json:"troubles"`
}

// Trouble is a target that does not get requests.
type Trouble struct {
	Upstream string `json:"upstream"`
	Target   string `json:"target"`
	Health   string `json:"health"`
	Since    int64  `json:"since"`
	Why      string `json:"why"`
	Detail   string `json:"detail,omitempty"`
}

// Report returns what is wrong with targets, at most so many of them. What is well costs
// next to nothing.
func (b *Balancer) Report(most int) Report {
	r := Report{Troubles: []Trouble{}}
	b.mu.Lock()
	groups := make([]*group, 0, len(b.groups))
	for _, g := range b.groups {
		groups = append(groups, g)
	}
	b.mu.Unlock()
	now := time.Now().UnixNano()
	for _, g := range groups {
		u := g.newest()
		if u == nil {
			continue
		}
		r.Upstreams++
		r.Targets += len(u.Targets)
		if l := u.live(); !l.troubled {
			continue
		}
		u.mu.Lock()
		for _, t := range u.Targets {
			if h := t.health(true, now); t.Weight > 0 && (h.Health == Unhealthy || h.Health == DNSError) {
				r.Unhealthy++
				r.Troubles = append(r.Troubles, Trouble{g.id, t.Entity.ID, h.Health, h.Since, h.Why, h.Detail})
			}
		}
		u.mu.Unlock()
	}
	slices.SortFunc(r.Troubles, func(a, b Trouble) int {
		return cmp.Or(cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Target, b.Target))
	})
	r.Troubles = r.Troubles[:min(len(r.Troubles), most)]
	return r
}
