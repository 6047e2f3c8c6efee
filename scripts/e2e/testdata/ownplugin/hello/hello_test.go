package hello_test

import (
	"strings"
	"testing"

	"example.com/ownplugin/hello"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
)

func TestGreeting(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: hello.Plugin, Config: `{"greeting":"Good morning"}`})
	if r := p.Do(pdktest.Request{Path: "/"}); r.Get("X-Hello") != "Good morning, stranger!" || r.Status != 200 {
		t.Errorf("got %d %q", r.Status, r.Get("X-Hello"))
	}
	x := p.NewExchange(pdktest.Request{})
	x.Consumer = &entity.Consumer{Username: "bob"}
	r := pdktest.Run(t, x, []*pdktest.Plugin{p}, func(*pdk.Exchange) pdktest.Response { return pdktest.Response{} })
	if r.Get("X-Hello") != "Good morning, bob!" {
		t.Errorf("got %q", r.Get("X-Hello"))
	}
	if b := hello.Plugin.Metrics(p.Env, nil); !strings.Contains(string(b), "hello_greetings_total 2\n") {
		t.Errorf("got %s", b)
	}
}

func TestRefusedConfigs(t *testing.T) {
	for config, want := range map[string]string{
		`{"greeting":"Go away"}`: "must be polite",
		`{"header_name":"a b"}`:  "header_name",
		`{"colour":"red"}`:       "colour",
	} {
		if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: hello.Plugin, Config: config}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", config, err, want)
		}
	}
}

func TestAllocations(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: hello.Plugin})
	x := p.NewExchange(pdktest.Request{})
	if n := testing.AllocsPerRun(100, func() {
		x.Reset()
		_ = p.Phases.HeaderFilter(x)
	}); n > 0 {
		t.Errorf("%v allocations a request", n)
	}
}
