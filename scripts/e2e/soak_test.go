package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// soakTime is how long TestSoak goes on: SOAK says so, such as 30m; make soak sets it.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv("SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("SOAK: %v", err)
		}
		return d
	}
	return 10 * time.Second
}

// usage is what a process holds.
type usage struct {
	descriptors int
	resident    int64 // bytes
}

func usageOf(t *testing.T, pid int) usage {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	u := usage{descriptors: len(fds)}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			u.resident = kib << 10
		}
	}
	return u
}

// soak is traffic of all kinds at once.
type soak struct {
	t         *testing.T
	c         *cluster
	n         *node
	secure    *http.Client // HTTP/2
	keepAlive *http.Client
	done      atomic.Int64
	wrong     atomic.Int64
	wait      sync.WaitGroup
}

func (s *soak) fault(format string, arguments ...any) {
	if s.wrong.Add(1) <= 20 {
		s.t.Errorf(format, arguments...)
	}
}

// each repeats work until ctx ends.
func (s *soak) each(ctx context.Context, n int, work func(ctx context.Context, rnd *rand.Rand) error) {
	for range n {
		s.wait.Go(func() {
			rnd := rand.New(rand.NewPCG(rand.Uint64(), 1)) //nolint:gosec // traffic
			for ctx.Err() == nil {
				if err := work(ctx, rnd); err != nil && ctx.Err() == nil {
					s.fault("%v", err)
				}
				s.done.Add(1)
			}
		})
	}
}

// call makes a request whose id has to come back, whole.
func (s *soak) call(ctx context.Context, client *http.Client, base string, rnd *rand.Rand) error {
	id := strconv.FormatUint(rnd.Uint64(), 16)
	body := strings.Repeat(id+" ", rnd.IntN(200))
	var reader io.Reader = strings.NewReader(body)
	if rnd.IntN(2) == 0 {
		reader = struct{ io.Reader }{reader} // of unknown length
	}
	path := "/echo"
	if rnd.IntN(4) == 0 {
		path = "/changing"
	}
	req, err := http.NewRequestWithContext(ctx, "POST", base+path+"/"+id, reader)
	if err != nil {
		return err
	}
	req.Header.Set("X-Id", id)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	switch {
	case resp.StatusCode != 200:
		return fmt.Errorf("%s answers %d: %.200s", req.URL.Path, resp.StatusCode, got)
	case resp.Header.Get("X-Id") != id || string(got) != body:
		return fmt.Errorf("a wrong answer: of %q for %q, %d bytes of %d", resp.Header.Get("X-Id"), id, len(got), len(body))
	}
	return nil
}

// breakOff begins requests and goes away in the middle.
func (s *soak) breakOff(_ context.Context, rnd *rand.Rand) error {
	nc, err := net.Dial("tcp", strings.TrimPrefix(s.n.base, "http://"))
	if err != nil {
		return err
	}
	text := "POST /echo/broken HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 1000)
	_, _ = io.WriteString(nc, text[:1+rnd.IntN(len(text)-1)])
	if tcp, ok := nc.(*net.TCPConn); ok && rnd.IntN(2) == 0 {
		_ = tcp.SetLinger(0) // a reset
	}
	return nc.Close()
}

// slow reads and writes a little at a time.
func (s *soak) slow(_ context.Context, rnd *rand.Rand) error {
	nc, err := net.Dial("tcp", strings.TrimPrefix(s.n.base, "http://"))
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	id := strconv.FormatUint(rnd.Uint64(), 16)
	for _, piece := range []string{"POST /echo/slow HT", "TP/1.1\r\nHost: h\r\nX-Id: " + id + "\r\nConnection: close\r\nTransfer-Encoding: chu", "nked\r\n\r\n4\r\nsl", "ow\r\n0\r", "\n\r\n"} {
		if _, err := io.WriteString(nc, piece); err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond) // the client is slow: that is the point
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 || resp.Header.Get("X-Id") != id {
		return fmt.Errorf("a slow client got %d of %q for %q, %w", resp.StatusCode, resp.Header.Get("X-Id"), id, err)
	}
	return nil
}

