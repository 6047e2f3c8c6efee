package record_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/pdk/record"
)

const workspace = `"workspace_name":"default"`

// exchange is a plain proxied one.
func exchange() *pdk.Exchange {
	x := new(pdk.Exchange)
	pdktest.Fill(x, pdktest.Request{
		Method: "POST", Path: "/a%20b/c?x=1&y&x=%41+2&z=", Host: "Proxy.Test:8000", Client: "10.1.2.3",
		Header: [][2]string{{"User-Agent", "curl"}, {"Authorization", "Bearer secret"}, {"X-Two", "1"}, {"x-two", "2"}, {"Proxy-Authorization", "a"}},
	})
	x.Route = &entity.Route{ID: "r1", Name: "route", Paths: []string{"/a b"}, Protocols: []string{"http"}, Service: &entity.Ref{ID: "s1"}, HTTPSRedirectStatusCode: 426, StripPath: true, PathHandling: "v0", CreatedAt: 1, UpdatedAt: 2}
	x.Service = &entity.Service{ID: "s1", Host: "up.test", Port: 80, Protocol: "http", Retries: 5, Enabled: true, ConnectTimeout: 1, WriteTimeout: 2, ReadTimeout: 3, CreatedAt: 3, UpdatedAt: 4}
	x.Upstream = pdk.Upstream{Scheme: "http", Path: "/up/c", RawQuery: "x=1", HasQuery: true}
	at := func(ms int) time.Time { return x.Start.Add(time.Duration(ms) * time.Millisecond) }
	x.AccessDone, x.UpstreamSent, x.UpstreamFirst, x.Done = at(2), at(5), at(12), at(20)
	x.Tries = []pdk.Try{
		{Address: "10.0.0.1:80", Start: at(3), Latency: time.Millisecond, Err: "connect", Code: 502},
		{Address: "[::1]:81", Start: at(5), Latency: 1500 * time.Microsecond, Code: 200},
	}
	x.Source = pdk.SourceUpstream
	x.Response.Status, x.Response.UpstreamStatus = 200, 200
	x.Response.Header.Add("Content-Type", "text/plain")
	x.Response.Header.Add("Set-Cookie", "a=1")
	x.Response.Header.Add("Set-Cookie", "b=2")
	x.Response.Sent, x.Response.Bytes, x.Response.HeadSent, x.Response.KeepAlive = 5, 105, true, true
	x.Request.Bytes = 321
	return x
}

func decode(t *testing.T, b []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return v
}

