package proxy_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/plan"
	"github.com/sluice-gateway/sluice/dataplane/internal/pluginhost"
	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/dataplane/internal/server"
	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/schema"
	"github.com/sluice-gateway/sluice/shared/settings"
)

// gateway is all rooms of a data plane below its links, with one listener.
type gateway struct {
	t       testing.TB
	kinds   *entity.Kinds
	plugins *plugins.Registry
	plans   *plan.Builder
	proxy   *proxy.Proxy
	address string
}

// newGateway starts one with the plugins that come with the product and more.
func newGateway(t testing.TB, edit func(o *proxy.Options), more ...*pdk.Plugin) *gateway {
	t.Helper()
	return newGatewayOn(t, settings.Listener{Network: "tcp", Address: "127.0.0.1:0", IP: "127.0.0.1"}, edit, more...)
}

func newGatewayOn(t testing.TB, l settings.Listener, edit func(o *proxy.Options), more ...*pdk.Plugin) *gateway {
	t.Helper()
	registry := plugins.NewRegistry(append(more, plugins.All...))
	g := &gateway{t: t, plugins: registry, kinds: entity.NewKinds(entity.Options{Plugins: registry.Schema, Extra: registry.Entities()})}
	host := pluginhost.New(pluginhost.Options{NodeID: "00000000-0000-4000-8000-00000000000d"})
	names := balancer.New(balancer.Options{})
	up := transport.New(transport.Options{})
	g.plans = plan.New(plan.Options{Kinds: g.kinds, Host: host, Balancer: names, Plugin: func(name string) (*pdk.Plugin, bool) {
		p := registry.ByName(name)
		return p, p != nil
	}})
	o := proxy.Options{
		Plan: g.plans.Current, Balancer: names, Transport: up, Product: "sluice/test",
		Headers: proxy.DefaultHeaders, UpstreamID: true, ErrorType: pdk.ErrorText,
	}
	if edit != nil {
		edit(&o)
	}
	g.proxy = proxy.New(o)
	s, err := server.New(server.Options{
		Handler: g.proxy, Listeners: []settings.Listener{l},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.address = s.Addrs()[0].String()
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Error(err)
		}
		_ = g.proxy.Close()
		_ = up.Close()
		names.Close()
		if err := host.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// change makes the change that puts an object of a kind, with all defaults.
func (g *gateway) change(kind string, o schema.Object) config.Change {
	g.t.Helper()
	def := g.kinds.ByKind(kind)
	if def == nil {
		g.t.Fatalf("there is no kind %s", kind)
	}
	whole, err := def.Schema.Process(o, schema.Declare, nil)
	if err != nil {
		g.t.Fatalf("%s %v: %v", kind, o, err)
	}
	body, err := def.Schema.Encode(whole)
	if err != nil {
		g.t.Fatal(err)
	}
	id, _ := whole["id"].(string)
	return config.Change{Op: config.Put, Kind: kind, ID: id, Body: body}
}

func (g *gateway) changes(kind string, list ...schema.Object) []config.Change {
	g.t.Helper()
	out := make([]config.Change, len(list))
	for i, o := range list {
		out[i] = g.change(kind, o)
	}
	return out
}

func (g *gateway) plugin(name string) bool { return g.plugins.ByName(name) != nil }

// serve replaces the configuration.
func (g *gateway) serve(changes ...config.Change) {
	g.t.Helper()
	if refused, err := g.plans.Apply(context.Background(), config.Update{Whole: true, Changes: changes}); err != nil {
		g.t.Fatalf("%v: %v", err, refused)
	}
}

// answer is what came back on a connection of its own.
type answer struct {
	*http.Response

	body string
	// err is how reading the body ended, nil for its end.
	err error
}

// sent opens a connection and sends text as it is; all of it and what comes back may take as
// long as limit.
func (g *gateway) sent(text string, limit time.Duration) net.Conn {
	g.t.Helper()
	nc, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	_ = nc.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(nc, text); err != nil {
		_ = nc.Close()
		g.t.Fatal(err)
	}
	return nc
}

// do sends text as it is.
func (g *gateway) do(text string) answer {
	g.t.Helper()
	nc := g.sent(text, 5*time.Second)
	defer func() { _ = nc.Close() }()
	method, _, _ := strings.Cut(text, " ")
	resp, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: method})
	if err != nil {
		g.t.Fatalf("%s: %v", text, err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return answer{resp, string(body), err}
}
