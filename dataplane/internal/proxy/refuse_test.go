package proxy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/dataplane/internal/accesslog"
	"github.com/sluice-gateway/sluice/dataplane/internal/proxy"
)

// TestRefusedRequestsAreLogged holds that the access log names the client of what is no
// request.
func TestRefusedRequestsAreLogged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	log, err := accesslog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, func(o *proxy.Options) { o.AccessLog = log })
	if r := g.do("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"); r.StatusCode != 405 {
		t.Errorf("CONNECT gets %d", r.StatusCode)
	}
	soon(t, "the log names the client", func() bool {
		text, err := os.ReadFile(path)
		return err == nil && strings.HasPrefix(string(text), "127.0.0.1 - - [") && strings.Contains(string(text), `" 405 `)
	})
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}
