//go:build !race

package http1_test

import (
	"io"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// TestAllocations holds that a request on an open connection costs no allocation.
func TestAllocations(t *testing.T) {
	body, read := []byte("hello"), make([]byte, 16)
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		if x.Request.Body != nil {
			for {
				if _, err := x.Request.Body.Read(read); err != nil {
					break
				}
			}
		}
		_ = x.ExitBody(200, "text/plain", body)
		_ = r.Send(x, nil)
	}, nil)
	for name, request := range map[string]string{
		"GET":  "GET /some/path?with=query HTTP/1.1\r\nHost: h.example\r\nAccept: */*\r\nUser-Agent: test\r\n\r\n",
		"POST": "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, address)
			text, answer := []byte(request), make([]byte, 4096)
			exchange := func() {
				if _, err := c.Write(text); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Read(answer); err != nil && err != io.EOF {
					t.Fatal(err)
				}
			}
			exchange()
			if got := testing.AllocsPerRun(2000, exchange); got > 0 {
				t.Errorf("%.3f allocations a request, want 0", got)
			}
		})
	}
}
