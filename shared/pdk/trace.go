package pdk

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"
)

// Instrument is a set of things that are traced.
type Instrument uint8

// Instruments. A request that is traced at all has its own span besides.
const (
	TraceRequest Instrument = 1 << iota
	TraceRouter
	TraceBalancer
	TraceDNS
	TraceRewrite
	TraceAccess
	TraceHeaderFilter
)

// Kinds of a Span, as OpenTelemetry numbers them.
const (
	SpanInternal = 1
	SpanServer   = 2
	SpanClient   = 3
)

// TraceID names a trace.
type TraceID [16]byte

// SpanID names a span.
type SpanID [8]byte

// IsZero tells whether there is no id.
func (t TraceID) IsZero() bool { return t == TraceID{} }

// IsZero tells whether there is no id.
func (s SpanID) IsZero() bool { return s == SpanID{} }

// Span is one thing that took time. Parent is zero for none.
type Span struct {
	ID, Parent SpanID
	// Name and, with a dot between, Plugin make the name.
	Name, Plugin string
	Kind         uint8
	Failed       bool
	Start, End   time.Time
	// Domain, Port and Address are those of a look-up of a name.
	Domain, Address string
	Port            int
}

// Trace is what tracing plugins know of an exchange. The host fills in On, the ids and
// Spans; a plugin may change TraceID, the root's parent and the sampling. The zero value
// traces nothing.
type Trace struct {
	// On are the instruments of this exchange; 0 traces nothing.
	On Instrument
	// TraceID is that of the client's headers or a new one; zero when there is none.
	TraceID TraceID
	// Balancer is the id of the span of the last try, which the upstream's is below. It is
	// known before the try.
	Balancer SpanID
	// Rate is the part of traces that is sampled where no config says otherwise.
	Rate float64
	// Sampled tells whether the spans are exported.
	Sampled bool
	// Flags are W3C's, or zero.
	Flags byte
	// Spans in the order in which they began, the request's own first.
	Spans []Span
}

// Begin starts the trace of an exchange. rate is the part of traces that is sampled.
func (t *Trace) Begin(on Instrument, rate float64, start time.Time) {
	t.On = on | TraceRequest
	t.Rate, t.TraceID = rate, NewTraceID()
	t.Sampled = t.TraceID.Sample(rate)
	if on&TraceBalancer != 0 {
		t.Balancer = NewSpanID()
	}
	t.Spans = append(t.Spans[:0], Span{ID: NewSpanID(), Name: "kong", Kind: SpanServer, Start: start})
}

// Span begins a span below the request's and returns its index for End.
func (t *Trace) Span(name, plugin string, kind uint8) int {
	t.Spans = append(t.Spans, Span{ID: NewSpanID(), Parent: t.Spans[0].ID, Name: name, Plugin: plugin, Kind: kind, Start: time.Now()})
	return len(t.Spans) - 1
}

// End ends a span.
func (t *Trace) End(i int, failed bool) {
	t.Spans[i].End, t.Spans[i].Failed = time.Now(), failed
}

func (t *Trace) reset() {
	clear(t.Spans)
	*t = Trace{Spans: t.Spans[:0]}
}

// NewTraceID makes an id.
func NewTraceID() (t TraceID) {
	binary.LittleEndian.PutUint64(t[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(t[8:], rand.Uint64()|1) // never zero
	return t
}

// NewSpanID makes an id.
func NewSpanID() (s SpanID) {
	binary.LittleEndian.PutUint64(s[:], rand.Uint64()|1)
	return s
}

// Sample decides by the id alone, so that all who see a trace decide alike.
func (t TraceID) Sample(rate float64) bool {
	switch {
	case rate >= 1:
		return true
	case rate <= 0:
		return false
	}
	return float64(binary.LittleEndian.Uint64(t[:8])) < rate*math.MaxUint64
}
