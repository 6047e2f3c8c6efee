package message_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/message"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// parse reads one request as an engine does: head, then body, and what follows.
func parse(b []byte) (r message.Request, h pdk.Header, body, rest []byte, err error) {
	n, err := message.EndOfHead(b, 0)
	if err != nil {
		return r, h, nil, nil, err
	}
	if n == 0 {
		return r, h, nil, nil, io.ErrUnexpectedEOF
	}
	if err := r.Parse(b[:n], &h); err != nil {
		return r, h, nil, nil, err
	}
	// The buffer is small, so that chunks are cut in odd places.
	var reader message.Body
	source := bytes.NewReader(b[n:])
	reader.Start(source, make([]byte, 600), 0, 0, r.Length, false, nil, 0)
	body, err = io.ReadAll(&reader)
	rest = append(append(rest, reader.Following()...), b[len(b)-source.Len():]...)
	return r, h, body, rest, err
}

var requests = []string{
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a%20b?x=1 HTTP/1.1\r\nHost: a.example:80\r\nA: b\r\nA: c\r\n\r\nGET /next HTTP/1.1\r\n",
	"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET",
	"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: v\r\n\r\n",
	"GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n",
	"GET / HTTP/1.0\r\n\r\n",
	"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	"HEAD /x HTTP/1.1\r\nHost: [::1]:8000\r\nConnection: close\r\n\r\n",
	"OPTIONS /x HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
	"GET http://a.example/x HTTP/1.0\r\n\r\n",
	"GET http://a.example HTTP/1.0\r\n\r\n",
}

// FuzzRequest holds that what is accepted as a request is one for net/http too, with the
// same method, target, host, fields and body: two readings of one message are how
// requests are smuggled.
func FuzzRequest(f *testing.F) {
	for _, r := range requests {
		f.Add([]byte(r))
	}
	for _, r := range refused {
		f.Add([]byte(r.text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ours, fields, body, rest, err := parse(b)
		var refusal *message.Refusal
		if err != nil {
			if !errors.As(err, &refusal) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("error %v is no refusal", err)
			}
			return
		}
		reader := bufio.NewReader(bytes.NewReader(b))
		theirs, err := http.ReadRequest(reader)
		if err != nil {
			t.Fatalf("net/http refuses what is accepted: %v\n%q", err, b)
		}
		if ours.Method != theirs.Method || ours.Host != theirs.Host {
			t.Fatalf("method %q, host %q; net/http has %q, %q", ours.Method, ours.Host, theirs.Method, theirs.Host)
		}
		target := ours.Path
		if ours.HasQuery {
			target += "?" + ours.Query
		}
		if got := theirs.RequestURI; got != target && !strings.HasSuffix(got, target) && target != "/" && !strings.HasPrefix(target, "/?") {
			t.Fatalf("target %q; net/http has %q", target, got)
		}
		for _, field := range fields.Fields() {
			if name := http.CanonicalHeaderKey(field.Name); name != "Transfer-Encoding" && name != "Trailer" && !has(theirs.Header[name], field.Value) {
				t.Fatalf("field %s: %q; net/http has %q", field.Name, field.Value, theirs.Header[name])
			}
		}
		theirBody, err := io.ReadAll(theirs.Body)
		if err != nil {
			t.Fatalf("net/http can't read the body: %v\n%q", err, b)
		}
		if !bytes.Equal(theirBody, body) {
			t.Fatalf("body %q; net/http has %q", body, theirBody)
		}
		theirRest, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(theirRest, rest) {
			t.Fatalf("followed by %q; net/http has %q", rest, theirRest)
		}
	})
}

func has(list []string, value string) bool {
	return slices.Contains(list, value)
}
