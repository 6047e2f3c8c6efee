package proxy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/dataplane/internal/config"
	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/referencetest"
	"github.com/sluice-gateway/sluice/shared/schema"
)

const explainSeed = 20261125

// picks makes configurations and requests of few words.
type picks struct{ *rand.Rand }

func (p picks) one(of ...string) string { return of[p.IntN(len(of))] }

func (p picks) id() string {
	var id [16]byte
	for i := range id {
		id[i] = byte(p.Uint32())
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return uuid.UUID(id).String()
}

// scopeMarker is a plugin whose config shows in the answer.
func scopeMarker(p picks, scope string, o schema.Object) schema.Object {
	o["id"], o["name"] = p.id(), "response-transformer"
	o["config"] = schema.Object{"add": schema.Object{"headers": []any{"X-Scope:" + scope}}}
	return o
}

func (p picks) configuration(g *gateway, upstream string) []config.Change {
	host, port, _ := net.SplitHostPort(upstream)
	n, _ := strconv.Atoi(port)
	changes := []config.Change{}
	if p.IntN(2) == 0 {
		changes = append(changes, g.change("plugins", scopeMarker(p, "global", schema.Object{})))
	}
	var services []string
	for i := range 3 {
		id := p.id()
		services = append(services, id)
		s := schema.Object{"id": id, "name": fmt.Sprint("s", i), "host": host, "port": int64(n), "protocol": "http"}
		if base := p.one("", "/", "/base", "/base/"); base != "" {
			s["path"] = base
		}
		if p.IntN(2) == 0 {
			name := fmt.Sprint("up", i)
			changes = append(changes, g.change("upstreams", schema.Object{"id": id[:35] + "0", "name": name}),
				g.change("targets", schema.Object{"id": id[:35] + "1", "target": upstream, "upstream": schema.Object{"id": id[:35] + "0"}}))
			s["host"] = name
		}
		changes = append(changes, g.change("services", s))
		if p.IntN(2) == 0 {
			changes = append(changes, g.change("plugins", scopeMarker(p, "service", schema.Object{"service": schema.Object{"id": id}})))
		}
	}
	for range 2 + p.IntN(12) {
		id := p.id()
		r := schema.Object{
			"id": id, "strip_path": p.IntN(2) == 0, "preserve_host": p.IntN(2) == 0,
			"paths": []any{p.one("/", "/a", "/a/b", "=/a", "/ab", "~/a/(?<id>[a-z]+)", "~/(a|b)/", "/a/")},
		}
		if s := p.IntN(len(services) + 1); s < len(services) {
			r["service"] = schema.Object{"id": services[s]}
		}
		if p.IntN(3) == 0 {
			r["hosts"] = []any{p.one("a.test", "*.test", "a.*", "b.test")}
		}
		if p.IntN(4) == 0 {
			r["methods"] = []any{p.one("GET", "PUT")}
		}
		if p.IntN(4) == 0 {
			r["headers"] = schema.Object{"x-v": []any{p.one("1", "2", "~*^[0-9]$")}}
		}
		if p.IntN(6) == 0 {
			r["protocols"], r["https_redirect_status_code"] = []any{"https"}, int64([]int{426, 301, 308}[p.IntN(3)])
		}
		changes = append(changes, g.change("routes", r))
		if p.IntN(2) == 0 {
			changes = append(changes, g.change("plugins", scopeMarker(p, "route", schema.Object{"route": schema.Object{"id": id}})))
		}
	}
	return changes
}

// TestExplainIsWhatHappens compares explanations with what a live node does.
func TestExplainIsWhatHappens(t *testing.T) {
	g := newGateway(t, func(o *proxy.Options) { o.AllowDebug = true })
	up := referencetest.NewUpstream(t, 28900)
	p := picks{rand.New(rand.NewPCG(explainSeed, 1))} //nolint:gosec // cases, not secrets
	served, refused, missed := 0, 0, 0
	for round := range 25 {
		g.serve(p.configuration(g, up.Address())...)
		for range 30 {
			q := &proxy.Question{
				Method: p.one("GET", "PUT", "POST"), Scheme: "http", Host: p.one("a.test", "b.test", "x.test", "a.example", "A.Test"),
				Path: p.one("/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b/x", "/abc?q=1", "/a/./b", "/%61/b?"),
			}
			if p.IntN(2) == 0 {
				q.Headers = [][2]string{{"X-V", p.one("1", "2", "x")}}
			}
			text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nKong-Debug: 1\r\n", q.Method, q.Path, q.Host)
			for _, h := range q.Headers {
				text += h[0] + ": " + h[1] + "\r\n"
			}
			if _, port, err := net.SplitHostPort(g.address); err == nil {
				q.Port, _ = strconv.Atoi(port)
			}
			told, err := g.proxy.Explain(q)
			if err != nil {
				t.Fatal(err)
			}
			live := g.do(text + "\r\n")
			switch {
			case !told.Matched:
				missed++
			case told.Answer != nil:
				refused++
			default:
				served++
			}
			if wrong := differs(told, &live); wrong != "" {
				b, _ := json.MarshalIndent(told, "", " ")
				t.Fatalf("seed %d round %d: %s: %s\n%s\n%d %v %s", explainSeed, round, text, wrong, b, live.StatusCode, live.Header, live.body)
			}
		}
	}
	t.Logf("%d served, %d answered by the gateway, %d without route", served, refused, missed)
	if served < 100 || refused < 20 || missed < 10 {
		t.Error("the cases test little")
	}
}

// differs says how an explanation differs from what happened.
func differs(told *proxy.Explanation, live *answer) string {
	route := live.Header.Get("Kong-Route-Id")
	if told.Matched != (route != "") || told.Matched && (told.Route.ID != route || told.Candidates[0].Route.ID != route || !told.Candidates[0].Wins) {
		return "another route: " + route
	}
	scope := ""
	if len(told.Plugins) > 0 {
		if _, after, ok := strings.Cut(string(told.Plugins[0].Config), "X-Scope:"); ok {
			scope, _, _ = strings.Cut(after, `"`)
		}
	}
	if got := live.Header.Get("X-Scope"); got != scope || scope != "" && told.Plugins[0].Scope[0] != scope {
		return "other plugins: " + got
	}
	if told.Answer != nil {
		if told.Answer.Status != live.StatusCode || told.Answer.Location != live.Header.Get("Location") || told.Answer.Status != 301 && told.Answer.Status != 308 && !strings.Contains(live.body, told.Answer.Message) {
			return "another answer"
		}
		return ""
	}
	var echo struct {
		URL     string      `json:"url"`
		Headers [][2]string `json:"headers"`
	}
	if err := json.Unmarshal([]byte(live.body), &echo); err != nil {
		return err.Error()
	}
	if echo.URL != told.Upstream.Path || len(told.Upstream.Targets) != 1 {
		return "another upstream: " + echo.URL
	}
	for _, h := range echo.Headers {
		if h[0] == "Host" && told.Upstream.HostHeader != "" && h[1] != told.Upstream.HostHeader {
			return "another Host: " + h[1]
		}
	}
	return ""
}

func TestExplainRefuses(t *testing.T) {
	g := newGateway(t, nil)
	for says, q := range map[string]proxy.Question{
		"path": {Path: "a", Scheme: "http"}, "scheme": {Path: "/", Scheme: "ftp"}, "http": {Path: "/", Scheme: "http", HTTP: "3"},
		"source": {Path: "/", Scheme: "http", Source: "x"}, "port": {Path: "/", Scheme: "http", Port: 70000}, "consumer": {Path: "/", Scheme: "http", Consumer: "nobody"},
	} {
		if _, err := g.proxy.Explain(&q); err == nil || !strings.HasPrefix(err.Error(), says+":") {
			t.Errorf("%s: %v", says, err)
		}
	}
}
