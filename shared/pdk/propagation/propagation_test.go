package propagation_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/pdk/propagation"
)

var all = []string{"b3", "w3c", "jaeger", "ot", "datadog", "aws", "gcp"}

func header(lines ...string) *pdk.Header {
	h := new(pdk.Header)
	for i := 0; i+1 < len(lines); i += 2 {
		h.Add(lines[i], lines[i+1])
	}
	return h
}

// show writes a context as text: format, trace, size, span, parent, sampling and marks.
func show(c propagation.Context, format string) string {
	parts := []string{format}
	if c.Size > 0 {
		parts = append(parts, hex.EncodeToString(c.Trace[:])+"/"+string(rune('0'+c.Size/8)))
	}
	if !c.Span.IsZero() {
		parts = append(parts, "span="+hex.EncodeToString(c.Span[:]))
	}
	if !c.Parent.IsZero() {
		parts = append(parts, "parent="+hex.EncodeToString(c.Parent[:]))
	}
	for mark, is := range map[string]bool{"sampled": c.Sampling == propagation.Sampled, "dropped": c.Sampling == propagation.Dropped} {
		if is {
			parts = append(parts, mark)
		}
	}
	if c.Debug {
		parts = append(parts, "debug")
	}
	if c.Single {
		parts = append(parts, "single")
	}
	for _, f := range c.Baggage {
		parts = append(parts, f.Name+"="+f.Value)
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}

const (
	long  = "0af7651916cd43dd8448eb211c80319c"
	short = "8448eb211c80319c"
	span  = "b7ad6b7169203331"
	above = "00f067aa0ba902b7"
)

func TestRead(t *testing.T) {
	padded := strings.Repeat("0", 16) + short
	for _, test := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{"traceparent", "00-" + long + "-" + span + "-01"}, "w3c " + long + "/2 span=" + span + " sampled"},
		{[]string{"traceparent", "00-" + long + "-" + span + "-00", "tracestate", "vendor=x"}, "w3c " + long + "/2 span=" + span + " dropped"},
		{[]string{"traceparent", "01-" + long + "-" + span + "-01"}, ""},
		{[]string{"traceparent", "00-" + strings.Repeat("0", 32) + "-" + span + "-01"}, ""},
		{[]string{"traceparent", "00-" + long + "-" + strings.Repeat("0", 16) + "-01"}, ""},
		{[]string{"traceparent", "00-" + long[1:] + "-" + span + "-01"}, ""},
		{[]string{"traceparent", "00-" + long + "-" + span + "-1"}, ""},
		{[]string{"traceparent", "00-" + strings.Repeat("z", 32) + "-" + span + "-01"}, ""},
		{[]string{"b3", long + "-" + span + "-1-" + above}, "b3 " + long + "/2 span=" + span + " parent=" + above + " sampled single"},
		{[]string{"b3", short + "-" + span}, "b3 " + padded + "/1 span=" + span + " single"},
		{[]string{"b3", short + "-" + span + "-d"}, "b3 " + padded + "/1 span=" + span + " sampled debug single"},
		{[]string{"b3", short + "-" + span + "-" + above}, "b3 " + padded + "/1 span=" + span + " parent=" + above + " single"},
		{[]string{"b3", "0"}, "b3 dropped single"},
		{[]string{"b3", "d"}, "b3 sampled debug single"},
		{[]string{"b3", "1"}, "b3 sampled single"},
		{[]string{"b3", "nonsense"}, ""},
		{[]string{"tracestate", "b3=" + short + "-" + span + "-1"}, "b3 " + padded + "/1 span=" + span + " sampled single"},
		{[]string{"X-B3-TraceId", long, "X-B3-SpanId", span, "X-B3-ParentSpanId", above, "X-B3-Sampled", "true"}, "b3 " + long + "/2 span=" + span + " parent=" + above + " sampled"},
		{[]string{"X-B3-TraceId", short, "X-B3-SpanId", span, "X-B3-Flags", "1", "X-B3-Sampled", "0"}, "b3 " + padded + "/1 span=" + span + " sampled debug"},
		{[]string{"X-B3-TraceId", "xyz", "X-B3-SpanId", span}, ""},
		{[]string{"X-B3-TraceId", long, "X-B3-SpanId", "short"}, ""},
		{[]string{"X-B3-SpanId", span, "X-B3-Sampled", "0"}, "b3 dropped"},
		{[]string{"uber-trace-id", long + ":" + span + ":" + above + ":3", "uberctx-user", "a%20b"}, "jaeger " + long + "/2 span=" + span + " parent=" + above + " sampled user=a%20b"},
		{[]string{"uber-trace-id", short + ":" + span + ":0:00"}, "jaeger " + padded + "/1 span=" + span + " dropped"},
		{[]string{"uber-trace-id", "0:" + span + ":0:1"}, ""},
		{[]string{"uber-trace-id", short + ":0:0:1"}, ""},
		{[]string{"uber-trace-id", short + ":" + span + ":0"}, ""},
		{[]string{"uber-trace-id", short + ":" + span + ":0:123"}, ""},
		{[]string{"ot-tracer-traceid", short, "ot-tracer-spanid", span, "ot-tracer-sampled", "true", "ot-baggage-k", "v"}, "ot " + padded + "/1 span=" + span + " sampled k=v"},
		{[]string{"ot-tracer-traceid", short, "ot-tracer-spanid", "x", "ot-tracer-sampled", "0"}, "ot dropped"},
		{[]string{"x-datadog-trace-id", "9532127138774266268", "x-datadog-parent-id", " 13235353014750950193", "x-datadog-sampling-priority", "2"}, "datadog " + padded + "/1 span=" + span + " sampled"},
		{[]string{"x-datadog-trace-id", "1", "x-datadog-sampling-priority", "9"}, ""},
		{[]string{"x-datadog-trace-id", "x", "x-datadog-parent-id", "1", "x-datadog-sampling-priority", "-1"}, "datadog dropped"},
		{[]string{"x-amzn-trace-id", "Root=1-0af76519-16cd43dd8448eb211c80319c; Parent=" + span + ";Sampled=1;Self=x"}, "aws " + long + "/2 span=" + span + " sampled"},
		{[]string{"x-amzn-trace-id", "Root=2-0af76519-16cd43dd8448eb211c80319c;Sampled=1"}, ""},
		{[]string{"x-amzn-trace-id", "Root=1-0af76519-16cd43dd8448eb211c80319c;Sampled=?"}, ""},
		{[]string{"x-cloud-trace-context", long + "/13235353014750950193;o=1"}, "gcp " + long + "/2 span=" + span + " sampled"},
		{[]string{"x-cloud-trace-context", long + "/1"}, "gcp " + long + "/2 span=0000000000000001 dropped"},
		{[]string{"x-cloud-trace-context", strings.ToUpper(long) + "/1;o=1"}, ""},
		{[]string{"x-cloud-trace-context", long + "/99999999999999999999;o=1"}, ""},
	} {
		c := propagation.Config{Extract: all}
		if got := show(c.Read(header(test.lines...))); got != test.want {
			t.Errorf("%v: got %q, want %q", test.lines, got, test.want)
		}
	}
	// The first format that says anything counts, and only those that are asked for.
	lines := header("traceparent", "00-"+long+"-"+span+"-01", "b3", "0")
	for extract, want := range map[string]string{"b3 w3c": "b3", "w3c b3": "w3c", "ot w3c": "w3c", "ot": "", "": ""} {
		c := propagation.Config{Extract: strings.Fields(extract)}
		if _, got := c.Read(lines); got != want {
			t.Errorf("%s finds %q, want %q", extract, got, want)
		}
	}
}

