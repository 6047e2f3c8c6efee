package h2_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	wire "golang.org/x/net/http2"

	"github.com/sluice-gateway/sluice/dataplane/internal/h2"
)

// TestUnreadResponsesHoldUpNobody holds that responses that nobody reads leave room for
// those of others on a client's connection.
func TestUnreadResponsesHoldUpNobody(t *testing.T) {
	client, _ := pair(t, h2.Options{}, func(s *h2.Stream) {
		if _, _, err := s.Head(long); err == nil && s.WriteHead(status("200"), false) == nil {
			_, _ = s.Write(make([]byte, 300_000), true, long)
		}
	})
	for range 8 {
		s, _, err := client.Open(get, true, false)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, _, err := s.Head(long); err != nil {
			t.Fatal(err)
		}
	}
	s, _, err := client.Open(get, true, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := len(readAll(t, s)); got != 300_000 {
		t.Errorf("%d bytes came", got)
	}
}

// TestUnwantedBodiesHoldUpNobody holds that a server gives back the room of bodies that it
// does not read any more, though it still answers.
func TestUnwantedBodiesHoldUpNobody(t *testing.T) {
	const streams = 8
	release := make(chan struct{})
	defer close(release)
	var looked sync.WaitGroup // the connection must not end before
	looked.Add(streams)
	client, _ := pair(t, h2.Options{}, func(s *h2.Stream) {
		if fields, _, err := s.Head(long); err != nil || fields[0].Value == "POST" {
			respond(s)
			return
		}
		s.CloseRead()
		if n, err := s.Read(make([]byte, 1), long); !errors.Is(err, h2.ErrEnded) {
			t.Errorf("Read = %d, %v", n, err)
		}
		looked.Done()
		<-release
		_ = s.WriteHead(status("200"), true)
	})
	for range streams {
		s, _, err := client.Open(get, false, false)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Write(make([]byte, 60_000), false, long); err != nil {
			t.Fatal(err)
		}
		s.Flush()
	}
	looked.Wait()
}

// TestLongBodies holds that a body that comes without a pause is no frame that stays cut.
func TestLongBodies(t *testing.T) {
	began := time.Now()
	limits := h2.Limits{Partial: time.Minute}
	read := make(chan int)
	nc, c, _ := serve(t, h2.Options{}, func(s *h2.Stream) {
		if _, _, err := s.Head(long); err != nil {
			return
		}
		for buf := make([]byte, 100); ; {
			n, err := s.Read(buf, long)
			if err != nil {
				return
			}
			read <- n
		}
	})
	r := newRaw(t, nc)
	r.headers(1, false, plain...)
	frame := append([]byte{0, 0, 4, 0, 0, 0, 0, 0, 1}, "abcd"...)
	var all []byte
	for range 40 {
		all = append(all, frame...)
	}
	for at, cut := 0, 5; at+cut < len(all); { // never at the end of a frame
		if _, err := nc.Write(all[at : at+cut]); err != nil {
			t.Fatal(err)
		}
		if at += cut; at >= len(frame) {
			<-read
		}
		cut = len(frame)
		time.Sleep(5 * time.Millisecond)
	}
	c.Sweep(began.Add(time.Minute+100*time.Millisecond), limits) // the first was cut before
	select {
	case <-c.Ended():
		t.Error("the connection was ended in the middle of a body")
	default:
	}
}

// TestStreamsBehindTheLast holds that streams that a client opens before it has heard of the
// end are not taken for a fault: those that count go on.
func TestStreamsBehindTheLast(t *testing.T) {
	release := make(chan struct{})
	answer := sync.OnceFunc(func() { close(release) })
	defer answer()
	nc, c, _ := serve(t, h2.Options{}, func(s *h2.Stream) {
		if _, _, err := s.Head(long); err != nil {
			return
		}
		<-release
		_ = s.WriteHead(status("200"), true)
	})
	r := newRaw(t, nc)
	r.headers(1, true, plain...)
	eventually(t, func() bool { return c.State().Running == 1 })
	c.GoAway()
	c.Final()
	r.headers(3, false, plain...)
	_ = r.WriteData(3, false, []byte("abc"))
	_ = r.WriteWindowUpdate(3, 10)
	r.headers(3, true, "a", "b")
	_ = r.WriteRSTStream(3, wire.ErrCodeCancel)
	_ = r.WritePing(false, [8]byte{1})
	for ponged := false; !ponged; {
		f, err := r.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *wire.GoAwayFrame:
			if f.ErrCode != wire.ErrCodeNo {
				t.Fatalf("goaway %v", f.ErrCode)
			}
		case *wire.RSTStreamFrame:
			t.Fatalf("reset %v", f.ErrCode)
		case *wire.PingFrame:
			ponged = f.IsAck()
		}
	}
	answer()
	if got := r.ends(); got != "headers" {
		t.Errorf("got %q, want the response", got)
	}
}

// TestPeerGoesWhileIdle holds that a client ends a connection without streams when its server
// wants no more, though that does not close it.
func TestPeerGoesWhileIdle(t *testing.T) {
	nc, peer := pipe(t)
	defer func() { _ = peer.Close() }()
	c := h2.New(nc, h2.Options{})
	done := make(chan error, 1)
	go func() { done <- c.Serve() }()
	f := wire.NewFramer(peer, peer)
	_, _ = io.ReadFull(peer, make([]byte, len(wire.ClientPreface)))
	_ = f.WriteSettings()
	_ = f.WriteGoAway(0, wire.ErrCodeNo, nil)
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(long): //nolint:forbidigo // bounds the test
		c.Close()
		t.Error("the connection stays")
	}
}