func TestRecord(t *testing.T) {
	x := exchange()
	x.Consumer = &entity.Consumer{ID: "c1", Username: "bob", CreatedAt: 5, UpdatedAt: 6}
	x.Credential = pdk.Credential{ID: "k1", ConsumerID: "c1"}
	began := x.Start.UnixNano()
	want := fmt.Sprintf(`{
		"request":{"id":"0123456789abcdef0123456789abcdef","uri":"/a%%20b/c?x=1&y&x=%%41+2&z=","url":"http://proxy.test:8000/a%%20b/c?x=1&y&x=%%41+2&z=",
			"querystring":{"x":["1","A 2"],"y":true,"z":""},"method":"POST","size":321,
			"headers":{"host":"Proxy.Test:8000","user-agent":"curl","authorization":"REDACTED","proxy-authorization":"REDACTED","x-two":["1","2"]}},
		"upstream_uri":"/up/c?x=1","upstream_status":"502, 200",
		"response":{"status":200,"size":105,"headers":{"content-type":"text/plain","set-cookie":["a=1","b=2"],"connection":"keep-alive"}},
		"latencies":{"kong":5,"proxy":7,"request":20,"receive":8},
		"tries":[
			{"balancer_start":%d,"balancer_start_ns":%d,"balancer_latency":1,"balancer_latency_ns":1000000,"ip":"10.0.0.1","port":80,"state":"failed","code":502},
			{"balancer_start":%d,"balancer_start_ns":%d,"balancer_latency":1,"balancer_latency_ns":1500000,"ip":"::1","port":81}],
		"authenticated_entity":{"id":"k1","consumer_id":"c1"},
		"route":{"id":"r1","name":"route","service":{"id":"s1"},"protocols":["http"],"paths":["/a b"],"regex_priority":0,"path_handling":"v0","https_redirect_status_code":426,
			"strip_path":true,"preserve_host":false,"request_buffering":false,"response_buffering":false,"created_at":1,"updated_at":2},
		"service":{"id":"s1","protocol":"http","host":"up.test","port":80,"retries":5,"connect_timeout":1,"write_timeout":2,"read_timeout":3,"enabled":true,"created_at":3,"updated_at":4},
		"consumer":{"id":"c1","username":"bob","created_at":5,"updated_at":6},
		"client_ip":"10.1.2.3","started_at":%d,"source":"upstream",`+workspace+`}`,
		began/1e6+2, began+2e6, began/1e6+3, began+3500000, began/1e6)
	if diff := cmp.Diff(decode(t, []byte(want)), decode(t, record.Append(nil, x))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestWorkspace: other workspaces than the default one are known by their ids, and by
// their names when those are known.
func TestWorkspace(t *testing.T) {
	x := exchange()
	x.Workspace, x.Route.WorkspaceID, x.Service.WorkspaceID = "w1", "w1", "w1"
	got, _ := decode(t, record.Append(nil, x)).(map[string]any)
	route, _ := got["route"].(map[string]any)
	service, _ := got["service"].(map[string]any)
	if got["workspace"] != "w1" || got["workspace_name"] != nil || route["ws_id"] != "w1" || service["ws_id"] != "w1" || record.Workspace(x) != "w1" {
		t.Errorf("got %v", got)
	}
	x.WorkspaceName = "team"
	got, _ = decode(t, record.Append(nil, x)).(map[string]any)
	if got["workspace"] != "w1" || got["workspace_name"] != "team" || record.Workspace(x) != "team" {
		t.Errorf("got %v", got)
	}
}

// TestRecordWithoutRoute: what is not there is left out.
func TestRecordWithoutRoute(t *testing.T) {
	x := new(pdk.Exchange)
	pdktest.Fill(x, pdktest.Request{})
	_ = x.Fail(404, "no Route matched with those values")
	x.AccessDone, x.Done = x.Start.Add(3*time.Millisecond), x.Start.Add(4*time.Millisecond)
	x.Response.HeadSent = true
	x.Request.TLSVersion, x.Request.TLSCipher, x.Request.Scheme = tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "https"
	want := `{
		"request":{"id":"0123456789abcdef0123456789abcdef","uri":"/","url":"https://proxy.test:8000/","querystring":{},"method":"GET","headers":{"host":"proxy.test"},"size":0,
			"tls":{"version":"TLSv1.2","cipher":"ECDHE-RSA-AES128-GCM-SHA256","client_verify":"NONE"}},
		"upstream_uri":"","upstream_status":"","response":{"status":404,"headers":{"content-type":"application/json; charset=utf-8","connection":"close"},"size":0},
		"latencies":{"kong":3,"proxy":-1,"request":4,"receive":0},"client_ip":"127.0.0.1","started_at":` + fmt.Sprint(x.Start.UnixMilli()) + `,"source":"kong",` + workspace + `}`
	if diff := cmp.Diff(decode(t, []byte(want)), decode(t, record.Append(nil, x))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEdits(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(x *pdk.Exchange)
		want map[string]any // by path; absent means removed
	}{
		{"new fields", func(x *pdk.Exchange) { x.SetLogText("a", "1"); x.SetLogValue("b", 2.5, pdk.LogSet) }, map[string]any{"a": "1", "b": 2.5}},
		{"parts of a new one", func(x *pdk.Exchange) {
			x.SetLogText("trace_id.w3c", "1")
			x.SetLogText("trace_id.b3", "2")
			x.SetLogText("c", "3")
		}, map[string]any{"trace_id": map[string]any{"w3c": "1", "b3": "2"}, "c": "3"}},
		{"parts apart", func(x *pdk.Exchange) { x.SetLogText("a.b", "1"); x.SetLogText("c", "2"); x.SetLogText("a.d", "3") }, map[string]any{"a": map[string]any{"b": "1", "d": "3"}, "c": "2"}},
		{"deep", func(x *pdk.Exchange) { x.SetLogText("a.b.c", "1") }, map[string]any{"a": map[string]any{"b": map[string]any{"c": "1"}}}},
		{"twice", func(x *pdk.Exchange) { x.SetLogText("a", "1"); x.SetLogText("a", "2") }, map[string]any{"a": "2"}},
		{"removed", func(x *pdk.Exchange) { x.SetLogValue("request.headers.user-agent", nil, pdk.LogSet) }, map[string]any{"request.headers.user-agent": nil, "request.method": "POST"}},
		{"a whole one removed", func(x *pdk.Exchange) { x.SetLogValue("service", nil, pdk.LogSet) }, map[string]any{"service": nil}},
		{"replaced", func(x *pdk.Exchange) { x.SetLogText("client_ip", "x") }, map[string]any{"client_ip": "x"}},
		{"added", func(x *pdk.Exchange) {
			x.SetLogValue("client_ip", "x", pdk.LogAdd)
			x.SetLogValue("mine", "x", pdk.LogAdd)
		}, map[string]any{"client_ip": "10.1.2.3", "mine": "x"}},
		{"replaced only", func(x *pdk.Exchange) {
			x.SetLogValue("client_ip", "x", pdk.LogReplace)
			x.SetLogValue("mine", "x", pdk.LogReplace)
			x.SetLogValue("my.own", "x", pdk.LogReplace)
		}, map[string]any{"client_ip": "x", "mine": nil, "my": nil}},
		{"through a text", func(x *pdk.Exchange) { x.SetLogText("client_ip.a", "x") }, map[string]any{"client_ip": "10.1.2.3"}},
		{"values", func(x *pdk.Exchange) {
			x.SetLogValue("v", map[string]any{"b": true, "i": 3, "l": []any{int64(1), 2.0, "x", nil}, "f": 1e300}, pdk.LogSet)
			x.SetLogValue("never", func() {}, pdk.LogSet)
		}, map[string]any{"v": map[string]any{"b": true, "i": 3.0, "l": []any{1.0, 2.0, "x", nil}, "f": 1e300}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := exchange()
			test.edit(x)
			got := decode(t, record.Append([]byte("before "), x)[len("before "):])
			for path, want := range test.want {
				v := got
				for part := range strings.SplitSeq(path, ".") {
					o, _ := v.(map[string]any)
					v = o[part]
				}
				if diff := cmp.Diff(want, v); diff != "" {
					t.Errorf("%s: -want +got:\n%s", path, diff)
				}
			}
			if o, _ := got.(map[string]any); o["started_at"] == nil {
				t.Errorf("fields are gone from %v", o)
			}
		})
	}
}

func TestEndlessValue(t *testing.T) {
	x := exchange()
	loop := map[string]any{}
	loop["again"] = loop
	x.SetLogValue("loop", loop, pdk.LogSet)
	decode(t, record.Append(nil, x))
}

func TestBounds(t *testing.T) {
	x := exchange()
	for i := range 1000 {
		x.Request.Header.Add(fmt.Sprintf("X-%d", i), "v")
	}
	x.Request.RawQuery = strings.Repeat("a=1&", 1000)
	got, _ := decode(t, record.Append(nil, x)).(map[string]any)
	q, _ := got["request"].(map[string]any)
	h, _ := q["headers"].(map[string]any)
	args, _ := q["querystring"].(map[string]any)
	a, _ := args["a"].([]any)
	if len(h) > 101 || len(a) != 100 {
		t.Errorf("%d headers and %d arguments", len(h), len(a))
	}
}

func FuzzRecord(f *testing.F) {
	f.Add("/a", "a=1&b&a=%", "Name", "v\xff\"", "k.a")
	f.Fuzz(func(t *testing.T, path, query, name, value, key string) {
		x := exchange()
		x.Request.RawPath, x.Request.RawQuery, x.Request.Host = path, query, value
		x.Request.Header.Add(name, value)
		x.Response.Header.Add(value, name)
		x.Request.Client = netip.AddrPort{}
		x.SetLogText(key, value)
		x.SetLogText(name, value)
		if b := record.Append(nil, x); !json.Valid(b) {
			t.Errorf("not valid: %s", b)
		}
	})
}

func TestAppendAllocations(t *testing.T) {
	x := exchange()
	x.Request.RawQuery = "x=1&y"
	x.SetLogText("trace_id.w3c", "1")
	b := record.Append(nil, x)
	if n := testing.AllocsPerRun(100, func() { b = record.Append(b[:0], x) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	x := exchange()
	x.Consumer = &entity.Consumer{ID: "c1", Username: "bob"}
	x.Request.RawQuery = "x=1&y"
	out := record.Append(nil, x)
	b.ReportAllocs()
	b.ReportMetric(float64(len(out)), "bytes")
	for b.Loop() {
		out = record.Append(out[:0], x)
	}
}
