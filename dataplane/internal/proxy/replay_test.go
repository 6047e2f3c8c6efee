package proxy_test

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/referencetest"
)

// floors are how many recorded exchanges of a group must be answered as recorded. They
// only rise.
var floors = map[string]int{
	"balancer": 24, "errors": 36, "headers": 26, "https_redirect": 9, "key-auth": 18, "paths": 108, "proxy-cache": 36,
	"rate-limiting": 12, "request-termination": 7, "routing": 58,
}

// differ lists exchanges that are answered otherwise on purpose.
var differ = map[int]string{
	234: "times inside of Kong",
	239: "an upstream's X-Accel-Redirect means nothing here, and does not reach the client",
	288: "HTTP/0.9 is not HTTP",
	440: "times, ports and the id of a workspace",
}

// cacheTTL stands for the recorded five seconds of proxy-cache's cache_ttl; before
// pausing calls it must be over.
const cacheTTL = 2 * time.Second

var pausing = []int{414, 434}

// TestReplay sends the recorded calls in their order and compares the answers.
func TestReplay(t *testing.T) {
	exchanges := referencetest.Exchanges(t, "proxy.jsonl")
	g := newGateway(t, func(o *proxy.Options) { o.Product, o.AllowDebug = "kong/3.9.3", false })
	ups := referencetest.Upstreams(t)
	port := portOf(g.address)
	masked := strings.NewReplacer(":"+portOf(ups[0].Address()), ":28900", ":"+portOf(ups[1].Address()), ":28901", ":"+port, ":28000")
	r := &replay{g: g, theirs: strings.NewReplacer(":28000", ":"+port), masks: referencetest.Masks{Text: masked.Replace, Port: port}}
	document := g.recorded(t, "proxy.yml", strings.NewReplacer(
		"127.0.0.1:28900", ups[0].Address(), "127.0.0.1:28901", ups[1].Address(), ":28000", ":"+port,
		`"cache_ttl":5`, fmt.Sprintf(`"cache_ttl":%d`, int(cacheTTL.Seconds())),
	))
	g.serve(document.changes...)
	good, total, skipped := map[string]int{}, map[string]int{}, map[string]int{}
	for i := range exchanges {
		e := &exchanges[i]
		if e.Target != "proxy" || e.Response == nil {
			continue
		}
		if document.isMissing(e.Request.Path) {
			skipped[e.Group]++
			continue
		}
		if e.Group == "rate-limiting" && total[e.Group] == 0 {
			untilMinuteIsYoung()
		}
		if slices.Contains(pausing, e.N) {
			time.Sleep(cacheTTL + 200*time.Millisecond)
		}
		total[e.Group]++
		diff := r.compare(e)
		why, known := differ[e.N]
		switch {
		case diff == "" && known:
			t.Errorf("%d is answered as recorded, although it is listed as different: %s", e.N, why)
		case diff == "":
			good[e.Group]++
		case !known:
			t.Logf("%d %s %s %s %v %.100s\n%s", e.N, e.Group, e.Request.Method, e.Request.Path, e.Request.Headers[1:], e.Request.Body, diff)
		}
	}
	for _, group := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%-20s %3d of %3d as recorded, %d about plugins that are not here", group, good[group], total[group], skipped[group])
		if good[group] < floors[group] {
			t.Errorf("group %s: %d as recorded, fewer than before (%d)", group, good[group], floors[group])
		}
	}
	t.Logf("left out, for want of a plugin: %v", document.missing)
}

// untilMinuteIsYoung keeps calls that count by the minute in one minute.
func untilMinuteIsYoung() {
	if now := time.Now(); now.Second() > 50 {
		time.Sleep(time.Until(now.Truncate(time.Minute).Add(time.Minute)))
	}
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

type replay struct {
	g *gateway
	// theirs turns what was recorded into what is sent here.
	theirs *strings.Replacer
	masks  referencetest.Masks
}

// compare makes the call, and returns how the answer differs from the recorded one, ""
// for not at all.
func (r *replay) compare(e *referencetest.Exchange) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\n", e.Request.Method, e.Request.Path, e.Request.HTTP)
	for _, h := range e.Request.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], r.theirs.Replace(h[1]))
	}
	b.WriteString("\r\n" + e.Request.Body)
	a := r.g.do(b.String())
	return cmp.Diff(r.masks.Recorded(e), r.masks.Got(e, a.Response, a.body))
}
