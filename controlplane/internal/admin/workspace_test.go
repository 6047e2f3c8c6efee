package admin_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
)

// names are the names in an answer's data.
func (r *response) names() []string {
	r.t.Helper()
	var body struct{ Data []map[string]any }
	r.is(200).into(&body)
	out := []string{}
	for _, o := range body.Data {
		for _, key := range []string{"name", "username"} {
			if name, ok := o[key].(string); ok {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (r *response) lists(names ...string) {
	r.t.Helper()
	if got := r.names(); !slices.Equal(got, names) {
		r.t.Errorf("%s: lists %q, want %q", r.what, got, names)
	}
}

func TestWorkspaces(t *testing.T) {
	s := newServer(t, nil)
	var team struct{ ID string }
	s.do("POST", "/workspaces", asJSON, `{"name":"team","comment":"ours","meta":{"color":"#123"},"config":{"portal":false}}`).is(201).into(&team)
	s.do("POST", "/workspaces", asJSON, `{"name":"team"}`).is(409)
	s.do("POST", "/workspaces", asJSON, `{"name":"schemas"}`).is(400).says("must not be a path of the Admin API")
	s.do("GET", "/workspaces/", nil, "").lists("default", "team")
	s.do("GET", "/workspaces/"+team.ID, nil, "").is(200).says(`"color":"#123"`)
	s.do("GET", "/team/workspaces/team", nil, "").is(200).says(team.ID)
	s.do("GET", "/team/kong", nil, "").is(200).says(`"version":`)
	s.do("PATCH", "/workspaces/team", asJSON, `{"name":"other"}`).is(400).says("cannot rename a workspace")
	s.do("PATCH", "/workspaces/team", asJSON, `{"comment":"new"}`).is(200).says(`"comment":"new"`)

	for _, prefix := range []string{"", "/default", "/team"} {
		if prefix != "/default" {
			s.do("POST", prefix+"/services", asJSON, `{"name":"s","host":"h","tags":["t`+strings.TrimPrefix(prefix, "/")+`"]}`).is(201)
			s.do("POST", prefix+"/services/s/routes", asJSON, `{"name":"r","paths":["/a"]}`).is(201)
		}
		s.do("GET", prefix+"/services", nil, "").lists("s")
		s.do("GET", prefix+"/services/s/routes", nil, "").lists("r")
		s.do("GET", prefix+"/routes/r/service", nil, "").is(200).says(`"name":"s"`)
		s.do("GET", prefix+"/schemas/services", nil, "").is(200)
		s.do("HEAD", prefix+"/services", nil, "").is(200)
		s.do("OPTIONS", prefix+"/services", nil, "").is(204)
		s.do("DELETE", prefix+"/services", nil, "").is(405)
	}
	s.do("GET", "/"+team.ID+"/services/s", nil, "").is(200)
	s.do("GET", "/team/tags", nil, "").is(200).says(`"tag":"tteam"`)
	s.do("GET", "/tags/tteam", nil, "").is(200).says(`"data":[]`)
	s.do("GET", "/team/services?tags=tteam", nil, "").lists("s")
	s.do("GET", "/services?tags=tteam", nil, "").lists()
	var one struct{ ID string }
	s.do("GET", "/services/s", nil, "").is(200).into(&one)
	s.do("GET", "/team/services/"+one.ID, nil, "").is(404).says(`{"message":"Not found"}`)
	s.do("PUT", "/team/services/"+one.ID, asJSON, `{"host":"mine"}`).is(400).says("primary key violation")
	s.do("POST", "/team/routes", asJSON, `{"paths":["/b"],"service":{"id":"`+one.ID+`"}}`).is(400).says("does not reference an existing 'services' entity")
	s.do("POST", "/team/plugins", asJSON, `{"name":"key-auth"}`).is(201)
	s.do("GET", "/", nil, "").is(200).says(`"enabled_in_cluster":["key-auth"]`)
	s.do("GET", "/plugins", nil, "").lists()

	s.do("GET", "/nobody/services", nil, "").is(404).says(`{"message":"Workspace 'nobody' not found"}`)
	s.do("POST", "/no%20body/services", asJSON, `{}`).is(404).says(`Workspace 'no body' not found`)
	s.do("GET", "/nobody/nothing", nil, "").is(404).says(`{"message":"Not found"}`)
	s.do("GET", "/team", nil, "").is(404).says(`{"message":"Not found"}`)
	s.do("GET", "/workspaces/nobody", nil, "").is(404)
	s.do("GET", "/nobody/workspaces/nobody", nil, "").is(404)

	s.do("GET", "/workspaces/team/meta", nil, "").is(200).says(`"services":1`).says(`"consumers":0`)
	s.do("GET", "/workspaces/nobody/meta", nil, "").is(404)
	s.do("DELETE", "/workspaces/team", nil, "").is(400).says("Workspace is not empty")
	s.do("DELETE", "/workspaces/default?cascade=true", nil, "").is(400).says("Cannot delete default workspace")
	s.do("DELETE", "/workspaces/team?cascade=yes", nil, "").is(400).says("cascade")
	s.do("DELETE", "/workspaces/team?cascade=true", nil, "").is(204)
	s.do("GET", "/team/services", nil, "").is(404)
	s.do("GET", "/services", nil, "").lists("s")
	s.do("DELETE", "/workspaces/team", nil, "").is(204)
}

func TestWorkspacePages(t *testing.T) {
	s := newServer(t, nil)
	s.do("POST", "/workspaces", asJSON, `{"name":"team"}`).is(201)
	for _, name := range []string{"a", "b", "c"} {
		s.do("POST", "/team/consumers", asJSON, `{"username":"`+name+`"}`).is(201)
		s.do("POST", "/consumers", asJSON, `{"username":"`+name+`"}`).is(201)
	}
	var names []string
	for next := "/team/consumers?size=1"; next != ""; {
		r := s.do("GET", next, nil, "")
		names = append(names, r.names()...)
		var page struct{ Next string }
		r.into(&page)
		if next = page.Next; next != "" && !strings.HasPrefix(next, "/team/consumers?") {
			t.Fatalf("the next page is %s", next)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("pages have %q", names)
	}
}

func TestConsumerGroups(t *testing.T) {
	s := newServer(t, nil)
	var gold, luka struct{ ID string }
	s.do("POST", "/consumer_groups", asJSON, `{"name":"gold","tags":["t"]}`).is(201).says(`"updated_at":`).into(&gold)
	s.do("POST", "/consumer_groups", asForm, "name=silver").is(201)
	s.do("POST", "/consumer_groups", asJSON, `{}`).is(400).says("name: required field missing")
	s.do("POST", "/consumers", asJSON, `{"username":"luka"}`).is(201).into(&luka)
	s.do("POST", "/consumers", asJSON, `{"username":"ana"}`).is(201)

	s.do("POST", "/consumer_groups/gold/consumers", asJSON, `{"consumer":"luka"}`).is(201).
		says(`{"consumer_group":{`).says(`"consumers":[{`).says(luka.ID)
	s.do("POST", "/consumer_groups/gold/consumers", asJSON, `{"consumer":"`+luka.ID+`"}`).is(409).says("UNIQUE violation")
	s.do("POST", "/consumer_groups/gold/consumers", asJSON, `{"consumer":"nobody"}`).is(404)
	s.do("POST", "/consumer_groups/gold/consumers", asJSON, `{}`).is(400).says("consumer: required field missing")
	s.do("POST", "/consumer_groups/gold/consumers", asJSON, `{"consumer":7}`).is(400).says("consumer: expected a string")
	s.do("POST", "/consumer_groups/none/consumers", asJSON, `{"consumer":"luka"}`).is(404)
	s.do("POST", "/consumers/luka/consumer_groups", asForm, "group=silver").is(201).
		says(`"consumer":{`).says(`"consumer_groups":[{`)
	s.do("POST", "/consumers/ana/consumer_groups", asJSON, `{"group":"`+gold.ID+`"}`).is(201)

	s.do("GET", "/consumer_groups", nil, "").lists("gold", "silver")
	s.do("GET", "/consumer_groups?tags=t", nil, "").lists("gold")
	s.do("GET", "/consumer_groups/gold/consumers", nil, "").lists("ana", "luka")
	s.do("GET", "/consumers/luka/consumer_groups", nil, "").lists("gold", "silver")
	s.do("GET", "/consumer_groups/gold/consumers?size=0", nil, "").is(400)
	var page struct {
		Next string
		Data []struct{ ID string }
	}
	s.do("GET", "/consumer_groups/gold/consumers?size=1", nil, "").is(200).into(&page)
	if len(page.Data) != 1 || page.Next == "" {
		t.Errorf("a page of one: %+v", page)
	}
	s.do("GET", "/consumer_groups/gold/consumers/luka", nil, "").is(200).says(luka.ID)
	s.do("GET", "/consumers/ana/consumer_groups/silver", nil, "").is(404)
	var shown struct {
		Group     struct{ Name string } `json:"consumer_group"`
		Consumers []struct{ Username string }
	}
	s.do("GET", "/consumer_groups/gold", nil, "").is(200).into(&shown)
	if shown.Group.Name != "gold" || len(shown.Consumers) != 2 {
		t.Errorf("got %+v", shown)
	}
	if r := s.do("GET", "/consumer_groups/gold?list_consumers=false", nil, "").is(200); strings.Contains(r.body, "luka") {
		t.Errorf("got %s", r.body)
	}
	s.do("GET", "/consumer_groups/gold?list_consumers=maybe", nil, "").is(400).says("list_consumers")
	s.do("PATCH", "/consumer_groups/gold", asJSON, `{"tags":["u"]}`).is(200).says(`"tags":["u"]`)
	s.do("PUT", "/consumer_groups/bronze", asJSON, `{}`).is(200).says(`"name":"bronze"`)

	var plugin struct{ ID string }
	s.do("POST", "/consumer_groups/gold/plugins", asJSON, `{"name":"rate-limiting","config":{"minute":9}}`).is(201).says(gold.ID).into(&plugin)
	s.do("POST", "/consumer_groups/gold/plugins", asJSON, `{"name":"key-auth"}`).is(400).says("consumer_group: value must be null")
	s.do("POST", "/plugins", asJSON, `{"name":"cors","consumer_group":{"name":"gold"}}`).is(400).says("consumer_group: value must be null")
	s.do("GET", "/consumer_groups/gold/plugins", nil, "").lists("rate-limiting")
	s.do("GET", "/plugins/"+plugin.ID+"/consumer_group", nil, "").is(200).says("gold")
	if r := s.do("POST", "/plugins", asJSON, `{"name":"rate-limiting","config":{"minute":9}}`).is(201); strings.Contains(r.body, "consumer_group") {
		t.Errorf("a plugin of no group says %s", r.body)
	}

	s.do("DELETE", "/consumer_groups/gold/consumers/luka", nil, "").is(204)
	s.do("DELETE", "/consumer_groups/gold/consumers/luka", nil, "").is(404)
	s.do("DELETE", "/consumers/luka/consumer_groups/"+url.PathEscape("silver"), nil, "").is(204)
	s.do("GET", "/consumers/luka/consumer_groups", nil, "").lists()
	s.do("DELETE", "/consumers/ana/consumer_groups", nil, "").is(204)
	s.do("POST", "/consumer_groups/gold/consumers", asJSON, `{"consumer":"luka"}`).is(201)
	s.do("DELETE", "/consumer_groups/gold/consumers", nil, "").is(204)
	s.do("DELETE", "/consumer_groups/none/consumers", nil, "").is(404)
	s.do("GET", "/consumer_groups/gold/consumers", nil, "").lists()
	s.do("DELETE", "/consumer_groups/gold", nil, "").is(204)
	s.do("GET", "/plugins/"+plugin.ID, nil, "").is(404)
}

func TestConsumerGroupsStayInTheirWorkspace(t *testing.T) {
	s := newServer(t, nil)
	s.do("POST", "/workspaces", asJSON, `{"name":"team"}`).is(201)
	s.do("POST", "/consumers", asJSON, `{"username":"luka"}`).is(201)
	s.do("POST", "/team/consumer_groups", asJSON, `{"name":"gold"}`).is(201)
	s.do("POST", "/team/consumer_groups/gold/consumers", asJSON, `{"consumer":"luka"}`).is(404)
	s.do("GET", "/consumer_groups", nil, "").lists()
}

func TestReadOnlyMemberships(t *testing.T) {
	s := newServer(t, func(o *admin.Options) {
		c := o.Catalog.(*catalog.Catalog)
		for kind, e := range map[string]map[string]any{"consumers": {"username": "luka"}, "consumer_groups": {"name": "gold"}} {
			if _, err := c.Insert(t.Context(), o.Kinds.ByKind(kind), e); err != nil {
				t.Fatal(err)
			}
		}
		o.Catalog = catalog.ReadOnly(c)
	})
	s.do("POST", "/consumer_groups/gold/consumers", asJSON, `{"consumer":"luka"}`).is(405)
	s.do("DELETE", "/consumer_groups/gold/consumers", nil, "").is(405)
	s.do("DELETE", "/workspaces/team", nil, "").is(405)
	s.do("POST", "/workspaces", asJSON, `{"name":"team"}`).is(405)
}
