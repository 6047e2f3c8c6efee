package httplog_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/httplog"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, httplog.Plugin.Schema, "plugins/http-log.json")
	schematest.ConfigAgrees(t, httplog.Plugin.Schema, httplog.Config{})
}

func TestRefusedConfigs(t *testing.T) {
	for config, want := range map[string]string{
		`{}`:                          "required field missing",
		`{"http_endpoint":"nowhere"}`: "missing host in url",
		`{"http_endpoint":"http://a","headers":{"HOST":"x"}}`:              "cannot contain 'Host' header",
		`{"http_endpoint":"http://a","headers":{"content-Type":"x"}}`:      "cannot contain 'Content-Type' header",
		`{"http_endpoint":"http://a","headers":{"Content-Length":"x"}}`:    "cannot contain 'Content-Length' header",
		`{"http_endpoint":"http://u:p@a","headers":{"authorization":"x"}}`: "specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed",
		`{"http_endpoint":"http://a","queue":{"max_batch_size":0}}`:        "value should be between 1 and 1000000",
	} {
		_, err := pdktest.TryBuild(t, pdktest.Options{Plugin: httplog.Plugin, Config: config})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", config, err, want)
		}
	}
}

// server is a log server.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	got      chan struct{}
	status   []int
}

func newServer(t *testing.T, start func(h http.Handler) *httptest.Server, statuses ...int) *server {
	t.Helper()
	s := &server{got: make(chan struct{}, 1000), status: statuses}
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		s.requests, s.bodies = append(s.requests, r), append(s.bodies, string(b))
		status := 200
		if len(s.status) > 0 {
			status, s.status = s.status[0], s.status[1:]
		}
		s.mu.Unlock()
		w.WriteHeader(status)
		s.got <- struct{}{}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) wait(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-s.got:
		case <-time.After(20 * time.Second): //nolint:forbidigo // a test's patience
			t.Fatal("nothing arrives")
		}
	}
}

func TestSends(t *testing.T) {
	for name, start := range map[string]func(h http.Handler) *httptest.Server{"http": httptest.NewServer, "https, not verified": httptest.NewTLSServer} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, start)
			endpoint := strings.Replace(s.URL, "://", "://us%40er:pass@", 1) + "/logs?to=x"
			p := pdktest.Build(t, pdktest.Options{Plugin: httplog.Plugin, Config: `{"http_endpoint":"` + endpoint + `","method":"PUT","headers":{"X-Mine":"1"}}`})
			p.Do(pdktest.Request{Path: "/a"})
			p.Do(pdktest.Request{Path: "/b"})
			s.wait(t, 2)
			for i, want := range []string{"/a", "/b"} {
				r := s.requests[i]
				if r.Method != "PUT" || r.URL.String() != "/logs?to=x" || r.Header.Get("X-Mine") != "1" || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
				}
				if got := r.Header.Get("Authorization"); got != "Basic dXMlNDBlcjpwYXNz" {
					t.Errorf("Authorization is %q", got)
				}
				var v struct{ Request struct{ URI string } }
				if err := json.Unmarshal([]byte(s.bodies[i]), &v); err != nil || v.Request.URI != want || r.ContentLength != int64(len(s.bodies[i])) {
					t.Errorf("%v: %s", err, s.bodies[i])
				}
			}
		})
	}
}

func TestBatch(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	p := pdktest.Build(t, pdktest.Options{Plugin: httplog.Plugin, Config: `{"http_endpoint":"` + s.URL + `","queue":{"max_batch_size":3,"max_coalescing_delay":3600}}`})
	for range 3 {
		p.Do(pdktest.Request{})
	}
	s.wait(t, 1)
	var list []map[string]any
	if err := json.Unmarshal([]byte(s.bodies[0]), &list); err != nil || len(list) != 3 {
		t.Errorf("%v: %s", err, s.bodies[0])
	}
}

// TestLegacy: the old names of the queue's fields still work.
func TestLegacy(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	p := pdktest.Build(t, pdktest.Options{Plugin: httplog.Plugin, Config: `{"http_endpoint":"` + s.URL + `","queue_size":2,"flush_timeout":3600,"retry_count":3}`})
	for range 2 {
		p.Do(pdktest.Request{})
	}
	s.wait(t, 1)
	if !strings.HasPrefix(s.bodies[0], "[{") {
		t.Errorf("got %s", s.bodies[0])
	}
}

