package e2e

import (
	"slices"
	"testing"

	"github.com/kong/go-kong/kong"
)

// goClient is Kong's own client of a cluster's Admin API, in a workspace, "" for none.
func (c *cluster) goClient(workspace string) *kong.Client {
	c.t.Helper()
	g, err := kong.NewClient(new(c.base), transport)
	if err != nil {
		c.t.Fatal(err)
	}
	g.SetWorkspace(workspace)
	return g
}

// What Kong's client does with workspaces, as decK does it.
func TestGoClientWorkspaces(t *testing.T) {
	c := newCluster(t, 0)
	ctx, g := t.Context(), c.goClient("")
	team := new("team")
	if there, err := g.Workspaces.ExistsByName(ctx, team); err != nil || there {
		t.Fatalf("before it is made: %v, %v", there, err)
	}
	made, err := g.Workspaces.Create(ctx, &kong.Workspace{Name: team, Meta: map[string]any{"color": "#814CA6", "thumbnail": nil}})
	if err != nil {
		t.Fatal(err)
	}
	if there, err := g.Workspaces.ExistsByName(ctx, team); err != nil || !there {
		t.Errorf("by name: %v, %v", there, err)
	}
	if there, err := g.Workspaces.Exists(ctx, made.ID); err != nil || !there {
		t.Errorf("by id: %v, %v", there, err)
	}
	made.Comment = new("new comment")
	updated, err := g.Workspaces.Update(ctx, made)
	if err != nil || *updated.Comment != "new comment" || updated.Meta["color"] != "#814CA6" || updated.Config == nil {
		t.Errorf("updated: %+v, %v", updated, err)
	}
	given := &kong.Workspace{Name: new("other"), ID: new("9d7a6c0e-4d3c-4f6a-8f55-0f4f0f3a9d01")}
	if other, err := g.Workspaces.Create(ctx, given); err != nil || *other.ID != *given.ID {
		t.Errorf("with an id: %+v, %v", other, err)
	}
	page, next, err := g.Workspaces.List(ctx, &kong.ListOpt{Size: 1})
	if err != nil || len(page) != 1 || next == nil {
		t.Errorf("a page: %v, %v, %v", page, next, err)
	}
	if all, err := g.Workspaces.ListAll(ctx); err != nil || len(all) != 3 {
		t.Errorf("all: %v, %v", all, err)
	}

	in := c.goClient("team")
	if root, err := in.Root(ctx); err != nil || root["version"] == nil {
		t.Errorf("root: %v", err)
	}
	for _, client := range []*kong.Client{g, in} {
		service, err := client.Services.Create(ctx, &kong.Service{Name: new("s"), Host: new("h"), Tags: kong.StringSlice("t")})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Routes.CreateInService(ctx, service.ID, &kong.Route{Name: new("r"), Paths: kong.StringSlice("/a")}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"ua", "ub", "uc"} {
			if _, err := client.Consumers.Create(ctx, &kong.Consumer{Username: new(name)}); err != nil {
				t.Fatal(err)
			}
		}
		if services, err := client.Services.ListAll(ctx); err != nil || len(services) != 1 || *services[0].ID != *service.ID {
			t.Errorf("services: %v, %v", services, err)
		}
		if tagged, _, err := client.Services.List(ctx, &kong.ListOpt{Size: 10, Tags: kong.StringSlice("t")}); err != nil || len(tagged) != 1 {
			t.Errorf("tagged: %v, %v", tagged, err)
		}
		var names []string
		for o := (&kong.ListOpt{Size: 1}); o != nil; {
			var page []*kong.Consumer
			if page, o, err = client.Consumers.List(ctx, o); err != nil {
				t.Fatal(err)
			}
			for _, u := range page {
				names = append(names, *u.Username)
			}
		}
		if slices.Sort(names); !slices.Equal(names, []string{"ua", "ub", "uc"}) {
			t.Errorf("pages of consumers: %v", names)
		}
	}
	if _, err := c.goClient("nobody").Services.ListAll(ctx); !kong.IsNotFoundErr(err) {
		t.Errorf("a workspace that is not there: %v", err)
	}
	if err := g.Workspaces.Delete(ctx, team); err == nil {
		t.Error("a workspace with entities was deleted")
	}
	if err := g.Workspaces.Delete(ctx, given.ID); err != nil {
		t.Error(err)
	}
}

