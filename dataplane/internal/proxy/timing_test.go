package proxy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// moment is a part of what X-Kong-Request-Debug-Output says.
type moment struct {
	RequestID string            `json:"request_id"`
	Truncated bool              `json:"truncated"`
	Total     int64             `json:"total_time"`
	Child     map[string]moment `json:"child"`
}

func (m moment) at(path string) (moment, bool) {
	for name := range strings.SplitSeq(path, "/") {
		c, ok := m.Child[name]
		if !ok {
			return c, false
		}
		m = c
	}
	return m, true
}

// TestRequestDebug holds who is told what a request spends its time on, and what that is.
func TestRequestDebug(t *testing.T) {
	seen := make(chan http.Header, 1)
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		seen <- r.Header
	}))
	defer up.Close()
	const pluginID = "00000003-0000-4000-8000-000000000001"
	var log bytes.Buffer
	var more []*pdk.Plugin
	for i := range 20 {
		more = append(more, marker(fmt.Sprint("marker-", i), i+1, ""))
	}
	for _, on := range []bool{true, false} {
		g := newGateway(t, func(o *proxy.Options) {
			o.RequestDebug, o.DebugToken = on, "secret"
			o.Logger = hclog.New(&hclog.LoggerOptions{Output: &log})
		}, more...)
		serve := func(plugins int) {
			changes := []schema.Object{{"id": pluginID, "name": "correlation-id", "config": schema.Object{"header_name": "X-Id", "echo_downstream": true}}}
			for i := range plugins {
				id := fmt.Sprintf("00000003-0000-4000-8001-%012d", i)
				changes = append(changes, schema.Object{"id": id, "name": more[i].Name})
			}
			g.serve(append(g.changes("plugins", changes...),
				g.change("services", schema.Object{"id": serviceID, "url": up.URL}),
				g.change("routes", schema.Object{"id": routeID, "paths": []any{"/"}, "service": schema.Object{"id": serviceID}}),
			)...)
		}
		serve(0)
		for _, tt := range []struct {
			client  string
			headers []string
			want    bool
		}{
			{"127.0.0.1", []string{"X-Kong-Request-Debug: *"}, true},
			{"::1", []string{"x-kong-request-debug: *"}, true},
			{"::ffff:127.0.0.9", []string{"X-Kong-Request-Debug: *"}, true},
			{"127.0.0.1", []string{"X-Kong-Request-Debug: 1"}, false},
			{"127.0.0.1", []string{"X-Kong-Request-Debug-Token: secret"}, false},
			{"127.0.0.1", nil, false},
			{"10.0.0.1", []string{"X-Kong-Request-Debug: *"}, false},
			{"10.0.0.1", []string{"X-Kong-Request-Debug: *", "X-Kong-Request-Debug-Token: secreT"}, false},
			{"10.0.0.1", []string{"X-Kong-Request-Debug: *", "X-Kong-Request-Debug-Token: secret", "X-Kong-Request-Debug-Log: true"}, true},
		} {
			log.Reset()
			output, header := g.debugged(tt.client, tt.headers)
			sent := received(t, seen)
			for _, name := range []string{"X-Kong-Request-Debug", "X-Kong-Request-Debug-Token", "X-Kong-Request-Debug-Log"} {
				if sent.Get(name) != "" && on {
					t.Errorf("%v: the upstream got %s", tt, name)
				}
			}
			if (output != "") != (tt.want && on) {
				t.Errorf("on %v, %v: output %q", on, tt, output)
			}
			if output == "" {
				continue
			}
			var m moment
			if err := json.Unmarshal([]byte(output), &m); err != nil {
				t.Fatalf("%v: %s", err, output)
			}
			if id := header.Get("X-Kong-Request-Id"); m.RequestID != id {
				t.Errorf("request_id %q, want %q", m.RequestID, id)
			}
			for _, path := range []string{
				"rewrite", "access/router", "access/plugins/correlation-id/" + pluginID, "balancer",
				"header_filter/plugins/correlation-id/" + pluginID,
			} {
				if part, ok := m.at(path); !ok || part.Total > 1000 {
					t.Errorf("%v: no %s in %s", tt, path, output)
				}
			}
			if part, ok := m.at("upstream/time_to_first_byte"); !ok || part.Total < 20 {
				t.Errorf("the upstream took %d ms in %s", part.Total, output)
			}
			if logged := strings.Contains(log.String(), "[request-debug]: request_id="+m.RequestID) && strings.Contains(log.String(), `streaming`); logged != (len(tt.headers) == 3) {
				t.Errorf("%v: logged %v: %s", tt, logged, log.String())
			}
		}
		if !on {
			continue
		}
		// What is too long for a header is in the log; on this machine nothing is in between.
		serve(len(more))
		ask := []string{"X-Kong-Request-Debug: *", "X-Kong-Request-Debug-Token: secret"}
		for client, truncated := range map[string]bool{"127.0.0.1": false, "10.0.0.1": true} {
			log.Reset()
			output, _ := g.debugged(client, ask)
			received(t, seen)
			var m moment
			if err := json.Unmarshal([]byte(output), &m); err != nil || m.Truncated != truncated || truncated == strings.Contains(output, "router") {
				t.Errorf("%s: %v, %s", client, err, output)
			}
			if got := strings.Contains(log.String(), "[request-debug]"); got != truncated {
				t.Errorf("%s: logged %v", client, got)
			}
		}
	}
}

// debugged makes a request as from a client, and returns the output and all headers.
func (g *gateway) debugged(client string, headers []string) (output string, header http.Header) {
	g.t.Helper()
	var x pdk.Exchange
	peer := netip.AddrPortFrom(netip.MustParseAddr(client), 4000)
	x.Request = pdk.Request{Method: "GET", Host: "h", RawPath: "/", Scheme: "http", Proto: 11, Peer: peer, Local: peer}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		x.Request.Header.Add(name, value)
	}
	var r keeping
	g.proxy.Serve(&x, &r)
	x.Reset()
	return r.header.Get("X-Kong-Request-Debug-Output"), r.header
}

// keeping keeps the headers of an answer.
type keeping struct {
	nobody

	header http.Header
}

func (k *keeping) Send(x *pdk.Exchange, filter func([]byte, bool) ([]byte, error)) error {
	k.header = http.Header{}
	for _, f := range x.Response.Header.Fields() {
		k.header.Add(strings.Clone(f.Name), strings.Clone(f.Value))
	}
	return k.nobody.Send(x, filter)
}
