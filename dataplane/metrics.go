package dataplane

import (
	"encoding/json"
	"net"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/dataplane/internal/status"
)

// metrics appends what plugins have measured.
func (d *DataPlane) metrics(b []byte) []byte {
	for _, p := range d.registry.Ordered() {
		b = d.host.Metrics(p, b)
	}
	return d.host.Sinks(b)
}

// targets are shown when a config of the plugin prometheus asks for their health.
func (d *DataPlane) targets() []status.Target {
	p := d.plans.Current()
	asked := false
	for _, e := range p.Configs("prometheus") {
		var c struct {
			Health bool `json:"upstream_health_metrics"`
		}
		asked = asked || json.Unmarshal(e.Config, &c) == nil && c.Health
	}
	if !asked {
		return nil
	}
	var out []status.Target
	for _, u := range p.Upstreams() {
		healths := u.Health().Targets
		for _, t := range u.Targets {
			h := healths[t.Entity.ID]
			if len(h.Addresses) == 0 {
				out = append(out, status.Target{Upstream: u.Entity.Name, Target: t.Entity.Target, Health: h.Health})
			}
			for _, a := range h.Addresses {
				out = append(out, status.Target{
					Upstream: u.Entity.Name, Target: t.Entity.Target, Address: net.JoinHostPort(strings.Trim(a.IP, "[]"), strconv.Itoa(a.Port)), Health: a.Health,
				})
			}
		}
	}
	return out
}
