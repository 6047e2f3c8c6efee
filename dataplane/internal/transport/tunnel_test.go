package transport_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/transport"
)

const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"

// pair returns two ends of a TCP connection.
func pair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.Close()
		_ = b.Close()
	})
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// upgrade sends a request that is answered 101, and starts the tunnel.
func upgrade(t *testing.T, handle func(c net.Conn), ahead string, timeouts transport.Timeouts) (client *net.TCPConn, done chan error) {
	t.Helper()
	u := listen(t, func(c net.Conn, _ int) {
		if _, err := c.Read(make([]byte, 4096)); err == nil {
			handle(c)
		}
	})
	x, c := newExchange(nil, 0), seconds()
	c.Upgrade = true
	x.Request.Header.Add("Upgrade", "echo")
	if err := plain(newTransport(t, transport.Options{}), u.address()).RoundTrip(x, c); err != nil {
		t.Fatal(err)
	}
	if x.Response.Status != 101 || c.Upgraded == nil || x.Response.Header.Get("Upgrade") != "echo" || x.Response.Body != nil {
		t.Fatalf("response = %+v", &x.Response)
	}
	x.Reset()
	client, far := pair(t)
	buffered := bufio.NewReader(io.MultiReader(strings.NewReader(ahead), far))
	done = make(chan error, 1)
	go func() { done <- transport.Tunnel(far, buffered, c.Upgraded, timeouts) }()
	return client, done
}

func TestTunnel(t *testing.T) {
	client, done := upgrade(t, func(c net.Conn) {
		_, _ = io.WriteString(c, switching+"hello ") // the protocol begins at once
		_, _ = io.Copy(c, c)
		_, _ = io.WriteString(c, " bye")
	}, "early ", transport.Timeouts{Read: time.Minute, Write: time.Minute})
	large := bytes.Repeat([]byte("0123456789"), 100<<10)
	go func() {
		_, _ = client.Write(large)
		_ = client.CloseWrite() // the other direction goes on
	}()
	got, err := io.ReadAll(client)
	if err != nil {
		t.Fatal(err)
	}
	if want := "hello early " + string(large) + " bye"; string(got) != want {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
	if err := <-done; err != nil {
		t.Errorf("Tunnel() = %v", err)
	}
}

func TestTunnelEndsWhenIdle(t *testing.T) {
	client, done := upgrade(t, func(c net.Conn) {
		_, _ = io.WriteString(c, switching)
		_, _ = io.Copy(io.Discard, c)
	}, "", transport.Timeouts{Read: 2 * short})
	// A direction that is silent is kept while the other one is busy.
	began := time.Now()
	for time.Since(began) < 6*short {
		if _, err := client.Write([]byte("a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(short / 3)
	}
	select {
	case err := <-done:
		t.Fatalf("Tunnel() = %v while busy", err)
	default:
	}
	if err := <-done; err == nil {
		t.Error("Tunnel() = nil, want an error of the timeout")
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("client's connection is open")
	}
}

func TestTunnelEndsWithReset(t *testing.T) {
	client, done := upgrade(t, func(c net.Conn) {
		_, _ = io.WriteString(c, switching)
		_, _ = c.Read(make([]byte, 1))
		_ = c.(*net.TCPConn).SetLinger(0)
	}, "", transport.Timeouts{})
	_, _ = client.Write([]byte("ab"))
	if err := <-done; err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("Tunnel() = %v, want the reset", err)
	}
}

func TestTunnelWithoutHalfClose(t *testing.T) {
	near, far := net.Pipe() // has no CloseWrite
	upstream, peer := pair(t)
	done := make(chan error, 1)
	go func() { done <- transport.Tunnel(far, nil, &transport.Upgraded{Conn: upstream}, transport.Timeouts{}) }()
	_, _ = near.Write([]byte("abc"))
	buf := make([]byte, 3)
	if _, err := io.ReadFull(peer, buf); err != nil || string(buf) != "abc" {
		t.Errorf("read = %q, %v", buf, err)
	}
	_ = peer.Close()
	if err := <-done; err != nil {
		t.Errorf("Tunnel() = %v", err)
	}
	_ = near.Close()
}

func TestUpgradeRefused(t *testing.T) {
	u := listen(t, always(ok))
	x, c := newExchange(nil, 0), seconds()
	defer x.Reset()
	c.Upgrade = true
	if err := plain(newTransport(t, transport.Options{}), u.address()).RoundTrip(x, c); err != nil {
		t.Fatal(err)
	}
	if x.Response.Status != 200 || c.Upgraded != nil || readAll(t, x) != "ok" {
		t.Errorf("response = %+v", &x.Response)
	}
}

func TestUpgradedIsClosed(t *testing.T) {
	upstream, peer := pair(t)
	u := &transport.Upgraded{Conn: upstream}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read = %v, want EOF", err)
	}
}
