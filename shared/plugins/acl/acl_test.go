package acl_test

import (
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/acl"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

const (
	bobID  = "00000003-0000-4000-8000-000000000002"
	goldID = "00000004-0000-4000-8000-000000000001"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, acl.Plugin.Schema, "plugins/acl.json")
	schematest.AsRecorded(t, acl.Groups.Schema, "entities/acls.json")
	schematest.Agrees(t, acl.Groups.Schema, acl.Group{})
}

func TestAccess(t *testing.T) {
	consumer := schema.Object{"id": bobID}
	view := pdktest.NewView(
		pdktest.Of(t, entity.Consumers, schema.Object{"id": bobID, "username": "bob"}),
		pdktest.Of(t, acl.Groups, schema.Object{"group": "staff", "consumer": consumer}),
		pdktest.Of(t, acl.Groups, schema.Object{"group": "admins", "consumer": consumer}),
		pdktest.Of(t, entity.ConsumerGroups, schema.Object{"id": goldID, "name": "gold"}),
		pdktest.Of(t, entity.GroupMembers, schema.Object{"consumer": consumer, "consumer_group": schema.Object{"id": goldID}}),
	)
	for _, test := range []struct {
		name, config          string
		bob                   bool
		found                 []string
		status                int
		groups, authenticated string
	}{
		{"nobody", `{"allow":["staff"]}`, false, nil, 401, "", ""},
		{"nobody, denying", `{"deny":["staff"]}`, false, nil, 401, "", ""},
		{"allowed", `{"allow":["staff"]}`, true, nil, 200, "admins, staff", ""},
		{"not allowed", `{"allow":["guests"]}`, true, nil, 403, "", ""},
		{"denied", `{"deny":["admins"]}`, true, nil, 403, "", ""},
		{"not denied", `{"deny":["guests"]}`, true, nil, 200, "admins, staff", ""},
		{"hidden", `{"allow":["staff"],"hide_groups_header":true}`, true, nil, 200, "", ""},
		{"found elsewhere", `{"allow":["ldap"]}`, false, []string{"ldap"}, 200, "", "ldap"},
		{"the consumer's count", `{"allow":["ldap"]}`, true, []string{"ldap"}, 403, "", ""},
		{"those found elsewhere count", `{"allow":["ldap"],"always_use_authenticated_groups":true}`, true, []string{"ldap"}, 200, "", "ldap"},
		{"consumer groups do not count", `{"allow":["gold"]}`, true, nil, 403, "", ""},
		{"consumer groups count", `{"allow":["gold"],"include_consumer_groups":true}`, true, nil, 200, "admins, gold, staff", ""},
		{"consumer groups are kept out", `{"deny":["gold"],"include_consumer_groups":true}`, true, nil, 403, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: acl.Plugin, Config: test.config, View: view})
			x := p.NewExchange(pdktest.Request{})
			if test.bob {
				c, _ := view.ByID(entity.Consumers, bobID).(*entity.Consumer)
				x.Authenticate(c, pdk.Credential{ID: "c", ConsumerID: bobID})
			}
			x.Groups = test.found
			r := pdktest.Run(t, x, []*pdktest.Plugin{p}, func(*pdk.Exchange) pdktest.Response { return pdktest.Response{} })
			if r.Status != test.status {
				t.Fatalf("got %d %s", r.Status, r.Body)
			}
			if r.Status == 403 && !strings.Contains(r.Body, "You cannot consume this service") {
				t.Errorf("got %s", r.Body)
			}
			if r.Upstream.Get("X-Consumer-Groups") != test.groups || r.Upstream.Get("X-Authenticated-Groups") != test.authenticated {
				t.Errorf("the upstream is told %q and %q", r.Upstream.Get("X-Consumer-Groups"), r.Upstream.Get("X-Authenticated-Groups"))
			}
		})
	}
}

// Who has no groups is told to show a credential, if that was not done.
func TestWithoutGroups(t *testing.T) {
	view := pdktest.NewView(pdktest.Of(t, entity.Consumers, schema.Object{"id": bobID, "username": "eve"}))
	eve, _ := view.ByID(entity.Consumers, bobID).(*entity.Consumer)
	for _, test := range []struct {
		config     string
		consumer   *entity.Consumer
		credential pdk.Credential
		found      []string
		status     int
	}{
		{`{"allow":["staff"]}`, eve, pdk.Credential{ID: "c"}, nil, 403},
		{`{"allow":["staff"]}`, eve, pdk.Credential{}, nil, 401},
		{`{"deny":["staff"]}`, eve, pdk.Credential{}, nil, 200},
		{`{"allow":["ldap"]}`, eve, pdk.Credential{}, []string{"ldap"}, 200},
		{`{"allow":["ldap"]}`, nil, pdk.Credential{ID: "c"}, nil, 403},
	} {
		p := pdktest.Build(t, pdktest.Options{Plugin: acl.Plugin, Config: test.config, View: view})
		x := p.NewExchange(pdktest.Request{})
		x.Consumer, x.Credential, x.Groups = test.consumer, test.credential, test.found
		if r := pdktest.Run(t, x, []*pdktest.Plugin{p}, func(*pdk.Exchange) pdktest.Response { return pdktest.Response{} }); r.Status != test.status {
			t.Errorf("%s as %v with %v: %d, want %d", test.config, test.consumer, test.credential, r.Status, test.status)
		}
	}
}
