package datadog_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/datadog"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, datadog.Plugin.Schema, "plugins/datadog.json")
	schematest.ConfigAgrees(t, datadog.Plugin.Schema, datadog.Config{})
}

func TestLines(t *testing.T) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for _, test := range []struct {
		config string
		source pdk.Source
		want   []string
	}{
		{``, pdk.SourceUpstream, []string{
			"kong.request.count:1|c|#name:my_service,status:201,consumer:b-1,app:kong", "kong.latency:20|ms|#name:my_service,status:201,consumer:b-1,app:kong",
			"kong.request.size:100|ms|#name:my_service,status:201,consumer:b-1,app:kong", "kong.response.size:2000|ms|#name:my_service,status:201,consumer:b-1,app:kong",
			"kong.upstream_latency:10|ms|#name:my_service,status:201,consumer:b-1,app:kong", "kong.kong_latency:3|ms|#name:my_service,status:201,consumer:b-1,app:kong",
		}},
		{
			`,"prefix":"p","service_name_tag":"s","status_tag":"st","consumer_tag":"c","metrics":[
			{"name":"request_count","stat_type":"gauge","sample_rate":0.5,"consumer_identifier":"consumer_id"},{"name":"upstream_latency","stat_type":"set"},
			{"name":"latency","stat_type":"distribution","tags":["a:b","c:d"]}]`, pdk.SourceExit,
			[]string{"p.request.count:1|g|@0.5|#s:my_service,st:201,c:c_1", "p.latency:20|d|#s:my_service,st:201,a:b,c:d"},
		},
	} {
		p := pdktest.Build(t, pdktest.Options{
			Plugin: datadog.Plugin, Service: &entity.Service{Name: "my.service"},
			Config: fmt.Sprintf(`{"host":"127.0.0.1","port":%d%s}`, c.LocalAddr().(*net.UDPAddr).Port, test.config),
		})
		x := p.NewExchange(pdktest.Request{})
		x.Consumer = &entity.Consumer{ID: "c-1", CustomID: "b-1"}
		x.Request.Bytes, x.Response.Bytes, x.Response.Status, x.Source = 100, 2000, 201, test.source
		at := func(ms int) time.Time { return x.Start.Add(time.Duration(ms) * time.Millisecond) }
		if test.source == pdk.SourceUpstream {
			x.Tries = []pdk.Try{{}}
		}
		x.AccessDone, x.UpstreamSent, x.UpstreamFirst, x.Done = at(2), at(3), at(13), at(20)
		p.Phases.Log(x)
		var got []string
		buf := make([]byte, 1<<16)
		for range test.want {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(buf[:n]))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}
