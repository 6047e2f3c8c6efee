package propagation

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// unhex decodes hex digits into the end of dst. It returns how many bytes there were, 0
// when s is empty, too long or not hex.
func unhex(dst []byte, s string) int {
	n := (len(s) + 1) / 2
	if n == 0 || n > len(dst) {
		return 0
	}
	clear(dst)
	at := len(dst)*2 - len(s)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			clear(dst)
			return 0
		}
		dst[(at+i)/2] |= c << (4 * (1 - (at+i)%2))
	}
	return n
}

func hexOf[T ~[]byte](dst T, s string, lengths ...int) (int, bool) {
	if !slices.Contains(lengths, len(s)) {
		return 0, false
	}
	size := unhex(dst, s)
	return size, size > 0
}

func sampling(yes bool) Sampling {
	if yes {
		return Sampled
	}
	return Dropped
}

// readW3C reads version 00 of traceparent.
func readW3C(h *pdk.Header, c *Context) {
	s := h.Get("traceparent")
	version, rest, _ := strings.Cut(s, "-")
	trace, rest, _ := strings.Cut(rest, "-")
	parent, flags, ok := strings.Cut(rest, "-")
	if !ok || version != "00" {
		return
	}
	var found Context
	var f [1]byte
	_, ok1 := hexOf(found.Trace[:], trace, 32)
	_, ok2 := hexOf(found.Span[:], parent, 16)
	_, ok3 := hexOf(f[:], flags, 2)
	if !ok1 || !ok2 || !ok3 || found.Trace.IsZero() || found.Span.IsZero() {
		return
	}
	found.Size, found.Flags, found.Sampling = 16, f[0], sampling(f[0]&1 == 1)
	*c = found
}

// readB3 reads one header, which may be inside tracestate, and what that leaves open from
// the others.
func readB3(h *pdk.Header, c *Context) {
	one := h.Get("b3")
	if one == "" {
		fields := h.Fields()
		for i := range fields {
			if pdk.EqualFold(fields[i].Name, "tracestate") {
				if rest, ok := strings.CutPrefix(fields[i].Value, "b3="); ok {
					one = rest
					break
				}
			}
		}
	}
	c.Shared = true
	if one != "" {
		c.Single = true
		readB3Single(one, c)
	}
	readB3Multi(h, c)
	if c.Size == 0 {
		c.Span, c.Parent = pdk.SpanID{}, pdk.SpanID{}
	}
}

func readB3Single(s string, c *Context) {
	switch s {
	case "1":
		c.Sampling = Sampled
		return
	case "d":
		c.Sampling, c.Debug = Sampled, true
		return
	case "0":
		c.Sampling = Dropped
		return
	}
	var found Context
	trace, rest, _ := strings.Cut(s, "-")
	span, rest, _ := strings.Cut(rest, "-")
	sampled, parent, two := strings.Cut(rest, "-")
	if !two && len(sampled) == 16 {
		sampled, parent = "", sampled // without a decision
	}
	size, ok := hexOf(found.Trace[:], trace, 16, 32)
	if !ok {
		return
	}
	if _, ok = hexOf(found.Span[:], span, 16); !ok {
		return
	}
	if parent != "" {
		if _, ok = hexOf(found.Parent[:], parent, 16); !ok {
			return
		}
	}
	switch sampled {
	case "1":
		c.Sampling = Sampled
	case "d":
		c.Sampling, c.Debug = Sampled, true
	case "0":
		c.Sampling = Dropped
	case "":
	default:
		return
	}
	c.Trace, c.Size, c.Span, c.Parent = found.Trace, size, found.Span, found.Parent
}

func readB3Multi(h *pdk.Header, c *Context) {
	said := decision(h.Get("x-b3-sampled"))
	debug := h.Get("x-b3-flags") == "1"
	if debug {
		said = Sampled
	}
	if c.Sampling == Unsaid {
		c.Sampling = said
	}
	c.Debug = c.Debug || debug
	if c.Size > 0 {
		return
	}
	var found Context
	if s := h.Get("x-b3-traceid"); s != "" {
		size, ok := hexOf(found.Trace[:], s, 16, 32)
		if !ok {
			return
		}
		found.Size = size
	}
	for _, id := range []struct {
		name string
		to   *pdk.SpanID
	}{{"x-b3-spanid", &found.Span}, {"x-b3-parentspanid", &found.Parent}} {
		if s := h.Get(id.name); s != "" {
			if _, ok := hexOf(id.to[:], s, 16); !ok {
				return
			}
		}
	}
	c.Trace, c.Size, c.Span, c.Parent = found.Trace, found.Size, found.Span, found.Parent
}

