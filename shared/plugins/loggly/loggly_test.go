package loggly_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/loggly"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, loggly.Plugin.Schema, "plugins/loggly.json")
	schematest.ConfigAgrees(t, loggly.Plugin.Schema, loggly.Config{})
}

func TestMessages(t *testing.T) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	p := pdktest.Build(t, pdktest.Options{Plugin: loggly.Plugin, Config: fmt.Sprintf(
		`{"host":"127.0.0.1","port":%d,"key":"K","tags":["a","b"],"log_level":"warning","server_errors_severity":"err","custom_fields_by_lua":{"mine":"return 1"}}`, c.LocalAddr().(*net.UDPAddr).Port)})
	for _, status := range []int{200, 503} {
		x := p.NewExchange(pdktest.Request{})
		x.Response.Status, x.Source, x.Done = status, pdk.SourceUpstream, pdktest.Start
		p.Phases.Log(x)
	}
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(buf[:n]), "] ")
	if want := "<11>1 2026-11-23T16:15:01Z " + hostname + ` kong - - [K@41058 tag="a" tag="b"`; head != want {
		t.Errorf("got %s, want %s", head, want)
	}
	var v struct {
		Mine     int
		Response struct{ Status int }
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil || v.Response.Status != 503 || v.Mine != 1 {
		t.Errorf("%v: %s", err, body)
	}
}
