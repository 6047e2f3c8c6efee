package http1_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// TestNothingIsSmuggled sends what two servers may read differently, each with a second
// request inside or behind. The second is never served, whatever becomes of the first.
func TestNothingIsSmuggled(t *testing.T) {
	const inner = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	post := func(lines, body string) string { return "POST / HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n" + body }
	for _, test := range []struct {
		name, text string
		status     int // of the only answer
	}{
		{"length, then coding", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+inner), 400},
		{"coding, then length", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"+inner), 400},
		{"two lengths", post("Content-Length: 0\r\nContent-Length: 38\r\n", inner), 400},
		{"two lengths alike", post("Content-Length: 38\r\nContent-Length: 38\r\n", inner), 400},
		{"lengths in a list", post("Content-Length: 0, 38\r\n", inner), 400},
		{"length with a sign", post("Content-Length: +0\r\n", inner), 400},
		{"length with a space inside", post("Content-Length: 0 38\r\n", inner), 400},
		{"length in hexadecimal", post("Content-Length: 0x0\r\n", inner), 400},
		{"empty length", post("Content-Length:\r\n", inner), 400},
		{"length behind a space", post("Content-Length : 38\r\n", inner), 400},
		{"coding behind a space", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"+inner), 400},
		{"coding behind a tab", post("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"+inner), 400},
		{"coding with a vertical tab", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"+inner), 400},
		{"coding in quotes", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"+inner), 501},
		{"coding of another kind", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"+inner), 501},
		{"coding and identity", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"+inner), 501},
		{"coding twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"+inner), 400},
		{"coding on a folded line", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"+inner), 501},
		{"coding behind a folded line", post("A: b\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+inner), 400},
		{"coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner, 400},
		{"coding behind a bare LF", post("A: b\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+inner), 400},
		{"coding behind a bare CR", post("A: b\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+inner), 400},
		{"coding behind a zero", post("A: b\x00Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+inner), 400},
		{"head that ends with LF LF", "POST / HTTP/1.1\nHost: h\n\n" + inner, 400},
		{"head that ends with CR LF LF", "POST / HTTP/1.1\r\nHost: h\r\n\n" + inner, 400},
		{"space before the first line", post(" Content-Length: 38\r\n", inner), 400},
		{"two hosts", "GET / HTTP/1.1\r\nHost: h\r\nHost: other\r\n\r\n" + inner, 400},
		{"two hosts in one", "GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n" + inner, 400},
		{"version 0.9", "GET /\r\n\r\n" + inner, 400},
		{"chunk size with a sign", post("Transfer-Encoding: chunked\r\n", "+0\r\n\r\n"+inner), 400},
		{"chunk size with 0x", post("Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n"+inner), 400},
		{"chunk size with a space", post("Transfer-Encoding: chunked\r\n", "0 \r\n\r\n"+inner), 400},
		{"chunk size that wraps", post("Transfer-Encoding: chunked\r\n", "10000000000000000\r\n\r\n"+inner), 400},
		{"chunk line with a bare LF", post("Transfer-Encoding: chunked\r\n", "0\n\r\n"+inner), 400},
		{"extension with a bare LF", post("Transfer-Encoding: chunked\r\n", "0;a\nb\r\n\r\n"+inner), 400},
		{"extension with a bare CR", post("Transfer-Encoding: chunked\r\n", "0;a\rb\r\n\r\n"+inner), 400},
		{"chunk with more than its size", post("Transfer-Encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n"+inner), 400},
		{"chunk that ends with LF", post("Transfer-Encoding: chunked\r\n", "1\r\na\n0\r\n\r\n"+inner), 400},
		{"end with a bare LF", post("Transfer-Encoding: chunked\r\n", "0\r\n\n"+inner), 400},
		{"trailer with a bare LF", post("Transfer-Encoding: chunked\r\n", "0\r\nA: b\n\r\n"+inner), 400},
		{"trailer that folds", post("Transfer-Encoding: chunked\r\n", "0\r\nA: b\r\n c\r\n\r\n"+inner), 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			var served atomic.Int32
			address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
				if x.Request.RawPath == "/smuggled" {
					served.Add(1)
				}
				echo(x, r)
			}, nil)
			c := dial(t, address)
			c.send(test.text)
			resp, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Error(err)
			}
			if resp.StatusCode != test.status && (test.status != 501 || resp.StatusCode != 400) || !resp.Close {
				t.Errorf("got %d, closed %v, want %d", resp.StatusCode, resp.Close, test.status)
			}
			c.ends()
			if served.Load() > 0 {
				t.Error("the second request was served")
			}
		})
	}
}

// TestBordersAreExact holds that what is in a body stays there, and what is behind it is
// the next request.
func TestBordersAreExact(t *testing.T) {
	const inner = "GET /inner HTTP/1.1\r\nHost: h\r\n\r\n"
	address, _ := start(t, echo, nil)
	for name, text := range map[string]string{
		"length":     "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 32\r\n\r\n" + inner,
		"chunks":     "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n" + inner + "\r\n0\r\n\r\n",
		"extensions": "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0020;a=\"b;c\"\r\n" + inner + "\r\n0;d\r\nT: v\r\n\r\n",
		"case":       "POST /a HTTP/1.1\r\nhOST: h\r\ntRANSFER-eNCODING: CHUNKED\r\n\r\n20\r\n" + inner + "\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, address)
			c.send(strings.Repeat(text+"GET /b HTTP/1.1\r\nHost: h\r\n\r\n", 3))
			for range 3 {
				c.says("POST", 200, `POST h /a "GET /inner HTTP/1.1\r\nHost: h\r\n\r\n"`)
				c.says("GET", 200, `GET h /b ""`)
			}
		})
	}
}
