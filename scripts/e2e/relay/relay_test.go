package relay_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/relay"
)

// echo answers with what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func ask(c net.Conn, text string, within time.Duration) (string, error) {
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	_ = c.SetReadDeadline(time.Now().Add(within))
	b := make([]byte, len(text))
	n, err := io.ReadFull(c, b)
	return string(b[:n]), err
}

func TestModes(t *testing.T) {
	r, err := relay.New(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", r.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	c := dial()
	if got, err := ask(c, "hello", 5*time.Second); got != "hello" {
		t.Fatalf("got %q %v", got, err)
	}
	if r.Bytes() != 10 {
		t.Errorf("%d bytes were counted, want 10", r.Bytes())
	}
	r.SetOld(relay.Stall)
	if got, err := ask(c, "stall", 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a stalled connection gave %q %v", got, err)
	}
	if got, err := ask(dial(), "other", 5*time.Second); got != "other" {
		t.Errorf("a new connection gave %q %v", got, err)
	}
	r.Set(relay.Pass)
	if got, err := ask(c, "again", 5*time.Second); got != "stall" {
		t.Errorf("after the stall came %q %v", got, err)
	}
	// What a reader already waits for when the mode is set is slow too.
	late := dial()
	if got, err := ask(late, "ready", 5*time.Second); got != "ready" {
		t.Fatalf("got %q %v", got, err)
	}
	r.Set(relay.Trickle)
	if got, err := ask(late, "abc", 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 1 {
		t.Errorf("the first answer after a connection was slowed gave %q %v", got, err)
	}
	slow := dial()
	if got, err := ask(slow, "abc", 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 1 {
		t.Errorf("a slow connection gave %q %v", got, err)
	}
	r.Set(relay.Refuse)
	if _, err := ask(dial(), "x", 5*time.Second); err == nil {
		t.Error("a refused connection answers")
	}
	if _, err := ask(slow, "x", 5*time.Second); err == nil {
		t.Error("a cut connection answers")
	}
}
