package message_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

const head = "GET / HTTP/1.1\r\nHost: a\r\n"

// refused are messages that must not be taken for requests.
var refused = []struct {
	name   string
	text   string
	status int
}{
	{"length twice", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
	{"lengths that differ", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", 400},
	{"length in a list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx", 400},
	{"length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx", 400},
	{"length below zero", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
	{"length in hex", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx", 400},
	{"length beyond numbers", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n", 400},
	{"length and coding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"coding twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"coding that is not chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
	{"coding with a tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400},
	{"coding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"space before the colon", head + "Content-Length : 1\r\n\r\nx", 400},
	{"folded line", head + "A: b\r\n c\r\n\r\n", 400},
	{"no name", head + ": b\r\n\r\n", 400},
	{"name with a space", head + "A b: c\r\n\r\n", 400},
	{"value with a zero", head + "A: b\x00c\r\n\r\n", 400},
	{"value with a CR", head + "A: b\rc\r\n\r\n", 400},
	{"line that ends with LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
	{"field that ends with LF", head + "A: b\n\r\n", 400},
	{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
	{"no host but an absolute target", "GET http://a/x HTTP/1.1\r\n\r\n", 400},
	{"no host but a target without a path", "GET http://a HTTP/1.1\r\n\r\n", 400},
	{"host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
	{"host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
	{"host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
	{"host with a wrong port", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400},
	{"hosts that differ", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"absolute target with an encoded host", "GET http://%61.example/ HTTP/1.0\r\n\r\n", 400},
	{"absolute target with a percent sign", "A http://0%0000000 HTTP/1.0\r\n\r\n", 400},
	{"host with an empty label", "GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", 400},
	{"target above the root", "GET /.. HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"target above the root for a while", "GET /a/../../b/c HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"target above the root among empty segments", "GET /a//./../..//b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"target above the root in code", "GET /a%2F%2e%2E/.%2e/b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"absolute target above the root", "GET http://a/../b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"target without a slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"target with a fragment of a percent", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"target with a zero", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"target with a space", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"lower-case method", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"no version", "GET /\r\nHost: a\r\n\r\n", 400},
	{"another version", "GET / HTTP/2.1\r\nHost: a\r\n\r\n", 505},
	{"an older version", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
	{"version with three digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
	{"version that is none", "GET / HTTP/1.x\r\nHost: a\r\n\r\n", 400},
	{"later version without a host", "GET / HTTP/1.2\r\n\r\n", 400},
	{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405},
	{"TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
	{"long target", "GET /" + strings.Repeat("a", message.MaxLine) + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
	{"long field", head + "A: " + strings.Repeat("a", message.MaxLine) + "\r\n\r\n", 494},
	{"long head", head + strings.Repeat("A: "+strings.Repeat("a", 4000)+"\r\n", 9) + "\r\n", 494},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400},
	{"chunk size with a sign", chunked("+1\r\nx\r\n0\r\n\r\n"), 400},
	{"chunk size that is none", chunked("g\r\nx\r\n0\r\n\r\n"), 400},
	{"chunk size beyond numbers", chunked("fffffffffffffffff\r\nx\r\n0\r\n\r\n"), 400},
	{"chunk size that ends with LF", chunked("1\nx\r\n0\r\n\r\n"), 400},
	{"chunk without an end", chunked("1\r\nxy\r\n0\r\n\r\n"), 400},
	{"chunk extension without an end", chunked("1;" + strings.Repeat("a", 300) + "\r\nx\r\n0\r\n\r\n"), 400},
	{"trailer that is folded", chunked("0\r\nA: b\r\n c\r\n\r\n"), 400},
}

func chunked(body string) string {
	return "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body
}

func TestRefused(t *testing.T) {
	for _, test := range refused {
		t.Run(test.name, func(t *testing.T) {
			_, _, _, _, err := parse([]byte(test.text))
			var refusal *message.Refusal
			if !errors.As(err, &refusal) || refusal.Status != test.status {
				t.Errorf("got %v, want a refusal with %d", err, test.status)
			}
		})
	}
}

func TestHeadsThatAreNotThereYet(t *testing.T) {
	whole := "POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	for i := range len(whole) - 4 {
		n, err := message.EndOfHead([]byte(whole[:i]), 0)
		if n != 0 || err != nil {
			t.Fatalf("after %d bytes: %d, %v", i, n, err)
		}
	}
	_, _, _, _, err := parse([]byte(whole[:len(whole)-1]))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("body that ends early: %v", err)
	}
}

func TestAccepted(t *testing.T) {
	for _, test := range []struct {
		text                          string
		path, query, host, body, rest string
		keep                          bool
	}{
		{requests[0], "/", "", "a", "", "", true},
		{requests[1], "/a%20b", "x=1", "a.example:80", "", "GET /next HTTP/1.1\r\n", true},
		{requests[2], "/x", "", "a", "hello", "", true},
		{requests[3], "/x", "", "a", "hello", "GET", true},
		{requests[4], "/x", "", "a", "hello", "", true},
		{requests[5], "/x", "y", "a.example", "", "", true},
		{requests[6], "/", "", "", "", "", false},
		{requests[7], "/", "", "", "", "", true},
		{requests[10], "/x", "", "a.example", "", "", false},
		{requests[11], "/", "", "a.example", "", "", false},
		{requests[8], "/x", "", "[::1]:8000", "", "", false},
		{"GET /x HTTP/1.2\r\nHost: a\r\n\r\n", "/x", "", "a", "", "", true},
	} {
		r, _, body, rest, err := parse([]byte(test.text))
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		if r.Path != test.path || r.Query != test.query || r.Host != test.host || string(body) != test.body || string(rest) != test.rest || r.KeepAlive != test.keep {
			t.Errorf("%q:\n got path %q query %q host %q body %q rest %q keep %v", test.text, r.Path, r.Query, r.Host, body, rest, r.KeepAlive)
		}
	}
}

// TestPathsWithDots holds that dots which stay below the root are no reason to refuse.
func TestPathsWithDots(t *testing.T) {
	for _, path := range []string{"/a/..", "/a/../b/..", "/a/b/../../c", "/...", "/..a", "/a../..b/.../..", "/.", "/./.", "/%2e/a", "/a%2e%2e/b", "/a/%2e%2e", "/?a=/../..", "/a//.."} {
		text := "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"
		var r message.Request
		var h pdk.Header
		if err := r.Parse([]byte(text), &h); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
