package requestsizelimiting_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk/pdktest"
	"github.com/sluice-gateway/sluice/shared/plugins/requestsizelimiting"
	"github.com/sluice-gateway/sluice/shared/schema/schematest"
)

func TestSchema(t *testing.T) {
	schematest.AsRecorded(t, requestsizelimiting.Plugin.Schema, "plugins/request-size-limiting.json")
}

func length(n int) [][2]string { return [][2]string{{"Content-Length", strconv.Itoa(n)}} }

func TestPlugin(t *testing.T) {
	const limit = `"allowed_payload_size":10,"size_unit":"bytes"`
	for _, test := range []struct {
		name, config string
		request      pdktest.Request
		status       int
		says         string
	}{
		{"fits", `{` + limit + `}`, pdktest.Request{Method: "POST", Header: length(10), Body: "0123456789"}, 200, ""},
		{"too large", `{` + limit + `}`, pdktest.Request{Method: "POST", Header: length(11), Body: "0123456789a"}, 413, "Request size limit exceeded"},
		{"too large, asked before", `{` + limit + `}`, pdktest.Request{Method: "POST", Header: append(length(11), [2]string{"Expect", "100-continue"}), Body: "0123456789a"}, 417, ""},
		{"no body", `{` + limit + `}`, pdktest.Request{}, 200, ""},
		{"chunks that fit", `{` + limit + `}`, pdktest.Request{Method: "POST", Body: "0123456789", Chunked: true}, 200, ""},
		{"chunks that do not", `{` + limit + `}`, pdktest.Request{Method: "POST", Body: "0123456789a", Chunked: true}, 413, ""},
		{"no length where one must be", `{` + limit + `,"require_content_length":true}`, pdktest.Request{Method: "POST"}, 411, "A valid Content-Length header is required"},
		{"no length over HTTP/2", `{` + limit + `,"require_content_length":true}`, pdktest.Request{Method: "POST", Body: "0", Chunked: true, Proto: 20}, 411, "A valid Content-Length header is required"},
		{"chunks", `{` + limit + `,"require_content_length":true}`, pdktest.Request{Method: "POST", Body: "0", Chunked: true}, 200, ""},
		{"default", ``, pdktest.Request{Method: "POST", Header: length(11), Body: "0123456789a"}, 200, ""},
		{"no end of sizes", `{"allowed_payload_size":99999999999999}`, pdktest.Request{Method: "POST", Header: length(1), Body: "0"}, 200, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := pdktest.Build(t, pdktest.Options{Plugin: requestsizelimiting.Plugin, Config: test.config})
			r := p.Do(test.request)
			if r.Status != test.status || !strings.Contains(r.Body, test.says) {
				t.Errorf("got %d %s", r.Status, r.Body)
			}
			if r.Status == 200 && r.Upstream.Body != test.request.Body {
				t.Errorf("the upstream gets %q", r.Upstream.Body)
			}
		})
	}
}
