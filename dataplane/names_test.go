package dataplane

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/resolver"
	"github.com/sluice-gateway/sluice/shared/settings"
)

// TestResolverOptions holds which settings the resolver obeys: those of Kong's older
// client, or those of its new one.
func TestResolverOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want resolver.Options
		err  string
	}{
		{"defaults", nil, resolver.Options{
			Hosts: "/etc/hosts", Order: []resolver.Type{resolver.Last, resolver.SRV, resolver.A, resolver.CNAME},
			StaleTTL: time.Hour, NotFoundTTL: 30 * time.Second, ErrorTTL: time.Second, CacheSize: 10000,
		}, ""},
		{"older client", []string{
			"--dns_resolver", "10.0.0.1,[::1]:54", "--dns_hostsfile", "/h", "--dns_order", "AAAA,A", "--dns_valid_ttl", "5", "--dns_stale_ttl", "0",
			"--dns_not_found_ttl", "7", "--dns_error_ttl", "0", "--dns_cache_size", "9", "--dns_no_sync", "on", "--resolver_address", "10.9.9.9",
		}, resolver.Options{
			Servers: []string{"10.0.0.1:53", "[::1]:54"}, Hosts: "/h", Order: []resolver.Type{resolver.AAAA, resolver.A}, ValidTTL: 5 * time.Second,
			StaleTTL: -1, NotFoundTTL: 7 * time.Second, ErrorTTL: -1, CacheSize: 9, NoSync: true,
		}, ""},
		{"new client", []string{
			"--new_dns_client", "on", "--resolver_address", "10.0.0.2", "--resolver_hosts_file", "/n", "--resolver_family", "A,AAAA", "--resolver_valid_ttl", "3",
			"--resolver_stale_ttl", "60", "--resolver_error_ttl", "4", "--resolver_lru_cache_size", "8", "--dns_resolver", "10.9.9.9",
		}, resolver.Options{
			Servers: []string{"10.0.0.2:53"}, Hosts: "/n", Order: []resolver.Type{resolver.A, resolver.AAAA}, StrictSRV: true, ValidTTL: 3 * time.Second,
			StaleTTL: time.Minute, NotFoundTTL: 4 * time.Second, ErrorTTL: 4 * time.Second, CacheSize: 8,
		}, ""},
		{"a server that is a name", []string{"--dns_resolver", "dns.test"}, resolver.Options{}, "dns_resolver"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := settings.Load(settings.Options{Plane: settings.DataPlane, Files: []string{}, Args: append([]string{"--prefix", t.TempDir()}, c.args...)})
			if err != nil {
				t.Fatal(err)
			}
			got, err := (&DataPlane{s: s, log: hclog.NewNullLogger()}).resolverOptions()
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(resolver.Options{}, "Logger", "Dial", "Now")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
