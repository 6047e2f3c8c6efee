package e2e

import (
	"bufio"
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
	ups := referencetest.Upstreams(t)
	document, missing := c.recordedConfig(filepath.Join(referencetest.Dir(t), "exchanges", "proxy.yml"), ups, n)
	c.must("POST", "/config", object{"config": document}, 201, headers{"X-Sluice-Wait", "all"})
	masked := strings.NewReplacer(":"+port(ups[0].Address()), ":28900", ":"+port(ups[1].Address()), ":28901", ":"+port(n.base), ":28000")
	r := &proxyReplay{proxy: strings.TrimPrefix(n.base, "http://"), masks: referencetest.Masks{
		Text: func(s string) string { return product.ReplaceAllString(masked.Replace(s), "PRODUCT") }, Port: port(n.base),
		AnyLength: true, // the products' names have other lengths
	}}
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
func (c *cluster) recordedConfig(path string, ups []*referencetest.Upstream, n *node) (document string, missing *regexp.Regexp) {
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
	replace := strings.NewReplacer("127.0.0.1:28900", ups[0].Address(), "127.0.0.1:28901", ups[1].Address(), "port.example:28000", "port.example:"+port(n.base))
	return replace.Replace(strings.Join(out, "\n")), regexp.MustCompile(strings.Join(left, "|"))
}

func port(address string) string { return address[strings.LastIndex(address, ":")+1:] }

var product = regexp.MustCompile(`(sluice|kong)/[0-9a-zA-Z.+-]+`)

// proxyReplay sends recorded calls.
type proxyReplay struct {
	proxy string
	masks referencetest.Masks
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
	return cmp.Diff(r.masks.Recorded(e), r.masks.Got(e, resp, body))
}
