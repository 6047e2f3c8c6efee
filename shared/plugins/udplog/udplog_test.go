package udplog_test

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/udplog"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, udplog.Plugin.Schema, "plugins/udp-log.json")
	schematest.ConfigAgrees(t, udplog.Plugin.Schema, udplog.Config{})
}

func TestDatagrams(t *testing.T) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	p := pdktest.Build(t, pdktest.Options{Plugin: udplog.Plugin, Config: fmt.Sprintf(`{"host":"localhost","port":%d}`, c.LocalAddr().(*net.UDPAddr).Port)})
	buf := make([]byte, 1<<16)
	next := func() string {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		var v struct{ Request struct{ URI string } }
		if err := json.Unmarshal(buf[:n], &v); err != nil {
			t.Fatal(err)
		}
		return v.Request.URI
	}
	p.Do(pdktest.Request{Path: "/1"})
	if got := next(); got != "/1" {
		t.Errorf("got %s", got)
	}
	// One that no datagram holds is lost, the next one is not.
	p.Do(pdktest.Request{Path: "/" + strings.Repeat("x", 70000)})
	p.Do(pdktest.Request{Path: "/2"})
	if got := next(); got != "/2" {
		t.Errorf("got %d bytes", len(got))
	}
}

// TestAway: nobody listens, and then somebody does.
func TestAway(t *testing.T) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	address, _ := c.LocalAddr().(*net.UDPAddr)
	_ = c.Close()
	p := pdktest.Build(t, pdktest.Options{Plugin: udplog.Plugin, Config: fmt.Sprintf(`{"host":"127.0.0.1","port":%d}`, address.Port)})
	for range 10 {
		p.Do(pdktest.Request{})
	}
	if c, err = net.ListenUDP("udp", address); err != nil {
		t.Skip("the port is taken: ", err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	p.Do(pdktest.Request{})
	if _, err := c.Read(make([]byte, 1<<16)); err != nil {
		t.Error(err)
	}
}