func TestWrite(t *testing.T) {
	say := func(edit func(c *propagation.Context)) propagation.Context {
		c := propagation.Context{Size: 16, Sampling: propagation.Sampled}
		_, _ = hex.Decode(c.Trace[:], []byte(long))
		_, _ = hex.Decode(c.Span[:], []byte(span))
		_, _ = hex.Decode(c.Parent[:], []byte(above))
		if edit != nil {
			edit(&c)
		}
		return c
	}
	for _, test := range []struct {
		inject string
		from   string
		say    propagation.Context
		want   map[string]string
		log    string
	}{
		{"w3c", "", say(nil), map[string]string{"traceparent": "00-" + long + "-" + span + "-01"}, "trace_id.w3c=" + long},
		{"b3", "", say(nil), map[string]string{"x-b3-traceid": long, "x-b3-spanid": span, "x-b3-parentspanid": above, "x-b3-sampled": "1"}, "trace_id.b3=" + long},
		{"b3", "", say(func(c *propagation.Context) { c.Size, c.Debug, c.Parent = 8, true, pdk.SpanID{} }), map[string]string{"x-b3-traceid": short, "x-b3-spanid": span, "x-b3-flags": "1"}, "trace_id.b3=" + short},
		{"b3-single", "", say(nil), map[string]string{"b3": long + "-" + span + "-1-" + above}, "trace_id.b3=" + long},
		{"b3-single", "", say(func(c *propagation.Context) { c.Debug = true }), map[string]string{"b3": long + "-" + span + "-d-" + above}, "trace_id.b3=" + long},
		{"jaeger", "", say(func(c *propagation.Context) {
			c.Sampling = propagation.Dropped
			c.Baggage = []pdk.Field{{Name: "k", Value: "v"}}
		}), map[string]string{"uber-trace-id": long + ":" + span + ":" + above + ":00", "uberctx-k": "v"}, "trace_id.jaeger=" + long},
		{"ot", "", say(nil), map[string]string{"ot-tracer-traceid": long, "ot-tracer-spanid": span, "ot-tracer-sampled": "1"}, "trace_id.ot=" + long},
		{"ot", "", say(func(c *propagation.Context) { c.Size = 0 }), map[string]string{"ot-tracer-traceid": short, "ot-tracer-spanid": span, "ot-tracer-sampled": "1"}, "trace_id.ot=" + short},
		{"aws", "", say(nil), map[string]string{"x-amzn-trace-id": "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=" + span + ";Sampled=1"}, "trace_id.aws=" + long},
		{"gcp", "", say(nil), map[string]string{"x-cloud-trace-context": long + "/13235353014750950193;o=1"}, "trace_id.gcp=" + long},
		{"datadog", "", say(nil), map[string]string{"x-datadog-trace-id": "9532127138774266268", "x-datadog-parent-id": "13235353014750950193", "x-datadog-sampling-priority": "1"}, "trace_id.datadog=9532127138774266268"},
		{"preserve", "", say(nil), map[string]string{"traceparent": "00-" + long + "-" + span + "-01"}, "trace_id.w3c=" + long},
		{"preserve", "gcp", say(nil), map[string]string{"x-cloud-trace-context": long + "/13235353014750950193;o=1"}, "trace_id.gcp=" + long},
		{"preserve", "b3", say(func(c *propagation.Context) { c.Single = true }), map[string]string{"b3": long + "-" + span + "-1-" + above}, "trace_id.b3=" + long},
		{"w3c preserve", "aws", say(nil), map[string]string{"traceparent": "00-" + long + "-" + span + "-01", "x-amzn-trace-id": "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=" + span + ";Sampled=1"}, "trace_id.w3c=" + long + " trace_id.aws=" + long},
		{"", "w3c", say(nil), map[string]string{}, ""},
	} {
		x := new(pdk.Exchange)
		x.Request.Header.Add("TraceParent", "old")
		x.Request.Header.Add("Clear-Me", "1")
		c := propagation.Config{Inject: strings.Fields(test.inject), DefaultFormat: "w3c", Clear: []string{"clear-me", "traceparent"}}
		c.Write(x, &test.say, test.from)
		got := map[string]string{}
		for _, f := range x.Request.Header.Fields() {
			got[f.Name] = f.Value
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s from %q: -want +got:\n%s", test.inject, test.from, diff)
		}
		var logged []string
		for _, e := range x.LogEdits() {
			logged = append(logged, e.Key+"="+e.Text)
		}
		if strings.Join(logged, " ") != test.log {
			t.Errorf("%s logs %q, want %q", test.inject, logged, test.log)
		}
	}
}

