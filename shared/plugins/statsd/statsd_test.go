package statsd_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/statsd"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, statsd.Plugin.Schema, "plugins/statsd.json")
	schematest.ConfigAgrees(t, statsd.Plugin.Schema, statsd.Config{})
}

// server is a StatsD server over UDP.
func server(t testing.TB) (port int, next func() string) {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().(*net.UDPAddr).Port, func() string {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		buf := make([]byte, 1<<16)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

func exchange(p *pdktest.Plugin, consumer *entity.Consumer) *pdk.Exchange {
	x := p.NewExchange(pdktest.Request{})
	x.Consumer = consumer
	x.Request.Bytes, x.Response.Bytes, x.Response.Status = 100, 2000, 201
	x.Source, x.Tries = pdk.SourceUpstream, []pdk.Try{{}}
	at := func(ms int) time.Time { return x.Start.Add(time.Duration(ms) * time.Millisecond) }
	x.UpstreamSent, x.UpstreamFirst, x.Done = at(3), at(13), at(20)
	return x
}

var (
	route   = &entity.Route{ID: "r1"}
	service = &entity.Service{ID: "s1", Name: "my.service", Host: "h"}
	bob     = &entity.Consumer{ID: "c1", Username: "bob", CustomID: "b1"}
)

func TestNames(t *testing.T) {
	port, next := server(t)
	p := pdktest.Build(t, pdktest.Options{Plugin: statsd.Plugin, Route: route, Service: service, Config: fmt.Sprintf(`{"host":"127.0.0.1","port":%d}`, port)})
	p.Phases.Log(exchange(p, bob))
	var got []string
	for range 12 {
		got = append(got, next())
	}
	want := []string{
		"kong.service.my_service.request.count:1|c", "kong.service.my_service.latency:20|ms", "kong.service.my_service.request.size:100|c",
		"kong.service.my_service.status.201:1|c", "kong.service.my_service.response.size:2000|c", "kong.service.my_service.user.uniques:b1|s",
		"kong.service.my_service.user.b1.request.count:1|c", "kong.service.my_service.upstream_latency:10|ms", "kong.service.my_service.kong_latency:3|ms",
		"kong.service.my_service.user.b1.status.201:1|c", "kong.service.my_service.workspace.default.status.201:1|c", "kong.route.r1.user.b1.status.201:1|c",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestVariants(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host = strings.ReplaceAll(host, ".", "_")
	tags := []string{"service", "my.service", "route", "r1", "workspace", "default", "consumer", "bob", "node", host, "status", "201"}
	list := func(is string) string {
		var out []string
		for i := 0; i < len(tags); i += 2 {
			out = append(out, tags[i]+is+tags[i+1])
		}
		return strings.Join(out, ",")
	}
	for config, want := range map[string]string{
		`"prefix":"p","hostname_in_prefix":true,"metrics":[{"name":"latency","stat_type":"gauge","sample_rate":0.5,"service_identifier":"service_id"}]`:                 "p.node." + host + ".service.s1.latency:20|g|@0.5",
		`"tag_style":"dogstatsd","consumer_identifier_default":"username","metrics":[{"name":"latency","stat_type":"timer"},{"name":"unique_users","stat_type":"set"}]`: "kong.latency:20|ms|#" + list(":"),
		`"tag_style":"influxdb","metrics":[{"name":"latency","stat_type":"timer","consumer_identifier":"username"}]`:                                                    "kong.latency," + list("=") + ":20|ms",
		`"tag_style":"librato","metrics":[{"name":"latency","stat_type":"timer","consumer_identifier":"username"}]`:                                                     "kong.latency#" + list("=") + ":20|ms",
		`"tag_style":"signalfx","metrics":[{"name":"latency","stat_type":"timer","consumer_identifier":"username"}]`:                                                    "kong.latency[" + list("=") + "]:20|ms",
		`"udp_packet_size":1000,"metrics":[{"name":"request_count","stat_type":"counter","sample_rate":1},{"name":"latency","stat_type":"timer"}]`:                      "kong.service.my_service.request.count:1|c\nkong.service.my_service.latency:20|ms",
		`"allow_status_codes":["300-399","200-201"],"metrics":[{"name":"status_count","stat_type":"counter","sample_rate":1}]`:                                          "kong.service.my_service.status.201:1|c",
	} {
		port, next := server(t)
		p := pdktest.Build(t, pdktest.Options{Plugin: statsd.Plugin, Route: route, Service: service, Config: fmt.Sprintf(`{"host":"127.0.0.1","port":%d,%s}`, port, config)})
		p.Phases.Log(exchange(p, bob))
		if got := next(); got != want {
			t.Errorf("%s: got %s, want %s", config, got, want)
		}
	}
}

// TestUnmatched: without a service and a consumer, what names them is not sent.
func TestUnmatched(t *testing.T) {
	port, next := server(t)
	p := pdktest.Build(t, pdktest.Options{Plugin: statsd.Plugin, Config: fmt.Sprintf(`{"host":"127.0.0.1","port":%d,"udp_packet_size":60000}`, port)})
	x := exchange(p, nil)
	x.Tries, x.Source = nil, pdk.SourceError
	p.Phases.Log(x)
	got := next()
	if !strings.HasPrefix(got, "kong.global.unmatched.request.count:1|c\n") || strings.Contains(got, "user") || strings.Contains(got, "upstream_latency") {
		t.Errorf("got %s", got)
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	p := pdktest.Build(t, pdktest.Options{Plugin: statsd.Plugin, Route: route, Service: service, Config: fmt.Sprintf(`{"host":"127.0.0.1","port":%d,"use_tcp":true}`, l.Addr().(*net.TCPAddr).Port)})
	p.Phases.Log(exchange(p, nil))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "kong.service.my_service.request.count:1|c\n" {
		t.Errorf("%v: %s", err, line)
	}
	_ = c.Close()
}

func TestRefusedConfigs(t *testing.T) {
	for config, want := range map[string]string{
		`{"metrics":[{"name":"nothing","stat_type":"gauge"}]}`:   "name",
		`{"metrics":[{"name":"latency","stat_type":"counter"}]}`: "sample_rate",
		`{"allow_status_codes":["200"]}`:                         "allow_status_codes",
	} {
		if _, err := pdktest.TryBuild(t, pdktest.Options{Plugin: statsd.Plugin, Config: config}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", config, err)
		}
	}
}
