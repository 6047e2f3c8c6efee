package plugins_test

import (
	"net/netip"
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/plugins/acl"
	"github.com/sluice-gateway/sluice/shared/plugins/keyauth"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// The plugins that everybody enables allocate nothing for a request.
func TestRequestsDoNotAllocate(t *testing.T) {
	const bobID = "00000000-0000-4000-8000-0000000000b0"
	view := pdktest.NewView(
		pdktest.Of(t, entity.Consumers, schema.Object{"id": bobID, "username": "bob", "custom_id": "b"}),
		pdktest.Of(t, keyauth.Credentials, schema.Object{"key": "k", "consumer": schema.Object{"id": bobID}}),
		pdktest.Of(t, acl.Groups, schema.Object{"group": "staff", "consumer": schema.Object{"id": bobID}}),
		pdktest.Of(t, acl.Groups, schema.Object{"group": "admins", "consumer": schema.Object{"id": bobID}}),
	)
	bob, _ := view.ByID(entity.Consumers, bobID).(*entity.Consumer)
	client := netip.MustParseAddrPort("10.1.2.3:4567")
	get := func(lines ...string) func(x *pdk.Exchange) {
		return func(x *pdk.Exchange) {
			x.Request.Method, x.Request.Path, x.Request.RawPath, x.Request.Client, x.Request.Peer = "GET", "/", "/", client, client
			for i := 0; i < len(lines); i += 2 {
				x.Request.Header.Add(lines[i], lines[i+1])
			}
		}
	}
	plain := get()
	as := func(c *entity.Consumer) func(x *pdk.Exchange) {
		return func(x *pdk.Exchange) {
			plain(x)
			x.Consumer, x.Credential = c, pdk.Credential{ID: "c", ConsumerID: c.ID}
		}
	}
	for _, test := range []struct {
		plugin, name, config string
		prepare              func(x *pdk.Exchange)
		exits                bool
	}{
		{plugin: "key-auth", name: "header", config: `{"hide_credentials":true}`, prepare: get("Accept", "*/*", "apikey", "k")},
		{plugin: "key-auth", name: "query", prepare: func(x *pdk.Exchange) { plain(x); x.Request.RawQuery, x.Request.HasQuery = "a=1&apikey=k", true }},
		{plugin: "acl", name: "allowed", config: `{"allow":["staff"]}`, prepare: as(bob)},
		{plugin: "acl", name: "hidden", config: `{"deny":["guests"],"hide_groups_header":true}`, prepare: as(bob)},
		{plugin: "rate-limiting", name: "by address", config: `{"minute":1e9,"hour":1e9,"limit_by":"ip","policy":"local"}`, prepare: get()},
		{plugin: "rate-limiting", name: "by consumer", config: `{"second":1e9,"policy":"local"}`, prepare: as(bob)},
		{plugin: "ip-restriction", name: "allowed", config: `{"allow":["10.0.0.0/8"],"deny":["10.9.0.0/16","192.168.0.1"]}`, prepare: get()},
		{plugin: "cors", name: "any", prepare: get("Origin", "http://a.example")},
		{plugin: "cors", name: "listed", config: `{"origins":["http://a.example","http://b.example"],"credentials":true,"exposed_headers":["x-e"]}`, prepare: get("Origin", "http://b.example:80")},
		{plugin: "correlation-id", name: "made", config: `{"generator":"uuid"}`, prepare: get()},
		{plugin: "correlation-id", name: "counted", config: `{"generator":"uuid#counter"}`, prepare: get()},
		{plugin: "correlation-id", name: "given", config: `{"echo_downstream":true}`, prepare: get("Kong-Request-ID", "x")},
		{plugin: "correlation-id", name: "echoed", config: `{"echo_downstream":true}`, prepare: get()},
		{plugin: "request-termination", name: "message", config: `{"status_code":503,"message":"away"}`, prepare: get(), exits: true},
		{plugin: "request-termination", name: "not triggered", config: `{"trigger":"x-stop"}`, prepare: get("x-go", "1")},
		{plugin: "bot-detection", name: "known browser", prepare: get("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0")},
	} {
		t.Run(test.plugin+"/"+test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: plugins.Bundled().ByName(test.plugin), Config: test.config, View: view})
			if n := p.Allocations(test.prepare); n != 0 {
				t.Errorf("%v allocations a request, want 0", n)
			}
			x := p.NewExchange(pdktest.Request{})
			x.Reset()
			x.View, x.Start = view, pdktest.Start
			test.prepare(x)
			if p.Phases.Access != nil {
				if err := p.Phases.Access(x); err != nil {
					t.Fatal(err)
				}
			}
			if x.Exited() != test.exits {
				t.Errorf("the exchange has ended: %v, want %v", x.Exited(), test.exits)
			}
		})
	}
}