// What Kong's client does with groups of consumers, as decK does it.
func TestGoClientConsumerGroups(t *testing.T) {
	c := newCluster(t, 0)
	ctx := t.Context()
	if _, err := c.goClient("").Workspaces.Create(ctx, &kong.Workspace{Name: new("team")}); err != nil {
		t.Fatal(err)
	}
	for _, workspace := range []string{"", "team"} {
		g := c.goClient(workspace)
		gold, err := g.ConsumerGroups.Create(ctx, &kong.ConsumerGroup{Name: new("gold"), Tags: kong.StringSlice("a", "b")})
		if err != nil || len(gold.Tags) != 2 {
			t.Fatalf("%+v, %v", gold, err)
		}
		var consumers []*kong.Consumer
		for _, name := range []string{"one", "two", "three"} {
			u, err := g.Consumers.Create(ctx, &kong.Consumer{Username: new(name)})
			if err != nil {
				t.Fatal(err)
			}
			consumers = append(consumers, u)
			joined, err := g.ConsumerGroupConsumers.Create(ctx, gold.Name, u.Username)
			if err != nil || *joined.Consumers[0].ID != *u.ID || *joined.ConsumerGroup.ID != *gold.ID {
				t.Fatalf("%+v, %v", joined, err)
			}
		}
		if _, err := g.ConsumerGroupConsumers.Create(ctx, gold.Name, new("nobody")); err == nil {
			t.Error("nobody is in a group")
		}
		if list, err := g.ConsumerGroupConsumers.ListAll(ctx, gold.Name); err != nil || len(list) != 3 {
			t.Errorf("consumers: %v, %v", list, err)
		}
		if shown, err := g.ConsumerGroups.Get(ctx, gold.ID); err != nil || *shown.ConsumerGroup.Name != "gold" || len(shown.Consumers) != 3 {
			t.Errorf("%+v, %v", shown, err)
		}
		if shown, err := g.ConsumerGroups.GetWithNoConsumers(ctx, gold.Name); err != nil || shown.ConsumerGroup == nil || shown.Consumers != nil {
			t.Errorf("%+v, %v", shown, err)
		}
		plugin, err := g.Plugins.CreateForConsumerGroup(ctx, gold.ID, &kong.Plugin{Name: new("rate-limiting"), Config: kong.Configuration{"minute": 5}})
		if err != nil || plugin.ConsumerGroup == nil || *plugin.ConsumerGroup.ID != *gold.ID {
			t.Fatalf("%+v, %v", plugin, err)
		}
		if list, err := g.Plugins.ListAllForConsumerGroups(ctx, gold.ID); err != nil || len(list) != 1 {
			t.Errorf("plugins: %v, %v", list, err)
		}
		plugin.Enabled = new(false)
		if plugin, err = g.Plugins.UpdateForConsumerGroup(ctx, gold.Name, plugin); err != nil || *plugin.Enabled {
			t.Errorf("%+v, %v", plugin, err)
		}
		gold.Name = new("silver")
		if gold, err = g.ConsumerGroups.Update(ctx, gold); err != nil || *gold.Name != "silver" {
			t.Fatalf("%+v, %v", gold, err)
		}
		if err := g.ConsumerGroupConsumers.Delete(ctx, gold.ID, consumers[0].ID); err != nil {
			t.Error(err)
		}
		if list, err := g.ConsumerGroupConsumers.ListAll(ctx, gold.Name); err != nil || len(list) != 2 {
			t.Errorf("consumers: %v, %v", list, err)
		}
		id := "6b3bd3c8-6a59-4bd1-8f0e-2f1f0f3a9d0" + string(rune('1'+len(workspace)))
		if given, err := g.ConsumerGroups.Create(ctx, &kong.ConsumerGroup{Name: new("given"), ID: &id}); err != nil || *given.ID != id {
			t.Errorf("%+v, %v", given, err)
		}
		if all, err := g.ConsumerGroups.ListAll(ctx); err != nil || len(all) != 2 {
			t.Errorf("%v, %v", all, err)
		}
		if err := g.ConsumerGroups.Delete(ctx, gold.Name); err != nil {
			t.Error(err)
		}
	}
}
