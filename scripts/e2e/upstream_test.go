package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// echo is an upstream that answers with what it received. It counts, and obeys
// the request headers X-Status and X-Cache-Control.
type echo struct {
	*httptest.Server
	name  string
	calls atomic.Int64
}

// received is the body of an echo's answer.
type received struct {
	Name    string              `json:"name"`
	Method  string              `json:"method"`
	URL     string              `json:"url"`
	Host    string              `json:"host"`
	Headers map[string][]string `json:"headers"`
	Body    string              `json:"body"`
}

func newEcho(t testing.TB, name string) *echo {
	t.Helper()
	e := &echo{name: name}
	e.Server = httptest.NewUnstartedServer(e)
	t.Cleanup(e.Close)
	e.Start()
	return e
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.calls.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if v := r.Header.Get("X-Cache-Control"); v != "" {
		w.Header().Set("Cache-Control", v)
	}
	if r.Header.Get("X-Status") == "500" {
		w.WriteHeader(http.StatusInternalServerError)
	}
	_ = json.NewEncoder(w).Encode(received{
		Name: e.name, Method: r.Method, URL: r.URL.RequestURI(), Host: r.Host, Headers: r.Header, Body: string(body),
	})
}

// address is ip:port.
func (e *echo) address() string { return strings.TrimPrefix(e.URL, "http://") }

// echoed decodes an answer of an echo.
func (r *response) echoed(t testing.TB) received {
	t.Helper()
	var out received
	if err := json.Unmarshal(r.body, &out); err != nil {
		t.Fatalf("%s: no echo: %v: %s", r.what, err, r.body)
	}
	return out
}

// deadAddress is one that refuses connections.
func deadAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", process.FreeAddress())
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

// httpbin starts the example upstream as a process.
func httpbin(t testing.TB) (url string) {
	t.Helper()
	address := process.FreeAddress()
	p := &program{t: t, name: "upstream", args: []string{"-listen", address}}
	p.start()
	c := &client{t: t, base: "http://" + address}
	eventually(t, soon, func() error { return c.try("GET", "/status/200", nil).is(200) }, p)
	return c.base
}
