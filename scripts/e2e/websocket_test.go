package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/net/http2"
)

// echoSockets is an upstream that sends each message back as it came, until a client's
// message says to close with a code.
func echoSockets(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			http.Error(w, "not today", http.StatusForbidden)
			return
		}
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}, InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(16 << 20)
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if string(b) == "close" {
				_ = c.Close(4001, "as asked")
				return
			}
			if err := c.Write(r.Context(), kind, b); err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestWebSockets holds messages of all kinds and sizes, pings, closes and refusals through
// both listeners, and that a socket outlives changes of the configuration.
func TestWebSockets(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	c.serve("sockets", echoSockets(t), "/ws")
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the node's own certificate
	t.Cleanup(insecure.CloseIdleConnections)
	for _, base := range []string{"ws" + strings.TrimPrefix(n.base, "http"), "wss://" + n.tls} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		dial := func(path string) (*websocket.Conn, *http.Response, error) {
			return websocket.Dial(ctx, base+path, &websocket.DialOptions{HTTPClient: insecure, Subprotocols: []string{"chat"}})
		}
		socket, resp, err := dial("/ws/room?x=1")
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 101 || socket.Subprotocol() != "chat" || !strings.Contains(resp.Header.Get("Via"), "sluice/") {
			t.Errorf("got %d, %q, %v", resp.StatusCode, socket.Subprotocol(), resp.Header)
		}
		socket.SetReadLimit(16 << 20)
		for _, size := range []int{0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 1 << 20, 8 << 20} {
			for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
				message := bytes.Repeat([]byte("a"), size)
				if kind == websocket.MessageBinary {
					_, _ = rand.Read(message)
				}
				if err := socket.Write(ctx, kind, message); err != nil {
					t.Fatalf("%d bytes: %v", size, err)
				}
				gotKind, got, err := socket.Read(ctx)
				if err != nil || gotKind != kind || !bytes.Equal(got, message) {
					t.Fatalf("%d bytes came back as %d, %v", size, len(got), err)
				}
			}
		}
		c.must("POST", "/routes/sockets/plugins", form("name", "correlation-id"), 201, headers{"X-Sluice-Wait", "all"})
		c.must("DELETE", "/routes/sockets/plugins/"+c.get("/routes/sockets/plugins").list("data")[0]["id"].(string), nil, 204, headers{"X-Sluice-Wait", "all"})
		pinged := make(chan error, 1)
		go func() { pinged <- socket.Ping(ctx) }()
		reading := make(chan error, 1)
		go func() {
			_, _, err := socket.Read(ctx)
			reading <- err
		}()
		if err := <-pinged; err != nil {
			t.Errorf("ping after changes: %v", err)
		}
		if err := socket.Write(ctx, websocket.MessageText, []byte("close")); err != nil {
			t.Error(err)
		}
		if err := <-reading; websocket.CloseStatus(err) != 4001 {
			t.Errorf("closed with %v", err)
		}
		if _, resp, err := dial("/ws/refused"); err == nil || resp == nil || resp.StatusCode != 403 {
			t.Errorf("refused: %v, %v", resp, err)
		}
		if _, resp, err := dial("/none"); err == nil || resp == nil || resp.StatusCode != 404 {
			t.Errorf("no route: %v, %v", resp, err)
		}
	}
}

// frame is a client's final frame, masked with zeros.
func frame(opcode byte, payload []byte) []byte {
	b := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n)) //nolint:gosec // it fits
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// readFrame reads a server's frame, which may be a part of a message.
func readFrame(r io.Reader) (opcode byte, final bool, payload []byte, err error) {
	var head [10]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, false, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(r, head[2:4])
		n = uint64(binary.BigEndian.Uint16(head[2:4]))
	case 127:
		_, err = io.ReadFull(r, head[2:10])
		n = binary.BigEndian.Uint64(head[2:10])
	}
	if err != nil || n > 64<<20 {
		return 0, false, nil, errors.Join(err, fmt.Errorf("frame of %d bytes", n))
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	return head[0] & 0xf, head[0]&0x80 != 0, payload, err
}

// TestWebSocketOverHTTP2 holds RFC 8441: sockets as streams beside requests of one
// connection, with routes and plugins as for others.
func TestWebSocketOverHTTP2(t *testing.T) {
	c := newCluster(t, 1)
	n := c.nodes[0]
	c.serve("sockets", echoSockets(t), "/ws")
	c.serve("example", httpbin(t), "/mock")
	c.must("POST", "/services/sockets/plugins", form("name", "key-auth"), 201)
	c.must("POST", "/consumers", form("username", "luka"), 201)
	c.must("POST", "/consumers/luka/key-auth", form("key", "secret"), 201, headers{"X-Sluice-Wait", "all"})
	tr := &http2.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec,staticcheck // the node's own certificate; http.Transport refuses :protocol
	t.Cleanup(tr.CloseIdleConnections)                                             //nolint:staticcheck // as above
	client := &http.Client{Transport: tr, Timeout: time.Minute}
	open := func(path string, body io.Reader, with ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodConnect, "https://"+n.tls+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header[":protocol"] = []string{"websocket"}
		req.Header.Set("Sec-WebSocket-Version", "13")
		for i := 0; i < len(with); i += 2 {
			req.Header.Set(with[i], with[i+1])
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	if resp := open("/ws", strings.NewReader("")); resp.StatusCode != 401 {
		t.Errorf("without a key: %d", resp.StatusCode)
	}
	if resp := open("/ws/refused", strings.NewReader(""), "apikey", "secret"); resp.StatusCode != 403 {
		t.Errorf("refused by the upstream: %d", resp.StatusCode)
	}
	in, out := io.Pipe()
	resp := open("/ws", in, "apikey", "secret", "Sec-WebSocket-Protocol", "chat")
	if resp.StatusCode != 200 || resp.Header.Get("Sec-WebSocket-Protocol") != "chat" || resp.Header.Get("Sec-WebSocket-Accept") != "" {
		t.Fatalf("got %d, %v", resp.StatusCode, resp.Header)
	}
	for _, size := range []int{1, 126, 70_000, 1 << 20} {
		message := bytes.Repeat([]byte("x"), size)
		go func() { _, _ = out.Write(frame(2, message)) }()
		var got []byte
		for final := false; !final; {
			var part []byte
			var err error
			if _, final, part, err = readFrame(resp.Body); err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			got = append(got, part...)
		}
		if !bytes.Equal(got, message) {
			t.Fatalf("%d bytes came back as %d", size, len(got))
		}
		if other, err := client.Get("https://" + n.tls + "/mock/get"); err != nil || other.StatusCode != 200 {
			t.Errorf("a request beside: %v, %v", other, err)
		} else {
			_ = other.Body.Close()
		}
	}
	_, _ = out.Write(frame(1, []byte("close")))
	opcode, _, payload, err := readFrame(resp.Body)
	if err != nil || opcode != 8 || len(payload) < 2 || binary.BigEndian.Uint16(payload) != 4001 {
		t.Errorf("closed with %d %q, %v", opcode, payload, err)
	}
	_, _ = out.Write(frame(8, payload))
	_ = out.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("after the close: %q, %v", rest, err)
	}
}
