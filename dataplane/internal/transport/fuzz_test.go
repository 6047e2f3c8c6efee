package transport

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// script is a connection on which the upstream says what it likes, in pieces of step.
type script struct {
	net.Conn
	says []byte
	step int
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.says) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.says[:min(s.step, len(s.says))])
	s.says = s.says[n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) Close() error                     { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// FuzzResponse reads a response twice, whole and in pieces, and has net/http judge: what
// is accepted here is accepted there and means the same.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
		"HTTP/1.1 200\r\n\r\nabc",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nContent-Length: 03\r\n\r\nabc",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 1\n\na",
		"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: \x00\r\n\r\n",
		"HTTP/2.0 200 OK\r\n\r\n",
		"HTTP/1.1 200 O\rK\r\n\r\n",
		"",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	tr := New(Options{})
	f.Cleanup(func() { _ = tr.Close() })
	f.Fuzz(func(t *testing.T, says []byte, head bool) {
		one, got := read(t, tr, says, len(says)+1, head)
		two, again := read(t, tr, says, 1, head)
		if one != two || got != again {
			t.Fatalf("whole: %v %+v\nin pieces: %v %+v", one, got, two, again)
		}
		if !one {
			return
		}
		got.header = "" // net/http keeps no order
		want, err := judge(says, head)
		if err != nil {
			t.Fatalf("accepted %+v, but net/http says: %v", got, err)
		}
		if want != got {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

// seen is what a client sees.
type seen struct {
	status int
	body   string
	whole  bool // the body came to its end
	header string
}

func read(t *testing.T, tr *Transport, says []byte, step int, head bool) (accepted bool, s seen) {
	e := newEndpoint(tr, EndpointKey{Network: "tcp", Address: "a.test:80", Protocol: HTTP1}, nil)
	x, c := new(pdk.Exchange), new(Call)
	x.Upstream.Method, x.Upstream.Path = "GET", "/"
	if head {
		x.Upstream.Method = "HEAD"
	}
	trip := newTrip(tr.options.MaxHead)
	if err := trip.prepare(e, x, c); err != nil {
		t.Fatal(err)
	}
	if err := trip.run(newConn(&script{says: says, step: step}, nil), false, x, c); err != nil {
		if x.Response.Body != nil || x.Response.Status != 0 {
			t.Errorf("response after an error: %+v", &x.Response)
		}
		trip.abandon(x)
		if x.Response.Header.Len() != 0 {
			t.Errorf("header after an error: %v", x.Response.Header.Fields())
		}
		return false, s
	}
	s.status, s.whole = x.Response.Status, true
	for _, f := range x.Response.Header.Fields() {
		s.header += strings.ToLower(f.Name) + ":" + f.Value + "\n"
	}
	if x.Response.Body != nil {
		b, err := io.ReadAll(x.Response.Body)
		s.body, s.whole = string(b), err == nil
		if !s.whole {
			s.body = "" // how much came is not ours to compare
		}
	}
	s.header = strings.Clone(s.header)
	trip.Release()
	e.close()
	return true, s
}

func judge(says []byte, head bool) (s seen, err error) {
	br := bufio.NewReader(bytes.NewReader(says))
	method := "GET"
	if head {
		method = "HEAD"
	}
	for {
		r, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return s, err
		}
		if r.StatusCode >= 100 && r.StatusCode < 200 {
			continue
		}
		b, err := io.ReadAll(r.Body)
		s.status, s.whole = r.StatusCode, err == nil
		if s.whole {
			s.body = string(b)
		}
		return s, nil
	}
}
