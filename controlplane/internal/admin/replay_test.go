package admin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/plugins"
	"github.com/sluice-gateway/sluice/shared/referencetest"
)

// floors are how many exchanges of a group must be answered as recorded. They only rise.
var floors = map[string]int{
	"body": 44, "ca_certificates": 13, "certificates": 24, "credentials": 62, "filter-chains": 3, "info": 38, "list": 31,
	"plugins": 154, "routes": 108, "services": 85, "upstreams": 45,
}

// differ lists exchanges that are answered otherwise on purpose, or that cannot be
// answered as recorded.
var differ = map[int]string{
	7:  "Kong writes len_min into a schema when it is first used, ours has it from the start",
	16: "a control plane has data planes", 17: "a control plane has data planes",
	19:  "there are workspaces here, as in Kong's Enterprise edition",
	577: "plugins have an ordering here, as in Kong's Enterprise edition",
	663: "words of OpenSSL", 699: "words of OpenSSL",
}

// replay sends the recorded walk through a real server.
type replay struct {
	t      *testing.T
	server string
	client *http.Client
	// ours is what stands for what Kong made up: ids, keys, secrets, offsets.
	ours map[string]string
	// absent are plugins and parts of paths that are not here.
	absentPlugin *regexp.Regexp
	absentPath   map[string]bool
}

// TestReplay sends the recorded walk and counts the answers that are as recorded.
func TestReplay(t *testing.T) {
	exchanges := referencetest.Exchanges(t, "admin.jsonl")
	server := newServer(t, nil)
	r := &replay{t: t, server: server.URL, client: server.Client(), ours: map[string]string{}}
	// The recorded client did not ask for compression, as Go's does by itself.
	r.client.Transport.(*http.Transport).DisableCompression = true
	r.findAbsent(exchanges)
	good, total, absent := map[string]int{}, map[string]int{}, map[string]int{}
	for i := range exchanges {
		e := &exchanges[i]
		status, header, body := r.send(e)
		switch {
		case e.Response == nil:
			continue
		case r.lacks(e):
			absent[e.Group]++
			continue
		}
		total[e.Group]++
		diff := r.compare(e, status, header, body)
		if diff == "" {
			good[e.Group]++
			if why, known := differ[e.N]; known {
				t.Errorf("%d is answered as recorded, although it is listed as different: %s", e.N, why)
			}
			continue
		}
		if _, known := differ[e.N]; !known {
			t.Logf("%d %s %s %s %.200s:\n%s", e.N, e.Group, e.Request.Method, e.Request.Path, e.Request.Body, diff)
		}
	}
	sum, of := 0, 0
	for _, group := range slices.Sorted(maps.Keys(total)) {
		sum, of = sum+good[group], of+total[group]
		t.Logf("%-16s %3d of %3d as recorded, %d about plugins that are not here", group, good[group], total[group], absent[group])
		if good[group] < floors[group] {
			t.Errorf("group %s: %d as recorded, fewer than before (%d)", group, good[group], floors[group])
		}
	}
	t.Logf("%d of %d as recorded (%.1f %%)", sum, of, 100*float64(sum)/float64(of))
}

// TestReplayExpressions sends what was recorded with routes of the expressions flavor.
func TestReplayExpressions(t *testing.T) {
	server := newServerOf(t, entity.Expressions, nil)
	r := &replay{t: t, server: server.URL, client: server.Client(), ours: map[string]string{}}
	good, total := 0, 0
	for _, e := range referencetest.Exchanges(t, "expressions.jsonl") {
		if e.Target != "admin" {
			continue
		}
		status, header, body := r.send(&e)
		if e.Response == nil {
			continue
		}
		total++
		// 26: Kong writes len_min and required into the schema of elements that it has checked.
		if diff := r.compare(&e, status, header, body); diff != "" && e.N != 26 {
			t.Errorf("%d %s %s %.200s:\n%s", e.N, e.Request.Method, e.Request.Path, e.Request.Body, diff)
			continue
		}
		good++
	}
	t.Logf("%d of %d as recorded", good, total)
}

func (r *replay) findAbsent(exchanges []referencetest.Exchange) {
	var priorities map[string]any
	readReference(r.t, "schemas/priorities.json", &priorities)
	var missing []string
	for name := range priorities {
		if plugins.Bundled().ByName(name) == nil {
			missing = append(missing, regexp.QuoteMeta(name))
		}
	}
	r.absentPlugin = regexp.MustCompile(`(?:"name": ?"|name=|/schemas/plugins/)(?:` + strings.Join(missing, "|") + `)(?:"|&|$)`)
	r.absentPath = map[string]bool{}
	here := map[string]bool{}
	for _, path := range r.endpoints() {
		for part := range strings.SplitSeq(path, "/") {
			here[part] = true
		}
	}
	for _, e := range exchanges {
		if e.Request.Path != "/endpoints" {
			continue
		}
		var recorded struct{ Data []string }
		if err := json.Unmarshal([]byte(e.Response.Body), &recorded); err != nil {
			r.t.Fatal(err)
		}
		for _, path := range recorded.Data {
			for part := range strings.SplitSeq(path, "/") {
				if !here[part] {
					r.absentPath[part] = true
				}
			}
		}
	}
}

