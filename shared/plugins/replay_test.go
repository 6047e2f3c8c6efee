package plugins_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/referencetest"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// recordedConfig is what the test needs of proxy.yml.
type recordedConfig struct {
	Services []struct {
		Name   string
		Routes []*recordedRoute
	}
	Routes    []*recordedRoute
	Consumers []map[string]any
}

type recordedRoute struct {
	Name    string
	Paths   []string
	Plugins []recordedPlugin

	service *entity.Service
	chain   []*pdktest.Plugin
	unknown bool
}

type recordedPlugin struct {
	Name   string
	Config map[string]any
}

// world is the recorded configuration, built.
type world struct {
	view   pdk.View
	node   *pdktest.Node
	routes []*recordedRoute
	// ofConsumer are configs for one consumer, by the consumer's id.
	ofConsumer []*pdktest.Plugin
}

// routeIDs are those that answers of the recording tell.
var routeIDs = map[string]string{"pc-cc": "00c81dbd-06e7-5cbd-a2d7-80de49a62179"}

func newWorld(t *testing.T) *world {
	data, err := os.ReadFile(filepath.Join(referencetest.Dir(t), "exchanges", "proxy.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var config recordedConfig
	if err := yaml.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	w := &world{node: pdktest.NewNode(t)}
	var entities []pdktest.Entity
	for _, c := range config.Consumers {
		entities = append(entities, w.consumer(t, c)...)
	}
	w.view = pdktest.NewView(entities...)
	for _, r := range config.Routes {
		w.route(t, r)
	}
	for _, s := range config.Services {
		for _, r := range s.Routes {
			r.service = &entity.Service{ID: s.Name, Name: s.Name}
			w.route(t, r)
		}
	}
	for _, c := range config.Consumers {
		w.pluginsOf(t, c)
	}
	return w
}

// consumer makes the entities that are nested in a consumer.
func (w *world) consumer(t *testing.T, c map[string]any) []pdktest.Entity {
	own := schema.Object{}
	var out []pdktest.Entity
	ref := schema.Object{"id": c["id"]}
	for name, v := range c {
		list, nested := v.([]any)
		if !nested {
			own[name] = v
			continue
		}
		for _, def := range plugins.Bundled().Entities() {
			if def.Kind() != name {
				continue
			}
			for _, e := range list {
				o := maps.Clone(e.(map[string]any))
				o["consumer"] = ref
				out = append(out, pdktest.Of(t, def, o))
			}
		}
	}
	return append(out, pdktest.Of(t, entity.Consumers, own))
}

func (w *world) build(t *testing.T, p recordedPlugin, o pdktest.Options) *pdktest.Plugin {
	o.Plugin = plugins.Bundled().ByName(p.Name)
	if o.Plugin == nil {
		return nil
	}
	if p.Config != nil {
		raw, err := json.Marshal(p.Config)
		if err != nil {
			t.Fatal(err)
		}
		o.Config = string(raw)
	}
	o.View, o.Node = w.view, w.node
	return pdktest.Build(t, o)
}

func (w *world) route(t *testing.T, r *recordedRoute) {
	id := routeIDs[r.Name]
	if id == "" {
		id = "route-" + r.Name
	}
	for _, p := range r.Plugins {
		built := w.build(t, p, pdktest.Options{ID: r.Name + p.Name, Route: &entity.Route{ID: id, Name: r.Name, Paths: r.Paths}, Service: r.service})
		if built == nil {
			r.unknown = true
			continue
		}
		r.chain = append(r.chain, built)
	}
	if len(r.Plugins) > 0 {
		w.routes = append(w.routes, r)
	}
}

// pluginsOf builds the configs for one consumer: they run when that one calls.
func (w *world) pluginsOf(t *testing.T, c map[string]any) {
	list, _ := c["plugins"].([]any)
	id, _ := c["id"].(string)
	for _, e := range list {
		o := e.(map[string]any)
		name, _ := o["name"].(string)
		config, _ := o["config"].(map[string]any)
		p := w.build(t, recordedPlugin{name, config}, pdktest.Options{ID: id + name, Consumer: &entity.Consumer{ID: id}})
		if p == nil {
			continue
		}
		access := p.Phases.Access
		p.Phases.Access = func(x *pdk.Exchange) error {
			if x.Consumer == nil || x.Consumer.ID != id {
				return nil
			}
			return access(x)
		}
		w.ofConsumer = append(w.ofConsumer, p)
	}
}

// match finds the route of a path and what strip_path leaves.
func (w *world) match(path string) (found *recordedRoute, x *pdk.Exchange) {
	x = new(pdk.Exchange)
	plain, _, _ := strings.Cut(path, "?")
	best := -1
	for _, r := range w.routes {
		for _, p := range r.Paths {
			if expression, isRegex := strings.CutPrefix(p, "~"); isRegex {
				re := regexp.MustCompile("^" + expression)
				if m := re.FindStringSubmatch(plain); m != nil && len(m[0]) > best {
					best, found = len(m[0]), r
					x.Captures.Names, x.Captures.Values = re.SubexpNames(), m
				}
			} else if whole := len(plain) <= len(p) || plain[len(p)] == '/' || strings.HasSuffix(p, "/"); strings.HasPrefix(plain, p) && whole && len(p) > best {
				best, found = len(p), r
			}
		}
	}
	if found != nil {
		x.MatchedPrefix = plain[:best]
	}
	return found, x
}

// answer is what the recorded upstream does with a header x-up.
func answer(t *testing.T, x *pdk.Exchange) pdktest.Response {
	var up struct {
		Status  int
		Headers [][2]string
		Body    string
	}
	if v := x.Request.Header.Get("x-up"); v != "" {
		if err := json.Unmarshal([]byte(v), &up); err != nil {
			t.Fatal(err)
		}
	}
	r := pdktest.Response{Status: up.Status, Body: up.Body, Header: up.Headers}
	if r.Body == "" {
		r.Body = `{"echo":"` + x.ID + `"}`
	}
	if !slices.ContainsFunc(up.Headers, func(l [2]string) bool { return pdk.EqualFold(l[0], "Content-Type") }) {
		r.Header = append([][2]string{{"Content-Type", "application/json"}}, r.Header...)
	}
	return r
}

// echo is what the recorded upstream tells about a request.
type echo struct {
	Method  string
	URL     string
	Headers [][2]string
	Body    string
}

var (
	// hostHeaders of a response are not the plugins'.
	hostHeaders = []string{"date", "connection", "server", "via", "content-length", "transfer-encoding", "x-kong-upstream-latency", "x-kong-proxy-latency", "x-kong-response-latency", "x-kong-request-id"}
	// hostRequestHeaders are set by the gateway for the upstream.
	hostRequestHeaders = []string{"via", "host", "connection", "content-length", "x-real-ip", "x-kong-request-id", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-path", "x-forwarded-prefix", "x-credential-identifier"}
)

func TestExchangesAsRecorded(t *testing.T) {
	w := newWorld(t)
	compared := map[string]int{}
	keys := map[string]string{}
	now := pdktest.Start
	all := referencetest.Exchanges(t, "proxy.jsonl")
	for i, e := range all {
		if e.Request.Method == "DELETE" && e.Request.Path == "/proxy-cache" {
			if _, err := plugins.Bundled().ByName("proxy-cache").Command(t.Context(), w.node, "purge", nil); err != nil {
				t.Error(err)
			}
		}
		if e.Target != "proxy" || e.Response == nil {
			continue
		}
		route, x := w.match(e.Request.Path)
		if date, err := http.ParseTime(header(e.Response.Headers, "Date")); err == nil {
			now = date
		}
		if header(e.Response.Headers, "RateLimit-Reset") != "" {
			now = nextDate(all[i:], now)
		}
		if e.Note == "after ttl" {
			now = now.Add(5500 * time.Millisecond)
		}
		if route == nil || route.unknown {
			continue
		}
		compared[e.Group]++
		got := w.replay(t, route, x, e, now)
		compareResponse(t, e, got, keys)
	}
	for group, least := range map[string]int{"key-auth": 18, "rate-limiting": 12, "proxy-cache": 36} {
		if compared[group] < least {
			t.Errorf("compared %d exchanges of %s, want %d", compared[group], group, least)
		}
	}
	t.Log(compared)
}

// nextDate is the first Date that an answer tells: those of upstreams have none.
func nextDate(list []referencetest.Exchange, otherwise time.Time) time.Time {
	for _, e := range list {
		if e.Response == nil {
			continue
		}
		if date, err := http.ParseTime(header(e.Response.Headers, "Date")); err == nil {
			return date
		}
	}
	return otherwise
}

func (w *world) replay(t *testing.T, route *recordedRoute, x *pdk.Exchange, e referencetest.Exchange, now time.Time) *pdktest.Result {
	r := pdktest.Request{Method: e.Request.Method, Path: e.Request.Path, Body: e.Request.Body, At: now}
	for _, h := range e.Request.Headers {
		if h[0] != "Host" {
			r.Header = append(r.Header, h)
		}
	}
	pdktest.Fill(x, r)
	first := route.chain[0].NewExchange(r)
	x.View, x.Route, x.Service = first.View, first.Route, first.Service
	x.ID = header(e.Response.Headers, "X-Kong-Request-Id")
	x.Upstream.Path = "/" + strings.TrimPrefix(strings.TrimPrefix(x.Upstream.Path, x.MatchedPrefix), "/")
	got := pdktest.Run(t, x, slices.Concat(route.chain, w.ofConsumer), func(x *pdk.Exchange) pdktest.Response { return answer(t, x) })
	var told echo
	if json.Unmarshal([]byte(e.Response.Body), &told) == nil && told.Method != "" {
		if called := strings.Contains(e.Response.Body, x.ID); called != got.Called {
			t.Errorf("%d %s: upstream called: %v, recorded %v", e.N, e.Request.Path, got.Called, called)
		} else if called {
			want := []any{told.Method, told.URL, told.Body, others(told.Headers, hostRequestHeaders)}
			sent := []any{got.Upstream.Method, got.Upstream.URL, got.Upstream.Body, others(got.Upstream.Header, hostRequestHeaders)}
			if diff := cmp.Diff(want, sent); diff != "" {
				t.Errorf("%d %s: the upstream gets (-recorded +got):\n%s", e.N, e.Request.Path, diff)
			}
		}
	} else if e.Request.Method != "HEAD" && got.Body != e.Response.Body && !strings.Contains(e.Response.Body, "matched_route") {
		t.Errorf("%d %s: body (-recorded +got):\n%s", e.N, e.Request.Path, cmp.Diff(e.Response.Body, got.Body))
	}
	return got
}

func compareResponse(t *testing.T, e referencetest.Exchange, got *pdktest.Result, keys map[string]string) {
	if got.Err != nil || got.Status != e.Response.Status {
		t.Errorf("%d %s: got %d, %v, recorded %d", e.N, e.Request.Path, got.Status, got.Err, e.Response.Status)
	}
	want, have := others(e.Response.Headers, hostHeaders), others(got.Header, hostHeaders)
	for i := range min(len(want), len(have)) {
		a, b := &want[i], &have[i]
		if a[0] != b[0] {
			break
		}
		switch a[0] {
		case "content-type": // the engine adds a charset
			a[1] = strings.TrimSuffix(a[1], "; charset=UTF-8")
		case "ratelimit-reset", "retry-after", "age": // depend on the clock
			a[1], b[1] = "", ""
		case "x-cache-key": // depends on the route's id, mostly
			if old, ok := keys[a[1]]; ok && old != b[1] {
				t.Errorf("%d %s: the cache key differs from that of an equal request", e.N, e.Request.Path)
			}
			keys[a[1]] = b[1]
			if strings.HasPrefix(e.Request.Path, "/pc/") {
				a[1], b[1] = "", ""
			}
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%d %s %s: header (-recorded +got):\n%s", e.N, e.Request.Method, e.Request.Path, diff)
	}
}

// others returns the lines whose names are not in a list, sorted and in lower case.
func others(lines [][2]string, names []string) [][2]string {
	var out [][2]string
	for _, l := range lines {
		if name := strings.ToLower(l[0]); !slices.Contains(names, name) {
			out = append(out, [2]string{name, l[1]})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i][0]+out[i][1] < out[j][0]+out[j][1] })
	return out
}

func header(lines [][2]string, name string) string {
	for _, l := range lines {
		if pdk.EqualFold(l[0], name) {
			return l[1]
		}
	}
	return ""
}