// TestStalledStreamAmongOthers holds that a stream which its peer gives no room is given up
// though the connection gets room all the time.
func TestStalledStreamAmongOthers(t *testing.T) {
	failed := make(chan error, 1)
	nc, _, _ := serve(t, h2.Options{}, func(s *h2.Stream) {
		if _, _, err := s.Head(long); err != nil {
			return
		}
		_ = s.WriteHead(status("200"), false)
		_, err := s.Write(make([]byte, 100_000), true, 300*time.Millisecond)
		failed <- err
	})
	r := newRaw(t, nc)
	r.headers(1, true, plain...)
	go func() { _, _ = io.Copy(io.Discard, nc) }()
	for began := time.Now(); time.Since(began) < long; {
		_ = r.WriteWindowUpdate(0, 1)
		select {
		case err := <-failed:
			if !errors.Is(err, h2.ErrStalled) {
				t.Errorf("Write = %v", err)
			}
			return
		case <-time.After(20 * time.Millisecond): //nolint:forbidigo // less than the stream has
		}
	}
	t.Error("the stream waits for ever")
}

// TestInterimBehindFinal holds that no interim head follows the final one.
func TestInterimBehindFinal(t *testing.T) {
	client, _ := pair(t, h2.Options{}, func(s *h2.Stream) {
		if _, _, err := s.Head(long); err != nil {
			return
		}
		if err := s.WriteInterim(status("103")); err != nil {
			t.Error(err)
		}
		_ = s.WriteHead(status("200"), false)
		if err := s.WriteInterim(status("100")); !errors.Is(err, h2.ErrEnded) {
			t.Errorf("WriteInterim = %v", err)
		}
		_, _ = s.Write([]byte("abc"), true, long)
	})
	s, _, err := client.Open(get, true, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, want := range []string{"103", "200"} {
		if f, _, err := s.Head(long); err != nil || f[0].Value != want {
			t.Errorf("Head = %v, %v, want %s", f, err, want)
		}
	}
	if got := readAll(t, s); !bytes.Equal(got, []byte("abc")) {
		t.Errorf("body %q", got)
	}
}

// TestLargeHeadsAreCheckedToo holds that a head is malformed though it is too large as well.
func TestLargeHeadsAreCheckedToo(t *testing.T) {
	nc, _, _ := serve(t, h2.Options{MaxHead: 1000}, func(*h2.Stream) { t.Error("the stream was opened") })
	r := newRaw(t, nc)
	r.headers(1, true, append(plain[:8:8], "", "x", "long", strings.Repeat("x", 1000))...)
	if got := r.ends(); got != "reset PROTOCOL_ERROR" {
		t.Errorf("got %q", got)
	}
}

// TestReserve holds that reserved room is nobody else's.
func TestReserve(t *testing.T) {
	client, _ := pair(t, h2.Options{MaxStreams: 2}, func(s *h2.Stream) { _, _ = s.Read(make([]byte, 1), long) })
	eventually(t, func() bool { return client.State().Settled })
	for i, want := range []bool{true, true, false} {
		if got := client.Reserve(); got != want {
			t.Errorf("Reserve %d = %v", i, got)
		}
	}
	for range 2 {
		s, ok, err := client.Open(get, false, false)
		if !ok || err != nil {
			t.Fatalf("Open = %v, %v", ok, err)
		}
		defer s.Close()
	}
	if client.Reserve() {
		t.Error("a third was reserved")
	}
}

// watched tells of what is written.
type watched struct {
	net.Conn

	before func(b []byte)
}

func (w *watched) Write(b []byte) (int, error) {
	w.before(b)
	return w.Conn.Write(b)
}

// TestEndedStreamsGoFirst holds that a stream is off the connection when its peer hears of
// its end: one that opens another in its place is not refused.
func TestEndedStreamsGoFirst(t *testing.T) {
	for name, end := range map[string]func(s *h2.Stream){
		"head":  func(s *h2.Stream) { _ = s.WriteHead(status("200"), true) },
		"reset": func(s *h2.Stream) { s.Reset(h2.Cancel) },
		"body": func(s *h2.Stream) {
			_ = s.WriteHead(status("200"), false)
			_, _ = s.Write([]byte("abc"), true, long)
		},
	} {
		t.Run(name, func(t *testing.T) {
			nc, peer := pipe(t)
			var c *h2.Conn
			begun, left := make(chan struct{}), make(chan int, 10)
			c = h2.New(&watched{peer, func([]byte) {
				select {
				case <-begun:
					left <- c.State().Streams
				default:
				}
			}}, h2.Options{Server: true, OnStream: func(s *h2.Stream) {
				go func() {
					defer s.Close()
					if _, _, err := s.Head(long); err == nil {
						close(begun)
						end(s)
					}
				}()
			}})
			done := make(chan error, 1)
			go func() { done <- c.Serve() }()
			r := newRaw(t, nc)
			eventually(t, func() bool { return c.State().Settled })
			_ = r.WritePing(false, [8]byte{})
			for f, err := r.ReadFrame(); ; f, err = r.ReadFrame() { // else answers are written when the stream is there
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := f.(*wire.PingFrame); ok {
					break
				}
			}
			r.headers(1, true, plain...)
			if n := <-left; n != 0 {
				t.Errorf("%d streams are left", n)
			}
			_ = nc.Close()
			if err := <-done; err != nil {
				t.Logf("the connection: %v", err)
			}
		})
	}
}