func TestLegacy(t *testing.T) {
	for _, test := range []struct {
		c            propagation.Config
		header, want string
	}{
		{propagation.Config{DefaultFormat: "w3c"}, "preserve", "b3 w3c jaeger ot datadog aws gcp > preserve"},
		{propagation.Config{DefaultFormat: "w3c"}, "ignore", " > w3c"},
		{propagation.Config{DefaultFormat: "w3c"}, "jaeger", "b3 w3c jaeger ot datadog aws gcp > preserve jaeger"},
		{propagation.Config{DefaultFormat: "w3c", Extract: []string{"ot"}}, "preserve", "ot > "},
		{propagation.Config{DefaultFormat: "w3c", Clear: []string{}}, "ignore", " > "},
	} {
		got := test.c.WithLegacy(test.header, "")
		if text := strings.Join(got.Extract, " ") + " > " + strings.Join(got.Inject, " "); text != test.want {
			t.Errorf("%+v with %s: %q", test.c, test.header, text)
		}
	}
	if got := (propagation.Config{DefaultFormat: "w3c"}).WithLegacy("ignore", "b3"); got.Inject[0] != "b3" {
		t.Errorf("got %+v", got)
	}
}

func TestAllocations(t *testing.T) {
	c := propagation.Config{DefaultFormat: "w3c"}.WithLegacy("preserve", "")
	x := new(pdk.Exchange)
	if n := testing.AllocsPerRun(100, func() {
		x.Reset()
		x.Request.Header.Add("traceparent", "00-"+long+"-"+span+"-01")
		found, from := c.Read(&x.Request.Header)
		c.Write(x, &found, from)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzRead: nothing that clients send fails, and what is read can be written and read again.
func FuzzRead(f *testing.F) {
	f.Add("traceparent", "00-"+long+"-"+span+"-01")
	f.Add("b3", long+"-"+span+"-1-"+above)
	f.Add("uber-trace-id", long+":"+span+":"+above+":3")
	f.Add("x-amzn-trace-id", "Root=1-0af76519-16cd43dd8448eb211c80319c; Parent="+span+";Sampled=1;Self=x")
	f.Add("x-cloud-trace-context", long+"/1;o=1")
	f.Fuzz(func(t *testing.T, name, value string) {
		c := propagation.Config{Extract: all, Inject: []string{"preserve"}, DefaultFormat: "w3c"}
		found, from := c.Read(header(name, value))
		if found.Size == 0 || found.Span.IsZero() {
			return
		}
		x := new(pdk.Exchange)
		c.Write(x, &found, from)
		again, format := c.Read(&x.Request.Header)
		if format != from || again.Span != found.Span || from != "ot" && again.Trace != found.Trace {
			t.Errorf("%s: %s became %s", name, show(found, from), show(again, format))
		}
	})
}
