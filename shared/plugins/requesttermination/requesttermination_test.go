package requesttermination_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/requesttermination"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, requesttermination.Plugin.Schema, "plugins/request-termination.json")
	schematest.ConfigAgrees(t, requesttermination.Plugin.Schema, requesttermination.Config{})
	for config, want := range map[string]string{
		`{"status_code":99}`:                        "config.status_code: value should be between 100 and 599",
		`{"message":"m","body":"b"}`:                "(config: message cannot be used with content_type or body)",
		`{"message":"m","content_type":"text/css"}`: "(config: message cannot be used with content_type or body)",
		`{"content_type":"text/plain"}`:             "(config: content_type requires a body)",
		`{"echo":true,"body":"b"}`:                  "(config: echo cannot be used with content_type and body)",
		`{"trigger":"no good"}`:                     "config.trigger",
	} {
		if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: requesttermination.Plugin, Config: config}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		config      string
		request     pdktest.Request
		status      int
		contentType string
		body        string
	}{
		{``, pdktest.Request{}, 503, pdk.JSONType, `{"message":"Service unavailable"}`},
		{`{"status_code":418,"message":"tea\"pot"}`, pdktest.Request{}, 418, pdk.JSONType, `{"message":"tea\"pot"}`},
		{`{"status_code":418}`, pdktest.Request{}, 418, "", ``},
		{`{"status_code":204}`, pdktest.Request{}, 204, "", ``},
		{`{"status_code":429}`, pdktest.Request{}, 429, "text/plain; charset=utf-8", "Too many requests\nrequest_id: 0123456789abcdef0123456789abcdef\n"},
		{`{"status_code":200,"body":"<b>","content_type":"text/html"}`, pdktest.Request{}, 200, "text/html", `<b>`},
		{`{"status_code":200,"body":"{}"}`, pdktest.Request{}, 200, pdk.JSONType, `{}`},
		{`{"trigger":"x-go"}`, pdktest.Request{}, 200, "text/plain", `hello`},
		{`{"trigger":"x-go"}`, pdktest.Request{Header: [][2]string{{"X-Go", ""}}}, 503, pdk.JSONType, `{"message":"Service unavailable"}`},
		{`{"trigger":"x-go"}`, pdktest.Request{Path: "/?x-go"}, 503, pdk.JSONType, `{"message":"Service unavailable"}`},
		{``, pdktest.Request{Proto: 20, Header: [][2]string{{"Content-Type", "application/grpc"}}}, 200, "application/grpc", ``},
	} {
		p := pdktest.Build(t, pdktest.Options{Plugin: requesttermination.Plugin, Config: test.config})
		r := p.Do(test.request)
		if r.Err != nil || r.Status != test.status || r.Get("Content-Type") != test.contentType || r.Body != test.body {
			t.Errorf("%s: got %d %q %q, %v", test.config, r.Status, r.Get("Content-Type"), r.Body, r.Err)
		}
	}
}

func TestEcho(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{
		Plugin: requesttermination.Plugin, Config: `{"status_code":200,"echo":true,"message":"m"}`,
		Route: &entity.Route{ID: "r", Name: "route", Paths: []string{"/x"}}, Service: &entity.Service{ID: "s", Host: "h", Port: 80},
	})
	x := p.NewExchange(pdktest.Request{
		Method: "POST", Path: "/x/1?a=1&a=2&b&c=%20", Host: "h.test:81", Body: `{"k":1}`,
		Header: [][2]string{{"Content-Type", "application/json"}, {"X-A", "1"}, {"x-a", "2"}},
	})
	x.Captures = pdk.Captures{Names: []string{"", "id", ""}, Values: []string{"/x/1", "1", ""}}
	r := pdktest.Run(t, x, []*pdktest.Plugin{p}, nil)
	var got map[string]any
	if err := json.Unmarshal([]byte(r.Body), &got); err != nil {
		t.Fatal(err)
	}
	hostname, _ := os.Hostname()
	var want map[string]any
	if err := json.Unmarshal([]byte(`{
		"scheme":"http","host":"h.test","port":8000,"method":"POST","path":"/x/1","raw_body":"{\"k\":1}","body":{"k":1},
		"headers":{"host":"h.test:81","content-type":"application/json","x-a":["1","2"]},
		"query":{"a":["1","2"],"b":true,"c":" "},"uri_captures":{"named":{"id":"1"},"unnamed":["1",""]}}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got["request"].(map[string]any)); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	route, service := got["matched_route"].(map[string]any), got["matched_service"].(map[string]any)
	if route["name"] != "route" || route["regex_priority"] != 0.0 || service["host"] != "h" || got["message"] != "m" {
		t.Errorf("got %s", r.Body)
	}
	if _, ok := route["hosts"]; ok {
		t.Error("hosts is not set, but told")
	}
	if kong := got["kong"].(map[string]any); kong["hostname"] != hostname || kong["node_id"] == "" {
		t.Errorf("kong is %v", kong)
	}
}

func TestDoesNotAllocate(t *testing.T) {
	p := pdktest.Build(t, pdktest.Options{Plugin: requesttermination.Plugin})
	x := new(pdk.Exchange)
	if n := testing.AllocsPerRun(100, func() {
		x.Reset()
		_ = p.Phases.Access(x)
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