func (r *replay) endpoints() []string {
	response, err := r.client.Get(r.server + "/endpoints")
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var ours struct{ Data []string }
	if err := json.NewDecoder(response.Body).Decode(&ours); err != nil {
		r.t.Fatal(err)
	}
	return ours.Data
}

// lacks tells whether an exchange is about a plugin that is not here.
func (r *replay) lacks(e *referencetest.Exchange) bool {
	path, _, _ := strings.Cut(e.Request.Path, "?")
	for part := range strings.SplitSeq(path, "/") {
		if r.absentPath[part] {
			return true
		}
	}
	return r.absentPlugin.MatchString(e.Request.Body) || r.absentPlugin.MatchString(e.Response.Body) || r.absentPlugin.MatchString(path)
}

func (r *replay) send(e *referencetest.Exchange) (int, http.Header, []byte) {
	r.t.Helper()
	body := r.translate(e.Request.Body)
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(r.t.Context(), e.Request.Method, r.server+"/", reader)
	if err != nil {
		r.t.Fatal(err)
	}
	target, err := url.Parse(r.server)
	if err != nil {
		r.t.Fatal(err)
	}
	path, query, _ := strings.Cut(r.translate(e.Request.Path), "?")
	target.Opaque, target.RawQuery = "//"+target.Host+path, query
	request.URL = target
	for _, h := range e.Request.Headers {
		if !strings.EqualFold(h[0], "Host") && !strings.EqualFold(h[0], "Content-Length") {
			request.Header.Add(h[0], h[1])
		}
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatalf("%d: %v", e.N, err)
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatalf("%d: %v", e.N, err)
	}
	if response.Close {
		response.Header.Set("Connection", "close") // which the client takes out
	}
	return response.StatusCode, response.Header, got
}

// translate puts what we made up in the place of what Kong made up.
func (r *replay) translate(s string) string {
	for recorded, ours := range r.ours {
		if len(recorded) >= 20 {
			s = strings.ReplaceAll(s, recorded, ours)
		}
	}
	return s
}

func (r *replay) compare(e *referencetest.Exchange, status int, header http.Header, body []byte) string {
	if status != e.Response.Status {
		return fmt.Sprintf("status %d, recorded %d\n got %.600s\nwant %.600s", status, e.Response.Status, body, e.Response.Body)
	}
	if diff := compareHeaders(e, header, len(body)); diff != "" {
		return diff
	}
	var want, got any
	if json.Unmarshal([]byte(e.Response.Body), &want) != nil {
		if string(body) != e.Response.Body {
			return fmt.Sprintf("body %q, recorded %q", body, e.Response.Body)
		}
		return ""
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return fmt.Sprintf("body %q: %v", body, err)
	}
	path, query, _ := strings.Cut(e.Request.Path, "?")
	if within, ok := nodesOwn[path]; ok {
		return compareOwn(want, got, within)
	}
	if strings.Contains(query, "size=") || strings.Contains(query, "offset=") {
		return r.comparePage(want, got)
	}
	r.learn(want, got)
	return cmp.Diff(normal(r.translated(want)), normal(got))
}

// ownHeaders are ours beside Kong's: the revision of a write, warnings of it, the tag of what was read, and
// what RFC 9110 demands of a 405.
var ownHeaders = []string{"X-Sluice-Revision", "X-Sluice-Warning", "Etag", "Allow"}

// compareHeaders compares all headers but the time that an answer took and was made at.
func compareHeaders(e *referencetest.Exchange, header http.Header, length int) string {
	recorded := http.Header{}
	for _, h := range e.Response.Headers {
		recorded.Add(h[0], h[1])
	}
	for name := range recorded {
		if header.Get(name) == "" {
			return "no header " + name
		}
		switch name {
		case "Date", "X-Kong-Admin-Latency":
		case "Content-Length":
			if e.Request.Method != http.MethodHead && header.Get(name) != strconv.Itoa(length) {
				return fmt.Sprintf("Content-Length %s of a body of %d bytes", header.Get(name), length)
			}
		default:
			if got, want := header.Get(name), recorded.Get(name); got != want {
				return fmt.Sprintf("header %s is %q, recorded %q", name, got, want)
			}
		}
	}
	for name := range header {
		if recorded[name] == nil && !slices.Contains(ownHeaders, name) {
			return fmt.Sprintf("header %s: %s is not among the recorded ones", name, header.Get(name))
		}
	}
	return ""
}

