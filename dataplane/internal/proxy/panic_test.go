package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// faulty is a plugin whose retry policy panics, which is outside of its phases, when the
// request asks for that.
func faulty() *pdk.Plugin {
	type config struct{}
	return &pdk.Plugin{
		Name: "faulty", Priority: 1,
		Schema: &schema.Schema{Name: "faulty", Fields: []schema.Field{schema.ProtocolsHTTP(), schema.PluginConfig()}},
		Build: pdk.Build(func(pdk.Env, config) (pdk.Phases, error) {
			return pdk.Phases{Access: func(x *pdk.Exchange) error {
				if x.Request.Header.Has("X-Panic") {
					x.Retry = &pdk.RetryPolicy{Retries: 1, On: pdk.FaultStatus, Statuses: []int{200}, Allow: func() bool { panic("fault") }}
				}
				return nil
			}}, nil
		}),
	}
}

// TestPanicsLeaveNothingCounted holds that a fault of the gateway itself costs the client
// its answer and nobody else anything: what the exchange counted at its upstream is given
// back, and so is its connection.
func TestPanicsLeaveNothingCounted(t *testing.T) {
	closed := make(chan struct{}, 10)
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	up.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	up.Start()
	defer up.Close()
	g := newGateway(t, nil, faulty())
	g.balanced(nil, schema.Object{"limits": schema.Object{"max_connections": 1, "max_pending": 1, "pending_timeout": 5}},
		[]string{up.Listener.Addr().String()}, schema.Object{"name": "faulty"})
	nc, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\nX-Panic: now\r\n\r\n")
	if got, err := bufio.NewReader(nc).ReadByte(); err == nil {
		t.Errorf("the client got %q", got)
	}
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
		t.Error("the upstream's connection is still open")
	}
	soon(t, "nothing is active", func() bool { return g.proxy.Counts.Active.Load() == 0 })
	for range 2 {
		if r := g.do("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); r.StatusCode != 200 || r.body != "here" {
			t.Errorf("another request gets %d %q", r.StatusCode, r.body)
		}
	}
}