func TestRetriesRefusals(t *testing.T) {
	s := newServer(t, httptest.NewServer, 500, 302, 201)
	p := pdktest.Build(t, pdktest.Options{Plugin: httplog.Plugin, Config: `{"http_endpoint":"` + s.URL + `","queue":{"initial_retry_delay":0.001}}`})
	p.Do(pdktest.Request{})
	s.wait(t, 3)
	if s.bodies[0] != s.bodies[2] {
		t.Errorf("got %q", s.bodies)
	}
}

// TestShared: configs that send alike share a queue, others do not.
func TestShared(t *testing.T) {
	node := pdktest.NewNode(t)
	build := func(config string) {
		pdktest.Build(t, pdktest.Options{Plugin: httplog.Plugin, Node: node, Config: config})
	}
	count := func() (n int) {
		node.Each(func(key string, _ any) {
			n++
			if strings.Contains(key, "secret") {
				t.Errorf("the key %s tells what it should not", key)
			}
		})
		return n
	}
	build(`{"http_endpoint":"http://a:secret@b.test"}`)
	build(`{"http_endpoint":"http://a:secret@b.test"}`)
	if count() != 1 {
		t.Errorf("%d queues", count())
	}
	build(`{"http_endpoint":"http://a:secret@b.test","headers":{"a":"b"}}`)
	if count() != 2 {
		t.Errorf("%d queues", count())
	}
}

// TestCloseSends: what waits when the node stops is sent.
func TestCloseSends(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	t.Run("node", func(t *testing.T) {
		p := pdktest.Build(t, pdktest.Options{Plugin: httplog.Plugin, Config: `{"http_endpoint":"` + s.URL + `","queue":{"max_batch_size":10,"max_coalescing_delay":3600}}`})
		p.Do(pdktest.Request{})
	})
	if len(s.bodies) != 1 {
		t.Errorf("got %q", s.bodies)
	}
}

func BenchmarkLog(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	p := pdktest.Build(b, pdktest.Options{Plugin: httplog.Plugin, Config: `{"http_endpoint":"` + s.URL + `","queue":{"max_batch_size":1000,"max_coalescing_delay":10,"max_entries":1000}}`})
	x := p.NewExchange(pdktest.Request{Path: "/a?b=c", Header: [][2]string{{"User-Agent", "x"}, {"Accept", "*/*"}}})
	x.Response.Status = 200
	x.Response.Header.Add("Content-Type", "text/plain")
	x.Source = pdk.SourceUpstream
	b.ReportAllocs()
	for b.Loop() {
		p.Phases.Log(x)
	}
}

func TestCustomFields(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	p := pdktest.Build(t, pdktest.Options{Plugin: httplog.Plugin, Config: `{"http_endpoint":"` + s.URL + `","custom_fields_by_lua":{
		"mine":"return kong.request.get_header('X-Mine')","request.headers.x-mine":"return nil","response.twice":"return kong.response.get_status() * 2","broken":"return nil + 1"}}`})
	p.Do(pdktest.Request{Header: [][2]string{{"X-Mine", "1"}, {"X-Other", "2"}}})
	s.wait(t, 1)
	var v struct {
		Mine     string
		Broken   any
		Request  struct{ Headers map[string]string }
		Response struct{ Twice, Status int }
	}
	if err := json.Unmarshal([]byte(s.bodies[0]), &v); err != nil {
		t.Fatal(err)
	}
	if _, there := v.Request.Headers["x-mine"]; there || v.Mine != "1" || v.Request.Headers["x-other"] != "2" || v.Response.Twice != 400 || v.Response.Status != 200 || v.Broken != nil {
		t.Errorf("got %s", s.bodies[0])
	}
	_, err := pdktest.TryBuild(t, pdktest.Options{Plugin: httplog.Plugin, Config: `{"http_endpoint":"http://a","custom_fields_by_lua":{"x":"return ("}}`})
	if err == nil || !strings.Contains(err.Error(), "custom_fields_by_lua") {
		t.Errorf("got %v", err)
	}
}