// nodesOwn are documents whose values are a node's own, with the members that hold no
// values of Kong's: Lua has dictionaries and timers, a program in Go has other ones.
var nodesOwn = map[string][]string{
	"/":                {"configuration", "timers", "pids", "plugins.available_on_server", "plugins.enabled_in_cluster"},
	"/status":          {"memory.lua_shared_dicts"},
	"/timers":          {"stats.timers"},
	"/endpoints":       {"data"},
	"/plugins/enabled": {"enabled_plugins"},
}

// compareOwn compares which members there are and of which types, but for those below a
// path of within. Lists of a node's own are compared by the test of what they list.
func compareOwn(want, got any, within []string) string {
	var walk func(path string, want, got any) string
	walk = func(path string, want, got any) string {
		if w, g := fmt.Sprintf("%T", want), fmt.Sprintf("%T", got); w != g {
			return fmt.Sprintf("%s is a %s, recorded a %s", path, g, w)
		}
		w, ok := want.(map[string]any)
		if !ok || slices.Contains(within, path) {
			return ""
		}
		for _, name := range slices.Sorted(maps.Keys(w)) {
			below := strings.TrimPrefix(path+"."+name, ".")
			g, ok := got.(map[string]any)[name]
			if !ok {
				return "no member " + below
			}
			if diff := walk(below, w[name], g); diff != "" {
				return diff
			}
		}
		return ""
	}
	return walk("", want, got)
}

// comparePage compares errors whole, else how many entities there are, those whose id
// was given, and where the next page is. Which entities a page holds beside those depends
// on ids that were made up.
func (r *replay) comparePage(want, got any) string {
	w, _ := want.(map[string]any)
	g, _ := got.(map[string]any)
	if w["code"] != nil {
		return cmp.Diff(w, g)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(w)), slices.Sorted(maps.Keys(g))); diff != "" {
		return diff
	}
	list, _ := w["data"].([]any)
	ours, _ := g["data"].([]any)
	if len(list) != len(ours) {
		return fmt.Sprintf("%d entities, recorded %d", len(ours), len(list))
	}
	for i := range list {
		id, _ := list[i].(map[string]any)["id"].(string)
		if !strings.HasPrefix(id, "00000") { // those are the walk's own
			continue
		}
		if diff := cmp.Diff(normal(r.translated(list[i])), normal(ours[i])); diff != "" {
			return diff
		}
	}
	if (w["next"] == nil) != (g["next"] == nil) {
		return fmt.Sprintf("next %v, recorded %v", g["next"], w["next"])
	}
	recorded, ok := w["offset"].(string)
	if !ok {
		return ""
	}
	offset, _ := g["offset"].(string)
	r.ours[recorded] = offset
	if next, _ := w["next"].(string); strings.ReplaceAll(next, recorded, offset) != g["next"] {
		return fmt.Sprintf("next %v, recorded %v", g["next"], next)
	}
	return ""
}

var madeUp = regexp.MustCompile(`^(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-zA-Z]{32}|[0-9a-zA-Z]{44})$`)

// learn remembers what we made up where Kong made up something else.
func (r *replay) learn(want, got any) {
	w, ok := want.(map[string]any)
	g, _ := got.(map[string]any)
	if !ok || w["code"] != nil {
		return
	}
	for name, v := range w {
		if _, below := v.(map[string]any); below {
			r.learn(v, g[name]) // such as the secret in a config
			continue
		}
		recorded, ours := fmt.Sprint(v), fmt.Sprint(g[name])
		if name != "cert_digest" && recorded != ours && madeUp.MatchString(recorded) && madeUp.MatchString(ours) && r.ours[recorded] == "" {
			r.ours[recorded] = ours
		}
	}
}

func (r *replay) translated(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		r.t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal([]byte(r.translate(string(b))), &out); err != nil {
		r.t.Fatal(err)
	}
	return out
}

var hashForm = regexp.MustCompile(`^([0-9a-f]{40}|\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+)$`)

// isHash tells whether a password is shown as Kong or as we keep it.
func isHash(v any) bool {
	text, _ := v.(string)
	return hashForm.MatchString(text)
}

// normal hides times and descriptions and sorts lists of entities.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, e := range v {
			switch _, number := e.(float64); {
			case number && (name == "created_at" || name == "updated_at" || name == "ttl" || name == "access_token_expiration"):
				e = "a number"
			case name == "password" && isHash(e):
				e = "a hash" // ours has salt, and is no SHA-1
			case name == "description":
				if _, text := e.(string); text {
					continue
				}
			}
			out[name] = normal(e)
		}
		if list, ok := out["data"].([]any); ok {
			sort.Slice(list, func(i, j int) bool { return jsonOf(list[i]) < jsonOf(list[j]) })
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = normal(v[i])
		}
		return out
	}
	return v
}

func jsonOf(v any) string {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(v)
	return b.String()
}
