package opentelemetry

import (
	"encoding/hex"
	"net/netip"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

func hexText(t *pdk.Text, b []byte) string { return t.Keep(hex.AppendEncode(t.Room(2*len(b)), b)) }

// span is what is written of a pdk.Span, or of a try.
type span struct {
	x          *pdk.Exchange
	trace      pdk.TraceID
	id, parent pdk.SpanID
	// name, and plugin behind a dot.
	name, plugin string
	kind         uint8
	failed       bool
	start, end   time.Time
	// attributes appends those of this span.
	attributes func(s *span, b []byte) []byte
	// of is the span that it was made of, try the try, counted from 1.
	of  *pdk.Span
	try int
}

// each calls fn for each span of an exchange that has ended.
func each(x *pdk.Exchange, fn func(s *span)) {
	t := &x.Trace
	var s span
	for i := range t.Spans {
		of := &t.Spans[i]
		s = span{x: x, trace: t.TraceID, id: of.ID, parent: of.Parent, name: of.Name, plugin: of.Plugin, kind: of.Kind, failed: of.Failed, start: of.Start, end: of.End, of: of}
		switch {
		case i == 0:
			s.attributes, s.end = requestAttributes, x.Done
		case of.Domain != "":
			s.attributes = lookupAttributes
		}
		if s.end.IsZero() {
			s.end = x.Done
		}
		fn(&s)
	}
	if t.On&pdk.TraceBalancer == 0 {
		return
	}
	for i := range x.Tries {
		try := &x.Tries[i]
		s = span{
			x: x, trace: t.TraceID, parent: t.Spans[0].ID, name: "kong.balancer", kind: pdk.SpanClient, failed: try.Err != "",
			start: try.Start.Add(-try.Latency), attributes: tryAttributes, try: i + 1,
		}
		if i == len(x.Tries)-1 {
			s.id, s.end = t.Balancer, x.Done
		} else {
			s.id, s.end = pdk.NewSpanID(), x.Tries[i+1].Start.Add(-x.Tries[i+1].Latency)
		}
		fn(&s)
	}
}

// Numbers of the fields of opentelemetry.proto.trace.v1.Span and Status, and of
// opentelemetry.proto.common.v1.KeyValue and AnyValue.
const (
	spanTrace, spanID, spanParent, spanName, spanKind, spanStart, spanEnd, spanAttributes, spanStatus = 1, 2, 4, 5, 6, 7, 8, 9, 15
	statusCode, statusError                                                                           = 3, 2
	pairKey, pairValue                                                                                = 1, 2
	valueString, valueInt, valueDouble                                                                = 1, 3, 4
)

// append appends the message Span.
func (s *span) append(b []byte) []byte {
	b = appendBytes(b, spanTrace, s.trace[:])
	b = appendBytes(b, spanID, s.id[:])
	if !s.parent.IsZero() {
		b = appendBytes(b, spanParent, s.parent[:])
	}
	b = protowire.AppendTag(b, spanName, protowire.BytesType)
	if s.plugin == "" {
		b = protowire.AppendString(b, s.name)
	} else {
		b = protowire.AppendVarint(b, uint64(len(s.name)+1+len(s.plugin)))
		b = append(append(append(b, s.name...), '.'), s.plugin...)
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, spanKind, protowire.VarintType), uint64(s.kind))
	b = protowire.AppendFixed64(protowire.AppendTag(b, spanStart, protowire.Fixed64Type), uint64(s.start.UnixNano()))
	b = protowire.AppendFixed64(protowire.AppendTag(b, spanEnd, protowire.Fixed64Type), uint64(max(s.end.UnixNano(), s.start.UnixNano())))
	if s.attributes != nil {
		b = s.attributes(s, b)
	}
	if s.failed {
		b = append(protowire.AppendTag(b, spanStatus, protowire.BytesType), 2, statusCode<<3, statusError)
	}
	return b
}

func requestAttributes(s *span, b []byte) []byte {
	x := s.x
	q := &x.Request
	host := hostOf(q.Host)
	query := q.RawQuery
	mark := ""
	if q.HasQuery {
		mark = "?"
	}
	b = appendText(b, spanAttributes, "http.method", q.Method)
	b = appendText(b, spanAttributes, "http.url", q.Scheme, "://", host, q.RawPath, mark, query)
	b = appendText(b, spanAttributes, "http.host", host)
	b = appendText(b, spanAttributes, "http.scheme", q.Scheme)
	flavor := "1.1"
	switch q.Proto {
	case 10:
		flavor = "1.0"
	case 20:
		flavor = "2.0"
	}
	b = appendText(b, spanAttributes, "http.flavor", flavor)
	b = appendAddress(b, "http.client_ip", q.Client.Addr())
	b = appendAddress(b, "net.peer.ip", q.Peer.Addr())
	b = appendText(b, spanAttributes, "kong.request.id", x.ID)
	b = appendInt(b, "http.status_code", int64(x.Response.Status))
	route := ""
	if x.Route != nil && len(x.Route.Paths) > 0 {
		route = x.Route.Paths[0]
	}
	return appendText(b, spanAttributes, "http.route", route)
}

func hostOf(host string) string {
	for i := len(host) - 1; i >= 0 && host[i] != ']'; i-- {
		if host[i] == ':' {
			return host[:i]
		}
	}
	return host
}

func tryAttributes(s *span, b []byte) []byte {
	try := &s.x.Tries[s.try-1]
	b = appendDouble(b, "try_count", float64(s.try))
	if a, err := netip.ParseAddrPort(try.Address); err == nil {
		b = appendAddress(b, "net.peer.ip", a.Addr())
		b = appendDouble(b, "net.peer.port", float64(a.Port()))
	}
	if try.Err != "" {
		b = appendInt(b, "http.status_code", int64(try.Code))
	}
	if try.Host != "" {
		b = appendText(b, spanAttributes, "net.peer.name", try.Host)
	}
	return b
}

func lookupAttributes(s *span, b []byte) []byte {
	b = appendText(b, spanAttributes, "dns.record.domain", s.of.Domain)
	b = appendDouble(b, "dns.record.port", float64(s.of.Port))
	if s.of.Address != "" {
		b = appendText(b, spanAttributes, "dns.record.ip", s.of.Address)
	}
	return b
}
