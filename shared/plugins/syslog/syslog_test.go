package syslog_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/syslog"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, syslog.Plugin.Schema, "plugins/syslog.json")
	schematest.ConfigAgrees(t, syslog.Plugin.Schema, syslog.Config{})
}

func daemon(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func next(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

var form = regexp.MustCompile(`^<(\d+)>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d kong: (\{.*\})$`)

func TestSeverities(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	t.Cleanup(syslog.SetSockets(path+".not", path))
	c := daemon(t, path)
	for _, test := range []struct {
		config string
		status int
		want   int
	}{
		{`{}`, 200, 1<<3 | 6},
		{`{"facility":"local3","successful_severity":"notice"}`, 302, 19<<3 | 5},
		{`{"client_errors_severity":"warning"}`, 404, 1<<3 | 4},
		{`{"server_errors_severity":"emerg","facility":"kern"}`, 503, 0},
		{`{"log_level":"err","server_errors_severity":"crit"}`, 500, 1<<3 | 2},
	} {
		p := pdktest.Build(t, pdktest.Options{Plugin: syslog.Plugin, Config: test.config})
		p.DoWith(pdktest.Request{}, func(*pdk.Exchange) pdktest.Response { return pdktest.Response{Status: test.status} })
		m := form.FindStringSubmatch(next(t, c))
		if m == nil || m[1] != fmt.Sprint(test.want) || !json.Valid([]byte(m[2])) {
			t.Errorf("%s: %q", test.config, m)
		}
	}
	// What is not severe enough is not sent.
	p := pdktest.Build(t, pdktest.Options{Plugin: syslog.Plugin, Config: `{"log_level":"warning","server_errors_severity":"warning"}`})
	for _, status := range []int{200, 404, 500} {
		p.DoWith(pdktest.Request{}, func(*pdk.Exchange) pdktest.Response { return pdktest.Response{Status: status} })
	}
	if m := form.FindStringSubmatch(next(t, c)); m == nil || m[1] != fmt.Sprint(1<<3|4) {
		t.Errorf("got %q", m)
	}
}

// TestAway: records are lost while there is no daemon, and a new one gets the next.
func TestAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	t.Cleanup(syslog.SetSockets(path))
	p := pdktest.Build(t, pdktest.Options{Plugin: syslog.Plugin})
	p.Do(pdktest.Request{Path: "/lost"})
	p.Env.Each(func(_ string, state any) {
		q := state.(interface{ Close() error })
		_ = q.Close()
	})
	first := daemon(t, path)
	p = pdktest.Build(t, pdktest.Options{Plugin: syslog.Plugin})
	p.Do(pdktest.Request{Path: "/1"})
	next(t, first)
	_ = first.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := daemon(t, path)
	p.Do(pdktest.Request{Path: "/2"})
	next(t, second)
}
