package accesslog_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/accesslog"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

func exchange() *pdk.Exchange {
	x := &pdk.Exchange{ID: "0123456789abcdef0123456789abcdef", Revision: 42, Start: time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC)}
	x.Request.Method, x.Request.RawPath, x.Request.RawQuery, x.Request.HasQuery, x.Request.Proto = "GET", `/a"b`, "c=d", true, 11
	x.Request.Client = netip.MustParseAddrPort("[::ffff:192.0.2.7]:1234")
	x.Request.Header.Set("User-Agent", "test")
	x.Response.Status, x.Response.Sent = 404, 17
	return x
}

// TestLine: the format, and that a file that was moved away is opened again.
func TestLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	l, err := accesslog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Write(exchange())
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Write(exchange())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	line := `192.0.2.7 - - [26/Nov/2026:01:02:03 +0000] "GET /a\x22b?c=d HTTP/1.1" 404 17 "-" "test" kong_request_id: "0123456789abcdef0123456789abcdef" sluice_revision: 42` + "\n"
	old, err := os.ReadFile(path + ".1")
	if err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(old) + string(now); got != line+line {
		t.Errorf("got  %swant %s twice", got, line)
	}
}

func TestNoAllocation(t *testing.T) {
	l, err := accesslog.Open(filepath.Join(t.TempDir(), "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	x := exchange()
	if n := testing.AllocsPerRun(100, func() { l.Write(x) }); n > 0 {
		t.Errorf("%v allocations a line", n)
	}
}
