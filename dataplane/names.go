package dataplane

import (
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/resolver"
)

// resolverOptions reads the settings that begin with dns_, or with resolver_ when
// new_dns_client is on.
func (d *DataPlane) resolverOptions() (resolver.Options, error) {
	s := d.s
	servers, hosts, order := "dns_resolver", "dns_hostsfile", "dns_order"
	o := resolver.Options{Logger: d.log.Named("resolver")}
	if s.Bool("new_dns_client") {
		servers, hosts, order = "resolver_address", "resolver_hosts_file", "resolver_family"
		o.StrictSRV = true
		o.ValidTTL, o.StaleTTL, o.ErrorTTL = s.Duration("resolver_valid_ttl"), orNone(s.Duration("resolver_stale_ttl")), orNone(s.Duration("resolver_error_ttl"))
		o.NotFoundTTL, o.CacheSize = o.ErrorTTL, s.Int("resolver_lru_cache_size")
	} else {
		o.ValidTTL, o.StaleTTL, o.ErrorTTL = s.Duration("dns_valid_ttl"), orNone(s.Duration("dns_stale_ttl")), orNone(s.Duration("dns_error_ttl"))
		o.NotFoundTTL, o.CacheSize, o.NoSync = orNone(s.Duration("dns_not_found_ttl")), s.Int("dns_cache_size"), s.Bool("dns_no_sync")
	}
	o.Hosts = s.Path(hosts)
	for _, text := range s.List(servers) {
		address, err := resolver.ParseServer(text)
		if err != nil {
			return o, fmt.Errorf("%s: %w", servers, err)
		}
		o.Servers = append(o.Servers, address)
	}
	var err error
	if o.Order, err = resolver.ParseOrder(s.List(order)); err != nil {
		return o, fmt.Errorf("%s: %w", order, err)
	}
	return o, nil
}

// orNone turns the setting's 0, which switches off, into what switches off there.
func orNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// names is what GET /status/dns answers.
func (d *DataPlane) names() any {
	return map[string]any{"names": d.resolver.Names(), "servers": d.resolver.Servers()}
}

// upstream is what GET /upstreams/{name}/health answers.
func (d *DataPlane) upstream(name string) (any, bool) {
	p := d.plans.Current()
	u, ok := p.Upstream(name)
	if !ok {
		if u, ok = p.UpstreamByID(name); !ok {
			return nil, false
		}
	}
	return u.Health(), true
}