// socket talks over a WebSocket.
func (s *soak) socket(ctx context.Context, rnd *rand.Rand) error {
	c, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(s.n.base, "http")+"/ws", nil)
	if err != nil {
		return err
	}
	defer func() { _ = c.CloseNow() }()
	for range 1 + rnd.IntN(20) {
		message := strconv.FormatUint(rnd.Uint64(), 16)
		if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			return err
		}
		if _, got, err := c.Read(ctx); err != nil || string(got) != message {
			return fmt.Errorf("a socket got %q for %q, %w", got, message, err)
		}
	}
	return nil
}

// change alters the configuration all the time.
func (s *soak) change(_ context.Context, rnd *rand.Rand) error {
	name := "extra" + strconv.Itoa(rnd.IntN(20))
	if r := s.c.try("PUT", "/services/"+name, form("url", "http://127.0.0.1:9", "retries", strconv.Itoa(rnd.IntN(5)))); r.is(200) != nil {
		return r.is(200)
	}
	if r := s.c.try("PUT", "/routes/"+name, object{"service": object{"name": name}, "paths": []string{"/" + name}}); r.is(200) != nil {
		return r.is(200)
	}
	if r := s.c.try("PATCH", "/routes/changing", object{"tags": []string{name}, "paths": []string{"/changing", "/also" + name}}); r.is(200) != nil {
		return r.is(200)
	}
	time.Sleep(20 * time.Millisecond) // the rate of changes
	return nil
}

// TestSoak holds that mixed traffic, with clients that break off, clients that are slow and
// a configuration that changes all the time, gets no wrong answer, and leaves neither
// descriptors nor memory behind.
func TestSoak(t *testing.T) {
	length := soakTime(t)
	c := newCluster(t, 1)
	n := c.nodes[0]
	echo := echoServer(t)
	c.serve("sockets", echoSockets(t), "/ws")
	c.serve("echo", echo, "/echo")
	c.serve("changing", echo, "/changing")
	s := &soak{
		t: t, c: c, n: n, keepAlive: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: time.Minute},
		secure: &http.Client{Timeout: time.Minute, Transport: &http.Transport{
			ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the node's own certificate
		}},
	}
	run := func(length time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		s.each(ctx, 4, func(ctx context.Context, rnd *rand.Rand) error { return s.call(ctx, s.keepAlive, n.base, rnd) })
		s.each(ctx, 4, func(ctx context.Context, rnd *rand.Rand) error { return s.call(ctx, s.secure, "https://"+n.tls, rnd) })
		s.each(ctx, 1, s.breakOff)
		s.each(ctx, 2, s.slow)
		s.each(ctx, 2, s.socket)
		s.each(ctx, 1, s.change)
		s.wait.Wait()
		s.keepAlive.CloseIdleConnections()
		s.secure.CloseIdleConnections()
	}
	pid := n.proc.PID()
	run(length / 5) // pools fill, and the heap finds its size
	before := usageOf(t, pid)
	run(length - length/5)
	eventually(t, soon, func() error {
		after := usageOf(t, pid)
		if after.descriptors > before.descriptors+40 {
			return fmt.Errorf("%d descriptors became %d", before.descriptors, after.descriptors)
		}
		// The heap is between once and twice what is live, and 64 MiB are for pools that a busy
		// moment fills: 28 to 75 MiB are what is seen, with idle processors and with busy ones.
		// A leak grows for ever.
		if after.resident > before.resident+before.resident/2+64<<20 {
			return fmt.Errorf("%d MiB became %d MiB", before.resident>>20, after.resident>>20)
		}
		return nil
	})
	after := usageOf(t, pid)
	t.Logf("%d operations in %v, %d of them wrong; %d descriptors became %d, %d MiB became %d MiB", s.done.Load(), length, s.wrong.Load(),
		before.descriptors, after.descriptors, before.resident>>20, after.resident>>20)
	if s.done.Load() < 100 {
		t.Errorf("%d operations only", s.done.Load())
	}
}

// echoServer sends bodies back, with the id of their request.
func echoServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("X-Id", r.Header.Get("X-Id"))
		_, _ = w.Write(b)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}
