package propagation

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Write clears and sets the headers that the upstream gets, and adds the trace's ids to
// the log record. c is what the upstream is told: Trace, Span (the one that it is below),
// Parent and Sampling are the gateway's, the rest is as it was read. from is the format
// that Read found.
func (c *Config) Write(x *pdk.Exchange, say *Context, from string) {
	h := &x.Request.Header
	for _, name := range c.Clear {
		h.Del(name)
	}
	for _, format := range c.Inject {
		if format == preserve {
			if format = from; format == "" {
				format = c.DefaultFormat
			}
			if format == B3 && say.Single {
				format = B3Single
			}
		}
		write(x, h, say, format)
	}
}

// write writes one format. Strings are made in the exchange's own memory.
func write(x *pdk.Exchange, h *pdk.Header, c *Context, format string) {
	t := &x.Text
	sampled := "0"
	if c.Sampling == Sampled {
		sampled = "1"
	}
	span := hexText(t, c.Span[:])
	switch format {
	case W3C:
		trace := hexText(t, c.Trace[:])
		h.Set("traceparent", t.Concat("00-", trace, "-", span, "-0", sampled))
		x.SetLogText("trace_id.w3c", trace)
	case B3:
		trace := hexText(t, c.sized(16, 8))
		h.Set("x-b3-traceid", trace)
		h.Set("x-b3-spanid", span)
		if !c.Parent.IsZero() {
			h.Set("x-b3-parentspanid", hexText(t, c.Parent[:]))
		}
		if c.Debug {
			h.Set("x-b3-flags", "1")
		} else {
			h.Set("x-b3-sampled", sampled)
		}
		x.SetLogText("trace_id.b3", trace)
	case B3Single:
		trace := hexText(t, c.sized(16, 8))
		decided := sampled
		if c.Debug {
			decided = "d"
		}
		text := t.Concat(trace, "-", span, "-", decided)
		if !c.Parent.IsZero() {
			text = t.Concat(text, "-", hexText(t, c.Parent[:]))
		}
		h.Set("b3", text)
		x.SetLogText("trace_id.b3", trace)
	case Jaeger:
		trace, parent := hexText(t, c.sized(16, 8)), "0"
		if !c.Parent.IsZero() {
			parent = hexText(t, c.Parent[:])
		}
		h.Set("uber-trace-id", t.Concat(trace, ":", span, ":", parent, ":0", sampled))
		c.carry(x, h, "uberctx-")
		x.SetLogText("trace_id.jaeger", trace)
	case OT:
		trace := hexText(t, c.sized(8, 16))
		h.Set("ot-tracer-traceid", trace)
		h.Set("ot-tracer-spanid", span)
		h.Set("ot-tracer-sampled", sampled)
		c.carry(x, h, "ot-baggage-")
		x.SetLogText("trace_id.ot", trace)
	case AWS:
		trace := hexText(t, c.Trace[:])
		h.Set("x-amzn-trace-id", t.Concat("Root=1-", trace[:8], "-", trace[8:], ";Parent=", span, ";Sampled=", sampled))
		x.SetLogText("trace_id.aws", trace)
	case GCP:
		trace := hexText(t, c.Trace[:])
		h.Set("x-cloud-trace-context", t.Concat(trace, "/", decimal(t, c.Span[:]), ";o=", sampled))
		x.SetLogText("trace_id.gcp", trace)
	case Datadog:
		trace := decimal(t, c.Trace[8:])
		h.Set("x-datadog-trace-id", trace)
		h.Set("x-datadog-parent-id", decimal(t, c.Span[:]))
		h.Set("x-datadog-sampling-priority", sampled)
		x.SetLogText("trace_id.datadog", trace)
	}
}

// sized returns the trace's id in the size that the client used, if the format allows that,
// else in the usual one.
func (c *Context) sized(usual, other int) []byte {
	if c.Size == other {
		usual = other
	}
	return c.Trace[16-usual:]
}

func (c *Context) carry(x *pdk.Exchange, h *pdk.Header, prefix string) {
	for i := range c.Baggage {
		h.Set(x.Text.Concat(prefix, c.Baggage[i].Name), c.Baggage[i].Value)
	}
}

func hexText(t *pdk.Text, b []byte) string { return t.Keep(hex.AppendEncode(t.Room(2*len(b)), b)) }

func decimal(t *pdk.Text, b []byte) string {
	return t.Keep(strconv.AppendUint(t.Room(20), binary.BigEndian.Uint64(b), 10))
}