func decision(s string) Sampling {
	switch s {
	case "1", "true":
		return Sampled
	case "0", "false":
		return Dropped
	}
	return Unsaid
}

func readJaeger(h *pdk.Header, c *Context) {
	s := h.Get("uber-trace-id")
	trace, rest, _ := strings.Cut(s, ":")
	span, rest, _ := strings.Cut(rest, ":")
	parent, flags, ok := strings.Cut(rest, ":")
	if !ok {
		return
	}
	var found Context
	var f [1]byte
	found.Size = unhex(found.Trace[:], trace)
	if found.Size == 0 || found.Trace.IsZero() || unhex(found.Span[:], span) == 0 || found.Span.IsZero() || unhex(f[:], flags) == 0 {
		return
	}
	if unhex(found.Parent[:], parent) == 0 {
		return
	}
	found.Shared, found.Sampling = true, sampling(f[0]&1 == 1)
	found.Baggage = baggage(h, "uberctx-")
	*c = found
}

func readOT(h *pdk.Header, c *Context) {
	c.Sampling = decision(h.Get("ot-tracer-sampled"))
	c.Baggage = baggage(h, "ot-baggage-")
	var found Context
	trace, span := h.Get("ot-tracer-traceid"), h.Get("ot-tracer-spanid")
	size, ok := hexOf(found.Trace[:], trace, 16, 32)
	if !ok {
		return
	}
	if span != "" {
		if _, ok = hexOf(found.Span[:], span, 16); !ok {
			return
		}
	}
	c.Trace, c.Size, c.Span = found.Trace, size, found.Span
}

// baggage collects the headers that begin with prefix.
func baggage(h *pdk.Header, prefix string) (out []pdk.Field) {
	fields := h.Fields()
	for i := range fields {
		if f := &fields[i]; len(f.Name) > len(prefix) && pdk.EqualFold(f.Name[:len(prefix)], prefix) {
			out = append(out, pdk.Field{Name: f.Name[len(prefix):], Value: f.Value})
		}
	}
	return out
}

func readAWS(h *pdk.Header, c *Context) {
	s := h.Get("x-amzn-trace-id")
	var found Context
	for part := range strings.SplitSeq(s, ";") {
		key, value, _ := strings.Cut(part, "=")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "Root":
			if len(value) != 35 || value[:2] != "1-" || value[10] != '-' {
				return
			}
			var digits [32]byte
			copy(digits[:8], value[2:10])
			copy(digits[8:], value[11:])
			if found.Size = unhex(found.Trace[:], string(digits[:])); found.Size == 0 {
				return
			}
		case "Parent":
			if _, ok := hexOf(found.Span[:], value, 16); !ok {
				return
			}
		case "Sampled":
			if value != "0" && value != "1" {
				return
			}
			found.Sampling = sampling(value == "1")
		}
	}
	*c = found
}

func readGCP(h *pdk.Header, c *Context) {
	s := h.Get("x-cloud-trace-context")
	trace, rest, ok := strings.Cut(s, "/")
	span, option, optional := strings.Cut(rest, ";o=")
	if !ok || strings.ToLower(trace) != trace || optional && (len(option) != 1 || option[0] < '0' || option[0] > '9') {
		return
	}
	var found Context
	if _, ok := hexOf(found.Trace[:], trace, 32); !ok {
		return
	}
	n, err := strconv.ParseUint(span, 10, 64)
	if err != nil {
		return
	}
	binary.BigEndian.PutUint64(found.Span[:], n)
	found.Size, found.Sampling = 16, sampling(option == "1")
	*c = found
}

func readDatadog(h *pdk.Header, c *Context) {
	var found Context
	switch h.Get("x-datadog-sampling-priority") {
	case "":
	case "1", "2":
		found.Sampling = Sampled
	case "0", "-1":
		found.Sampling = Dropped
	default:
		return
	}
	if n, err := strconv.ParseUint(strings.TrimSpace(h.Get("x-datadog-trace-id")), 10, 64); err == nil {
		binary.BigEndian.PutUint64(found.Trace[8:], n)
		found.Size = 8
		if n, err := strconv.ParseUint(strings.TrimSpace(h.Get("x-datadog-parent-id")), 10, 64); err == nil {
			binary.BigEndian.PutUint64(found.Span[:], n)
		}
	}
	*c = found
}
