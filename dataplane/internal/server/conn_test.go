package server_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/sluice-gateway/sluice/dataplane/internal/server"
)

const plainRequest = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

// ask sends bytes on a new connection and returns the answer, nil for none.
func ask(t *testing.T, address string, secure bool, pieces ...string) *http.Response {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	for i, p := range pieces {
		if secure && i == len(pieces)-1 {
			nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own
		}
		if _, err := io.WriteString(nc, p); err != nil {
			return nil
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return nil
	}
	_ = resp.Body.Close()
	return resp
}

// header is a PROXY header as bytes.
func header(t *testing.T, version byte, source, destination net.Addr) string {
	t.Helper()
	b, err := proxyproto.HeaderProxyFromAddrs(version, source, destination).Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestProxyProtocol holds that the client is who a trusted peer says, and nobody else's
// word counts: what has no address must not pass for this machine.
func TestProxyProtocol(t *testing.T) {
	four := [2]net.Addr{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}}
	six := [2]net.Addr{&net.TCPAddr{IP: net.ParseIP("2001:db8::7"), Port: 4711}, &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80}}
	local, err := (&proxyproto.Header{Version: 2, Command: proxyproto.LOCAL}).Format()
	if err != nil {
		t.Fatal(err)
	}
	headers := []struct{ name, text, client string }{
		{"version 1", header(t, 1, four[0], four[1]), "192.0.2.7"},
		{"version 2", header(t, 2, four[0], four[1]), "192.0.2.7"},
		{"IPv6, version 1", header(t, 1, six[0], six[1]), "2001:db8::7"},
		{"IPv6, version 2", header(t, 2, six[0], six[1]), "2001:db8::7"},
		{"unknown", "PROXY UNKNOWN\r\n", "invalid IP"},
		{"local", string(local), "invalid IP"},
		{"unix socket", header(t, 2, &net.UnixAddr{Net: "unix", Name: "/a"}, &net.UnixAddr{Net: "unix", Name: "/b"}), "invalid IP"},
	}
	for _, trusted := range []bool{true, false} {
		s := start(t, "127.0.0.1:0 proxy_protocol, 127.0.0.1:0 proxy_protocol http2, 127.0.0.1:0 proxy_protocol ssl http2", func(o *server.Options) {
			if trusted {
				o.ProxiesTrusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			}
		})
		for i, address := range s.Addrs() {
			for _, h := range headers {
				want := "peer=127.0.0.1 client=" + h.client
				if !trusted {
					want = "peer=127.0.0.1 client=invalid IP"
				}
				for _, pieces := range [][]string{{h.text, plainRequest}, {h.text + plainRequest}} {
					if i == 2 && len(pieces) == 1 {
						continue // TLS can not be in the same piece
					}
					resp := ask(t, address.String(), i == 2, pieces...)
					if resp == nil || !strings.HasSuffix(resp.Header.Get("Seen"), want) {
						t.Errorf("listener %d, %s, trusted %v: got %v, want %q", i, h.name, trusted, resp, want)
					}
				}
			}
			if resp := ask(t, address.String(), false, plainRequest); resp != nil {
				t.Errorf("listener %d, without a header: %v", i, resp)
			}
		}
	}
}

// TestFirstBytesComeApart holds that looking for HTTP/2 does not lose or hold back what
// HTTP/1 sends.
func TestFirstBytesComeApart(t *testing.T) {
	s := start(t, "127.0.0.1:0 http2", nil)
	for _, text := range []string{plainRequest, "PRI * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "P"} {
		nc, err := net.Dial("tcp", s.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
		for i := range len(text) {
			_, _ = nc.Write([]byte{text[i]})
		}
		if text == "P" {
			_ = nc.Close()
			continue
		}
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else {
			_ = resp.Body.Close()
		}
		_ = nc.Close()
	}
}

// TestPlainRequestsOnTLS holds that a client that forgot the s is told, not cut off.
func TestPlainRequestsOnTLS(t *testing.T) {
	s := start(t, "127.0.0.1:0 ssl", nil)
	for _, text := range []string{plainRequest, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000)} {
		if resp := ask(t, s.Addrs()[0].String(), false, text); resp == nil || resp.StatusCode != 400 || !resp.Close {
			t.Errorf("%.20q: got %v", text, resp)
		}
	}
	if resp := ask(t, s.Addrs()[0].String(), false, "\x00\x01\x02\x03\x04\x05"); resp != nil {
		t.Errorf("got %v", resp)
	}
}

// TestSessionsResume holds that a client that comes again need not do a whole handshake.
func TestSessionsResume(t *testing.T) {
	s := start(t, "127.0.0.1:0 ssl, 127.0.0.1:0 ssl http2", nil)
	for i, address := range s.Addrs() {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			config := &tls.Config{
				InsecureSkipVerify: true, MaxVersion: version, ServerName: fmt.Sprint("a", version), //nolint:gosec // the test's own
				ClientSessionCache: tls.NewLRUClientSessionCache(4),
			}
			for n := range 3 {
				c, err := tls.Dial("tcp", address.String(), config)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(c, plainRequest)
				_, _ = io.Copy(io.Discard, c) // the ticket comes with the answer
				if resumed := c.ConnectionState().DidResume; resumed != (n > 0) {
					t.Errorf("listener %d, version %x, connection %d: resumed %v", i, version, n, resumed)
				}
				_ = c.Close()
			}
		}
	}
}
