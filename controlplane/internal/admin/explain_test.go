package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/controlplane/internal/admin"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func TestExplain(t *testing.T) {
	f := &fleet{}
	s := newServer(t, func(o *admin.Options) { o.Fleet = f })
	s.do("GET", "/routes/explain?path=/a", nil, "").is(503).says("no data plane is connected")
	f.replies = func(string, string) []pdk.NodeReply {
		return []pdk.NodeReply{
			{NodeID: "old", Result: json.RawMessage(`{"revision":1}`)},
			{NodeID: "new", Hostname: "h", Result: json.RawMessage(`{"revision":2,"matched":true}`)},
			{NodeID: "gone", Err: errors.New("gone")},
		}
	}
	f.asked = nil
	s.do("GET", "/routes/explain?path=/a%3Fq%3D1&method=PUT&host=a.test:80&header=X-A:%201&header=X-A:2&sni=s&source=10.0.0.1&port=8443&scheme=https&http=2&consumer=c", nil, "").
		is(200).says(`"revision":2`).says(`"node":{"hostname":"h","id":"new"}`)
	s.do("POST", "/routes/explain", headers{"Content-Type": "application/json"}, `{"path":"/a","headers":{"X-A":["1","2"]},"port":1}`).is(200)
	want := []string{
		`router explain {"method":"PUT","scheme":"https","host":"a.test:80","path":"/a?q=1","headers":[["X-A","1"],["X-A","2"]],"sni":"s","source":"10.0.0.1","port":8443,"http":"2","consumer":"c"}`,
		`router explain {"method":"","scheme":"http","host":"","path":"/a","headers":[["X-A","1"],["X-A","2"]],"port":1}`,
	}
	if diff := cmp.Diff(want, f.asked); diff != "" {
		t.Error(diff)
	}
	json := headers{"Content-Type": "application/json"}
	for body, says := range map[string]string{
		`{"method":"GET"}`: "path: required", `{"path":"a"}`: "path: should start", `{"path":1}`: "path: a number", `{"path":"/","headers":{"a":1}}`: "headers.a",
		`{"path":"/","scheme":"ftp"}`: "scheme", `{`: "Cannot parse JSON body",
	} {
		s.do("POST", "/routes/explain", json, body).is(400).says(says)
	}
	for query, says := range map[string]string{"path=/&port=x": "port", "path=/&header=x": "header", "path=/&paht=/": "paht: unknown field"} {
		s.do("GET", "/routes/explain?"+query, nil, "").is(400).says(says)
	}
	f.replies = func(string, string) []pdk.NodeReply {
		return []pdk.NodeReply{{NodeID: "n", Err: errors.New("consumer: there is no consumer c")}}
	}
	s.do("GET", "/routes/explain?path=/", nil, "").is(400).says("no consumer c")
	f.replies = func(string, string) []pdk.NodeReply {
		return []pdk.NodeReply{{NodeID: "n", Err: context.DeadlineExceeded}}
	}
	s.do("GET", "/routes/explain?path=/", nil, "").is(504)
	// A route of that name is still there.
	s.do("GET", "/routes/explain", nil, "").is(404)
	s.do("PUT", "/routes/explain", json, `{"paths":["/x"]}`).is(200)
	s.do("GET", "/routes/explain", nil, "").is(200).says(`"name":"explain"`)
	s.do("DELETE", "/routes/explain", nil, "").is(204)
}
