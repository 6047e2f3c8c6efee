package http2_test

import (
	"context"
	"crypto/sha1" //nolint:gosec // as RFC 6455 says
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	wire "golang.org/x/net/http2"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// TestExtendedConnectIsAnnounced holds that connect comes before net/http.
func TestExtendedConnectIsAnnounced(t *testing.T) {
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {}, nil)
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(nc, wire.ClientPreface)
	framer := wire.NewFramer(nc, nc)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	f, err := framer.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	settings, ok := f.(*wire.SettingsFrame)
	if !ok {
		t.Fatalf("the first frame is %v", f)
	}
	if v, ok := settings.Value(wire.SettingEnableConnectProtocol); !ok || v != 1 {
		t.Errorf("SETTINGS_ENABLE_CONNECT_PROTOCOL is %d, %v", v, ok)
	}
}

func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // as above
	return base64.StdEncoding.EncodeToString(sum[:])
}

// echo upgrades and sends back what comes, in capitals, until the client ends.
func echo(t *testing.T, prove func(key string) string) handler {
	return func(x *pdk.Exchange, r proxy.Responder) {
		h := &x.Request.Header
		if x.Request.Method != "GET" || !x.Request.WebSocket || h.Get("Upgrade") != "websocket" || h.Has(":protocol") || x.Request.Body != nil {
			t.Errorf("the request is %s with %+v", x.Request.Method, h.Fields())
		}
		if len(h.Get("Sec-WebSocket-Key")) != 24 || h.Count("Sec-WebSocket-Key") != 1 {
			t.Errorf("the key is %q", h.Values(nil, "Sec-WebSocket-Key"))
		}
		x.Response.Status = 101
		x.Response.Header.Set("Upgrade", "websocket")
		x.Response.Header.Set("Sec-WebSocket-Accept", prove(h.Get("Sec-WebSocket-Key")))
		x.Response.Header.Set("Sec-WebSocket-Protocol", "chat")
		conn, _, err := r.Hijack(x)
		if err != nil {
			return
		}
		b := make([]byte, 64)
		for {
			n, err := conn.Read(b)
			if n > 0 {
				if _, err := conn.Write([]byte(strings.ToUpper(string(b[:n])))); err != nil {
					t.Error(err)
				}
			}
			if err != nil {
				break
			}
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

func connectRequest(t *testing.T, address, protocol string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodConnect, "http://"+address+"/chat?room=1", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header[":protocol"] = []string{protocol}
	req.Header.Set("Sec-WebSocket-Version", "13")
	req.Header.Set("Sec-WebSocket-Key", "mine") // which RFC 8441 leaves out
	return req
}

// h2c is a client whose requests may have :protocol: the standard library's, which it is
// deprecated for, refuses them.
//
//nolint:staticcheck // as above
func h2c(t *testing.T) *http.Client {
	t.Helper()
	tr := &wire.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func TestWebSocket(t *testing.T) {
	address, _ := start(t, echo(t, accept), nil)
	in, out := io.Pipe()
	resp, err := h2c(t).Do(connectRequest(t, address, "websocket", in))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != 200 || resp.Header.Get("Sec-WebSocket-Protocol") != "chat" || resp.Header.Get("Sec-WebSocket-Accept") != "" || resp.Header.Get("Upgrade") != "" {
		t.Errorf("got %d with %v", resp.StatusCode, resp.Header)
	}
	b := make([]byte, 5)
	for range 3 {
		if _, err := io.WriteString(out, "hello"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "HELLO" {
			t.Fatalf("got %q, %v", b, err)
		}
	}
	_ = out.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("the end: %q, %v", rest, err)
	}
}

func TestWebSocketRefused(t *testing.T) {
	address, _ := start(t, echo(t, func(string) string { return "something else" }), nil)
	resp, err := h2c(t).Do(connectRequest(t, address, "websocket", strings.NewReader("x")))
	if err == nil {
		t.Errorf("without proof of the key: %d", resp.StatusCode)
		_ = resp.Body.Close()
	}
	resp, err = h2c(t).Do(connectRequest(t, address, "connect-udp", strings.NewReader("x")))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 405 {
		t.Errorf("another protocol: %d", resp.StatusCode)
	}
	// A plain CONNECT is no tunnel.
	if got := request(t, address, ":method", "CONNECT", ":authority", "h.example:443"); got != "405" {
		t.Errorf("CONNECT: %s", got)
	}
	if got := request(t, address, ":method", "GET", ":scheme", "http", ":path", "/", ":authority", "h", ":protocol", "websocket"); got != "405" && got != "reset" {
		t.Errorf("GET with :protocol: %s", got)
	}
}
