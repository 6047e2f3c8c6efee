package iprestriction_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/iprestriction"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, iprestriction.Plugin.Schema, "plugins/ip-restriction.json")
}

func TestPlugin(t *testing.T) {
	for _, test := range []struct {
		name, config, client string
		status               int
		says                 string
	}{
		{"allowed", `{"allow":["10.0.0.0/8"]}`, "10.1.2.3", 200, ""},
		{"not allowed", `{"allow":["10.0.0.0/8"]}`, "192.0.2.1", 403, "IP address not allowed: 192.0.2.1"},
		{"denied", `{"deny":["192.0.2.1"]}`, "192.0.2.1", 403, "IP address not allowed"},
		{"not denied", `{"deny":["192.0.2.1"]}`, "192.0.2.2", 200, ""},
		{"deny before allow", `{"allow":["192.0.2.0/24"],"deny":["192.0.2.1"]}`, "192.0.2.1", 403, ""},
		{"own words", `{"deny":["::1"],"status":451,"message":"no way"}`, "::1", 451, "no way"},
		{"IPv4 in IPv6", `{"allow":["10.0.0.0/8"]}`, "::ffff:10.0.0.1", 200, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: iprestriction.Plugin, Config: test.config})
			x := p.NewExchange(pdktest.Request{})
			x.Request.Client = netip.AddrPortFrom(netip.MustParseAddr(test.client), 1)
			r := pdktest.Run(t, x, []*pdktest.Plugin{p}, func(*pdk.Exchange) pdktest.Response { return pdktest.Response{} })
			if r.Status != test.status || !strings.Contains(r.Body, test.says) {
				t.Errorf("got %d %s", r.Status, r.Body)
			}
		})
	}
	if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: iprestriction.Plugin, Config: `{"allow":["x"]}`}); err == nil {
		t.Error("a range that is none is taken")
	}
}
