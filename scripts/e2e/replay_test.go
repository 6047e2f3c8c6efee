package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/referencetest"
)

// proxyFloors are how many recorded exchanges of a group must be answered as recorded.
// They only rise.
var proxyFloors = map[string]int{
	"balancer": 24, "errors": 36, "headers": 26, "https_redirect": 9, "key-auth": 18, "paths": 108, "proxy-cache": 36,
	"rate-limiting": 17, "request-termination": 7, "routing": 58,
}

// proxyDiffer lists exchanges that are answered otherwise on purpose.
var proxyDiffer = map[int]string{
	234: "times inside of Kong",
	239: "an upstream's X-Accel-Redirect means nothing here, and does not reach the client",
	288: "HTTP/0.9 is not HTTP",
	440: "times, ports and the id of a workspace",
}

// recordedPauses are calls before which the recorder waited for something to end.
var recordedPauses = map[int]time.Duration{414: 5200 * time.Millisecond, 434: 5200 * time.Millisecond}

// TestProxyReplay configures real programs as the recorded ones were, sends the recorded
// calls through the proxy in their order and compares the answers.
func TestProxyReplay(t *testing.T) {
	exchanges := referencetest.Exchanges(t, "proxy.jsonl")
	c := newCluster(t, 1, "--database", "off")
	n := c.nodes[0]
	ups := []*recordedUpstream{newRecordedUpstream(t, 28900), newRecordedUpstream(t, 28901)}
	if ups[1].address() < ups[0].address() {
		// Targets that are made at once take turns in the order of their names.
		ups[0].port, ups[1].port = ups[1].port, ups[0].port
		slices.Reverse(ups)
	}
	document, missing := c.recordedConfig(filepath.Join(referencetest.Dir(t), "exchanges", "proxy.yml"), ups, n)
	c.must("POST", "/config", object{"config": document}, 201, headers{"X-Sluice-Wait", "all"})
	r := &proxyReplay{t: t, proxy: strings.TrimPrefix(n.base, "http://"), cluster: c, ups: ups}
	good, total, skipped := map[string]int{}, map[string]int{}, map[string]int{}
	for i := range exchanges {
		e := &exchanges[i]
		if e.Target != "proxy" || e.Response == nil {
			continue
		}
		if missing.MatchString(e.Request.Path) {
			skipped[e.Group]++
			continue
		}
		total[e.Group]++
		time.Sleep(recordedPauses[e.N])
		diff := r.compare(e)
		why, known := proxyDiffer[e.N]
		switch {
		case diff == "" && known:
			t.Errorf("%d is answered as recorded, although it is listed as different: %s", e.N, why)
			good[e.Group]++
		case diff == "":
			good[e.Group]++
		case !known:
			t.Logf("%d %s %s %s %v %.100s\n%s", e.N, e.Group, e.Request.Method, e.Request.Path, e.Request.Headers[1:], e.Request.Body, diff)
		}
	}
	sum, of := 0, 0
	for _, group := range slices.Sorted(maps.Keys(total)) {
		sum, of = sum+good[group], of+total[group]
		t.Logf("%-20s %3d of %3d as recorded, %d about plugins that are not here", group, good[group], total[group], skipped[group])
		if good[group] < proxyFloors[group] {
			t.Errorf("group %s: %d as recorded, fewer than before (%d)", group, good[group], proxyFloors[group])
		}
	}
	t.Logf("%d of %d as recorded (%.1f %%)", sum, of, 100*float64(sum)/float64(of))
}

// recordedConfig is the recorded document without plugins and entities that are not here;
// missing matches the paths of routes that are left out with them.
func (c *cluster) recordedConfig(path string, ups []*recordedUpstream, n *node) (document string, missing *regexp.Regexp) {
	c.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	plugin, kind := regexp.MustCompile(`\{name: ([a-z0-9-]+)(?:\}|, config)`), regexp.MustCompile(`^  ([a-z0-9]+_credentials|jwt_secrets|acls): `)
	paths := regexp.MustCompile(`paths: \[("?)(?:~)?(/[a-z0-9]+)`)
	here, _ := c.get("/").at("plugins", "available_on_server").(map[string]any)
	left := []string{"^$"}
	var out []string
	for line := range strings.SplitSeq(string(b), "\n") {
		drop := false
		if strings.Contains(line, "plugins: [") {
			for _, m := range plugin.FindAllStringSubmatch(line[strings.Index(line, "plugins: ["):], -1) {
				drop = drop || here[m[1]] == nil
			}
		}
		if m := kind.FindStringSubmatch(line); m != nil {
			drop = c.try("GET", "/schemas/"+m[1], nil).is(200) != nil
		}
		if !drop {
			out = append(out, line)
		} else if m := paths.FindStringSubmatch(line); m != nil {
			left = append(left, "^"+m[2]+"(?:[/?]|$)")
		}
	}
	replace := strings.NewReplacer("127.0.0.1:28900", ups[0].address(), "127.0.0.1:28901", ups[1].address(), "port.example:28000", "port.example:"+port(n.base))
	return replace.Replace(strings.Join(out, "\n")), regexp.MustCompile(strings.Join(left, "|"))
}

