package tcplog_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/tcplog"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, tcplog.Plugin.Schema, "plugins/tcp-log.json")
	schematest.ConfigAgrees(t, tcplog.Plugin.Schema, tcplog.Config{})
}

// patience is for what comes at once.
const patience = 20 * time.Second

func listen(t *testing.T, l net.Listener) (port int, accept func() net.Conn) {
	t.Helper()
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).Port, func() net.Conn {
		t.Helper()
		_ = l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(patience))
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	text, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var v struct{ Request struct{ URI string } }
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v.Request.URI
}

func open(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLines(t *testing.T) {
	port, accept := listen(t, open(t))
	p := pdktest.Build(t, pdktest.Options{Plugin: tcplog.Plugin, Config: fmt.Sprintf(`{"host":"127.0.0.1","port":%d}`, port)})
	p.Do(pdktest.Request{Path: "/1"})
	c := accept()
	r := bufio.NewReader(c)
	p.Do(pdktest.Request{Path: "/2"})
	for _, want := range []string{"/1", "/2"} {
		if got := line(t, r); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	// A connection that the server has ended is replaced; what is written while nobody knows
	// is lost.
	_ = c.Close()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				p.Do(pdktest.Request{Path: "/3"})
			}
		}
	}()
	again := bufio.NewReader(accept())
	if got := line(t, again); got != "/3" {
		t.Errorf("got %s", got)
	}
	close(stop)
	<-done
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	certificate := s.TLS.Certificates[0]
	s.Close()
	for sni, want := range map[string]string{`"logs.test"`: "logs.test", "null": ""} {
		port, accept := listen(t, open(t))
		p := pdktest.Build(t, pdktest.Options{Plugin: tcplog.Plugin, Config: fmt.Sprintf(`{"host":"127.0.0.1","port":%d,"tls":true,"tls_sni":%s}`, port, sni)})
		p.Do(pdktest.Request{Path: "/1"})
		c := tls.Server(accept(), &tls.Config{Certificates: []tls.Certificate{certificate}})
		if got := line(t, bufio.NewReader(c)); got != "/1" || c.ConnectionState().ServerName != want {
			t.Errorf("got %s for %s", got, c.ConnectionState().ServerName)
		}
	}
}

// TestAway: a server that is not there costs nothing but the records.
func TestAway(t *testing.T) {
	l := open(t)
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	p := pdktest.Build(t, pdktest.Options{Plugin: tcplog.Plugin, Config: fmt.Sprintf(`{"host":"127.0.0.1","port":%d,"timeout":1000}`, port)})
	for range 100 {
		if r := p.Do(pdktest.Request{}); r.Err != nil || r.Status != 200 {
			t.Fatal(r.Status, r.Err)
		}
	}
}

func TestRefusedConfigs(t *testing.T) {
	for config, want := range map[string]string{
		`{"port":1}`: "host", `{"host":"a"}`: "port", `{"host":"a:1","port":1}`: "host", `{"host":"a","port":70000}`: "port",
		`{"host":"a","port":1,"custom_fields_by_lua":{"a":""}}`: "custom_fields_by_lua",
	} {
		if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: tcplog.Plugin, Config: config}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", config, err)
		}
	}
}
