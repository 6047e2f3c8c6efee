package proxy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
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
	ups := []*recordedUpstream{newRecordedUpstream(t, 28900), newRecordedUpstream(t, 28901)}
	if ups[1].address() < ups[0].address() {
		// Targets that are made at once take turns in the order of their names.
		ups[0].port, ups[1].port = ups[1].port, ups[0].port
		slices.Reverse(ups)
	}
	port := portOf(g.address)
	r := &replay{g: g, port: port, theirs: strings.NewReplacer(":28000", ":"+port)}
	r.masked = strings.NewReplacer(":"+portOf(ups[0].address()), ":28900", ":"+portOf(ups[1].address()), ":28901", ":"+port, ":28000")
	document := g.recorded(t, "proxy.yml", strings.NewReplacer(
		"127.0.0.1:28900", ups[0].address(), "127.0.0.1:28901", ups[1].address(), ":28000", ":"+port,
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
	g    *gateway
	port string
	// theirs turns what was recorded into what is sent here, masked the answer back.
	theirs, masked *strings.Replacer
}

// message is a response in a form that can be compared.
type message struct {
	Status  int
	Headers []string
	Body    any
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
	want := message{Status: e.Response.Status, Body: r.body(e.Response.Body)}
	for _, h := range e.Response.Headers {
		want.Headers = append(want.Headers, r.header(h[0], h[1])...)
	}
	got := message{Status: a.StatusCode, Body: r.body(a.body)}
	for name, values := range a.Header {
		for _, v := range values {
			got.Headers = append(got.Headers, r.header(name, v)...)
		}
	}
	// net/http takes these out of the header.
	for _, coding := range a.TransferEncoding {
		got.Headers = append(got.Headers, "Transfer-Encoding: "+coding)
	}
	if a.Close && a.Header.Get("Connection") == "" {
		got.Headers = append(got.Headers, "Connection: close")
	}
	slices.Sort(want.Headers)
	slices.Sort(got.Headers)
	if strings.HasPrefix(e.Request.Path, "/hash") || strings.HasPrefix(e.Request.Path, "/cookie") {
		// Which target a value leads to is the ring's own.
		anyTarget(want.Body)
		anyTarget(got.Body)
	}
	return cmp.Diff(want, got)
}

func anyTarget(body any) {
	echo, ok := body.(map[string]any)
	if !ok {
		return
	}
	echo["port"] = "any"
	if lines, ok := echo["headers"].([]string); ok {
		for i := range lines {
			lines[i] = strings.ReplaceAll(lines[i], ":28901", ":28900")
		}
	}
}

var (
	counted = regexp.MustCompile(`^(X-Kong-(Upstream|Proxy|Response)-Latency|Ratelimit-Reset|Retry-After|Age)$`)
	ids     = regexp.MustCompile(`\b[0-9a-f]{32}\b|\b[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
)

// header is a line without what is new each time.
func (r *replay) header(name, value string) []string {
	name = http.CanonicalHeaderKey(name)
	switch {
	case name == "Date", name == "Connection" && value == "keep-alive":
		return nil
	case counted.MatchString(name):
		value = "a number"
	case name == "X-Cache-Key":
		value = "a key"
	}
	return []string{name + ": " + strings.TrimSpace(r.text(value))}
}

func (r *replay) text(s string) string { return ids.ReplaceAllString(r.masked.Replace(s), "ID") }

// body makes echoes comparable: the order of lines is the engines' own.
func (r *replay) body(text string) any {
	var echo map[string]any
	if json.Unmarshal([]byte(text), &echo) != nil {
		return r.text(text)
	}
	if lines, ok := echo["headers"].([]any); ok {
		var out []string
		for _, l := range lines {
			pair, ok := l.([]any)
			if !ok || len(pair) != 2 {
				continue
			}
			name, value := fmt.Sprint(pair[0]), fmt.Sprint(pair[1])
			if name == "X-Forwarded-Port" && value == r.port {
				value = "28000"
			}
			out = append(out, name+": "+r.text(value))
		}
		slices.Sort(out)
		echo["headers"] = out
	}
	for k, v := range echo {
		if s, ok := v.(string); ok {
			echo[k] = r.text(s)
		}
	}
	return echo
}
