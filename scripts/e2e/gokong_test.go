package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/kong/go-kong/kong"
)

// TestGoKong walks through what Kong's Go client can do.
func TestGoKong(t *testing.T) {
	c := newCluster(t, 1)
	client, err := kong.NewClient(&c.base, &http.Client{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	fine := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text := func(s *string) string {
		if s == nil {
			return "<nil>"
		}
		return *s
	}

	root, err := client.Root(ctx)
	fine(err)
	version, err := kong.ParseSemanticVersion(kong.VersionFromInfo(root))
	fine(err)
	if version.String() != "3.9.3" || version.IsKongGatewayEnterprise() {
		t.Errorf("the client takes it for %s", version)
	}
	_, err = client.Status(ctx)
	fine(err)

	service, err := client.Services.Create(ctx, &kong.Service{Name: new("one"), URL: new("https://h:8443/p"), Tags: kong.StringSlice("t", "u")})
	fine(err)
	if text(service.Host) != "h" || *service.Port != 8443 || text(service.Path) != "/p" {
		t.Errorf("made %+v", service)
	}
	_, err = client.Services.Create(ctx, &kong.Service{Name: new("one"), Host: new("h")})
	if kongErr, ok := err.(*kong.APIError); !ok || kongErr.Code() != http.StatusConflict { //nolint:errorlint // the client returns it as it is
		t.Errorf("a second one: %v", err)
	}
	service.Retries = new(2)
	service, err = client.Services.Update(ctx, service)
	fine(err)
	for _, name := range []string{"a", "b", "c"} {
		_, err := client.Routes.CreateInService(ctx, service.ID, &kong.Route{Name: &name, Paths: kong.StringSlice("/" + name)})
		fine(err)
	}
	page, next, err := client.Routes.ListForService(ctx, service.ID, &kong.ListOpt{Size: 2})
	fine(err)
	if len(page) != 2 || next == nil {
		t.Fatalf("a page has %d routes, and then %v", len(page), next)
	}
	page, next, err = client.Routes.ListForService(ctx, service.ID, next)
	fine(err)
	if len(page) != 1 || next != nil {
		t.Errorf("the second page has %d routes, and then %v", len(page), next)
	}
	both, err := client.Services.ListAll(ctx)
	fine(err)
	tagged, _, err := client.Services.List(ctx, &kong.ListOpt{Tags: kong.StringSlice("t", "u"), MatchAllTags: true})
	fine(err)
	if len(both) != 1 || len(tagged) != 1 {
		t.Errorf("%d services, %d with both tags", len(both), len(tagged))
	}
	if ok, _, err := client.Plugins.Validate(ctx, &kong.Plugin{Name: new("key-auth")}); err != nil || !ok {
		t.Errorf("a good plugin: %v, %v", ok, err)
	}
	if ok, why, err := client.Plugins.Validate(ctx, &kong.Plugin{Name: new("key-auth"), Config: kong.Configuration{"garbage": true}}); err != nil || ok || why != "schema violation (config.garbage: unknown field)" {
		t.Errorf("a bad plugin: %v, %q, %v", ok, why, err)
	}
	filled := &kong.Plugin{Name: new("rate-limiting"), Config: kong.Configuration{"minute": 5}}
	schema, err := client.Plugins.GetFullSchema(ctx, filled.Name)
	fine(err)
	fine(kong.FillPluginsDefaults(filled, schema))
	plugin, err := client.Plugins.CreateForService(ctx, service.ID, filled)
	fine(err)
	if plugin.Config["fault_tolerant"] != true || *plugin.Service.ID != *service.ID {
		t.Errorf("made %+v", plugin)
	}

	consumer, err := client.Consumers.Create(ctx, &kong.Consumer{Username: new("luka"), CustomID: new("17")})
	fine(err)
	found, err := client.Consumers.GetByCustomID(ctx, new("17"))
	fine(err)
	if *found.ID != *consumer.ID {
		t.Errorf("found %+v", found)
	}
	key, err := client.KeyAuths.Create(ctx, consumer.ID, &kong.KeyAuth{})
	fine(err)
	if len(text(key.Key)) != 32 {
		t.Errorf("the key that was made up is %q", text(key.Key))
	}
	_, err = client.ACLs.Create(ctx, consumer.ID, &kong.ACLGroup{Group: new("g")})
	fine(err)
	if _, err := client.KeyAuths.Get(ctx, consumer.ID, new("nope")); !kong.IsNotFoundErr(err) {
		t.Errorf("a key that is not there: %v", err)
	}

	upstream, err := client.Upstreams.Create(ctx, &kong.Upstream{Name: new("up")})
	fine(err)
	target, err := client.Targets.Create(ctx, upstream.ID, &kong.Target{Target: new("127.0.0.1:1")})
	fine(err)
	// The client marks targets by POST, which Kong has not taken since 3.0 and answers with 405.
	c.must("PUT", "/upstreams/up/targets/"+*target.Target+"/unhealthy", nil, 204)
	c.must("PUT", "/upstreams/up/targets/"+*target.Target+"/healthy", nil, 204)
	eventually(t, soon, func() error {
		seen, err := client.UpstreamNodeHealth.ListAll(ctx, upstream.ID)
		if err == nil && (len(seen) != 1 || text(seen[0].Health) == "") {
			t.Fatalf("health: %+v", seen)
		}
		return err
	})
	tags, err := client.Tags.Exists(ctx)
	fine(err)
	if !tags {
		t.Error("the client finds no tags")
	}
	fine(client.Consumers.Delete(ctx, consumer.Username))
	fine(client.Consumers.Delete(ctx, consumer.Username)) // what is not there is deleted
	if err := client.Services.Delete(ctx, service.ID); err == nil {
		t.Error("a service with routes was deleted")
	}
}