func port(address string) string { return address[strings.LastIndex(address, ":")+1:] }

// proxyReplay sends recorded calls.
type proxyReplay struct {
	t       *testing.T
	proxy   string
	cluster *cluster
	ups     []*recordedUpstream
}

// ours turns what was recorded into what is sent here.
func (r *proxyReplay) ours(s string) string {
	return strings.NewReplacer(":28000", ":"+port(r.proxy)).Replace(s)
}

// send makes the call on a connection of its own.
func (r *proxyReplay) send(e *referencetest.Exchange) (*http.Response, string, error) {
	nc, err := net.Dial("tcp", r.proxy)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(5 * time.Second))
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\n", e.Request.Method, r.ours(e.Request.Path), e.Request.HTTP)
	for _, h := range e.Request.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], r.ours(h[1]))
	}
	b.WriteString("\r\n" + e.Request.Body)
	if _, err := io.WriteString(nc, b.String()); err != nil {
		return nil, "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: e.Request.Method})
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == io.ErrUnexpectedEOF { //nolint:errorlint // readers return it bare
		err = nil // the recorded one may have ended early, too
	}
	return resp, string(body), err
}

// compare returns how the answer differs from the recorded one, "" for not at all.
func (r *proxyReplay) compare(e *referencetest.Exchange) string {
	resp, body, err := r.send(e)
	if err != nil {
		return err.Error()
	}
	type message struct {
		Status  int
		Headers []string
		Body    any
	}
	want := message{Status: e.Response.Status, Body: r.normalBody(e.Response.Body)}
	for _, h := range e.Response.Headers {
		want.Headers = append(want.Headers, r.normalHeader(h[0], h[1])...)
	}
	got := message{Status: resp.StatusCode, Body: r.normalBody(body)}
	for name, values := range resp.Header {
		for _, v := range values {
			got.Headers = append(got.Headers, r.normalHeader(name, v)...)
		}
	}
	// net/http takes these out of the header.
	for _, coding := range resp.TransferEncoding {
		got.Headers = append(got.Headers, "Transfer-Encoding: "+coding)
	}
	if resp.Close && resp.Header.Get("Connection") == "" {
		got.Headers = append(got.Headers, "Connection: close")
	}
	slices.Sort(want.Headers)
	slices.Sort(got.Headers)
	if strings.HasPrefix(e.Request.Path, "/hash") || strings.HasPrefix(e.Request.Path, "/cookie") {
		// Which target a value leads to is the ring's own.
		oneTarget(want.Body)
		oneTarget(got.Body)
	}
	return cmp.Diff(want, got)
}

func oneTarget(body any) {
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
	latency = regexp.MustCompile(`^X-Kong-(Upstream|Proxy|Response)-Latency$`)
	product = regexp.MustCompile(`(sluice|kong)/[0-9a-zA-Z.+-]+`)
	id      = regexp.MustCompile(`\b[0-9a-f]{32}\b|\b[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
)

func (r *proxyReplay) normalHeader(name, value string) []string {
	name = http.CanonicalHeaderKey(name)
	switch {
	case name == "Date", name == "Content-Length": // the products' names have other lengths
		return nil
	case latency.MatchString(name):
		value = "a number"
	case name == "Ratelimit-Reset", name == "Retry-After", name == "Age":
		value = "a number"
	case name == "X-Cache-Key":
		value = "a key"
	case name == "Connection" && value == "keep-alive":
		return nil
	}
	return []string{name + ": " + strings.TrimSpace(r.normal(value))}
}

func (r *proxyReplay) normal(s string) string {
	s = id.ReplaceAllString(product.ReplaceAllString(s, "PRODUCT"), "ID")
	for i, u := range r.ups {
		s = strings.ReplaceAll(s, ":"+port(u.address()), fmt.Sprintf(":2890%d", i))
	}
	return strings.ReplaceAll(s, ":"+port(r.proxy), ":28000")
}

// normalBody makes echoes comparable: the order of lines is the engines' own.
func (r *proxyReplay) normalBody(body string) any {
	var echo map[string]any
	if json.Unmarshal([]byte(body), &echo) != nil {
		return r.normal(body)
	}
	if lines, ok := echo["headers"].([]any); ok {
		var out []string
		for _, l := range lines {
			pair, ok := l.([]any)
			if !ok || len(pair) != 2 {
				continue
			}
			name, value := fmt.Sprint(pair[0]), fmt.Sprint(pair[1])
			if name == "X-Forwarded-Port" && value == port(r.proxy) {
				value = "28000"
			}
			out = append(out, name+": "+r.normal(value))
		}
		slices.Sort(out)
		echo["headers"] = out
	}
	for k, v := range echo {
		if s, ok := v.(string); ok {
			echo[k] = r.normal(s)
		}
	}
	return echo
}
