package h2_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	wire "golang.org/x/net/http2"

	"github.com/sluice-gateway/sluice/dataplane/internal/h2"
)

// TestSlowUploadsHoldUpNobody holds that bodies that nobody reads fill the windows of their
// streams, and not that of the connection.
func TestSlowUploadsHoldUpNobody(t *testing.T) {
	const size = 5 << 20
	release := make(chan struct{})
	defer close(release)
	client, _ := pair(t, h2.Options{}, func(s *h2.Stream) {
		fields, _, err := s.Head(long)
		if err != nil {
			return
		}
		for i := range fields {
			if fields[i].Name == "slow" {
				<-release
				return
			}
		}
		var got int64
		for buf := make([]byte, 16<<10); err == nil; {
			var n int
			n, err = s.Read(buf, long)
			got += int64(n)
		}
		if !errors.Is(err, io.EOF) || got != size {
			t.Errorf("%d bytes came, %v", got, err)
		}
		_ = s.WriteHead(status("200"), true)
	})
	for range 60 {
		s, ok, err := client.Open(func(add func(name, value string, secret bool)) {
			get(add)
			add("slow", "1", false)
		}, false, false)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		defer s.Close()
		if _, err := s.Write(make([]byte, 64<<10), false, long); err != nil {
			t.Fatal(err)
		}
	}
	s, _, err := client.Open(get, false, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Write(bytes.Repeat([]byte("x"), size), true, long); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Head(long); err != nil {
		t.Error(err)
	}
}

// TestWindowsGrow holds that a stream whose reader is faster than its peer gets a larger
// window, up to a bound, and that all of a connection share what there is to give.
func TestWindowsGrow(t *testing.T) {
	nc, _, _ := serve(t, h2.Options{}, func(s *h2.Stream) {
		if _, _, err := s.Head(long); err != nil {
			return
		}
		for buf := make([]byte, 64<<10); ; {
			if _, err := s.Read(buf, long); err != nil {
				return
			}
		}
	})
	r := newRaw(t, nc)
	windows := map[uint32]int64{}
	// fill sends half of a stream's window again and again, which is what the peer waits for
	// before it gives room, until the window grows no more.
	fill := func(id uint32) {
		windows[id] = 64 << 10
		r.headers(id, false, plain...)
		for given := int64(0); given != windows[id]/2; {
			windows[id] += max(given-windows[id]/2, 0)
			for range windows[id] / 2 >> 10 {
				if err := r.WriteData(id, false, make([]byte, 1<<10)); err != nil {
					t.Fatal(err)
				}
			}
			for given = 0; given == 0; {
				f, err := r.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				if u, ok := f.(*wire.WindowUpdateFrame); ok && u.StreamID == id {
					given = int64(u.Increment)
				}
			}
		}
	}
	total := int64(0)
	for i := range uint32(12) {
		fill(2*i + 1)
		total += windows[2*i+1] - 64<<10
	}
	if windows[1] != 512<<10 || windows[23] != 64<<10 {
		t.Errorf("the first stream's window became %d, the last one's %d", windows[1], windows[23])
	}
	if total != 4<<20 {
		t.Errorf("windows grew by %d in all", total)
	}
}
