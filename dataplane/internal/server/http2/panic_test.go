package http2_test

import (
	"io"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// held tells when it is released.
type held struct{ released chan struct{} }

func (h held) Release() { close(h.released) }

// TestPanicsEndOneStream holds that a fault of a handler resets its stream, releases what
// its exchange holds, and leaves the other streams of the connection alone.
func TestPanicsEndOneStream(t *testing.T) {
	h := held{make(chan struct{})}
	address, _ := start(t, func(x *pdk.Exchange, r proxy.Responder) {
		if x.Request.RawPath == "/panic" {
			x.OnRelease(h)
			panic("fault")
		}
		_ = x.ExitBody(200, "text/plain", []byte("here"))
		_ = r.Send(x, nil)
	}, nil)
	c := client(t)
	for range 2 {
		resp, err := c.Get("http://" + address + "/")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "here" {
			t.Errorf("got %q, %v", b, err)
		}
		_ = resp.Body.Close()
		select {
		case <-h.released:
			return
		default:
		}
		if resp, err := c.Post("http://"+address+"/panic", "text/plain", strings.NewReader("body")); err == nil {
			_ = resp.Body.Close()
			t.Errorf("a fault answers %d", resp.StatusCode)
		}
		<-h.released
	}
}
