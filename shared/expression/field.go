package expression

import (
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Set is the fields that an expression may ask about.
type Set uint8

// Sets of fields: of requests, and of streams, which have nothing of HTTP.
const (
	HTTP Set = iota
	Stream
)

// SetOf returns the fields that a route with these protocols may ask about.
func SetOf(protocols []string) Set {
	if len(protocols) > 0 {
		switch protocols[0] {
		case "tcp", "udp", "tls", "tls_passthrough":
			return Stream
		}
	}
	return HTTP
}

type fieldKind uint8

const (
	fieldProtocol fieldKind = iota
	fieldSNI
	fieldMethod
	fieldHost
	fieldPath
	fieldSegmentCount
	fieldSegments
	fieldHeader
	fieldQuery
	fieldSourceIP
	fieldSourcePort
	fieldDestinationIP
	fieldDestinationPort
)

type valueType uint8

const (
	typeString valueType = iota
	typeInt
	typeAddr
	typeCIDR
)

// field is the left side of a predicate.
type field struct {
	kind fieldKind
	typ  valueType
	// name of a query argument, header of a header.
	name   string
	header HeaderName
	// from and to are the segments' numbers.
	from, to int
}

var plainFields = map[string]field{ //nolint:gochecknoglobals // a constant
	"net.protocol":           {kind: fieldProtocol},
	"tls.sni":                {kind: fieldSNI},
	"net.src.ip":             {kind: fieldSourceIP, typ: typeAddr},
	"net.src.port":           {kind: fieldSourcePort, typ: typeInt},
	"net.dst.ip":             {kind: fieldDestinationIP, typ: typeAddr},
	"net.dst.port":           {kind: fieldDestinationPort, typ: typeInt},
	"http.method":            {kind: fieldMethod},
	"http.host":              {kind: fieldHost},
	"http.path":              {kind: fieldPath},
	"http.path.segments.len": {kind: fieldSegmentCount, typ: typeInt},
}

// lookup finds a field by its name. wellFormed is false for segments that can not be.
func (s Set) lookup(name string) (f field, known, wellFormed bool) {
	if f, known = plainFields[name]; known {
		return f, s == HTTP || !strings.HasPrefix(name, "http."), true
	}
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || s != HTTP {
		return f, false, false
	}
	rest := name[dot+1:]
	switch name[:dot] {
	case "http.headers":
		return field{kind: fieldHeader, header: NewHeaderName(rest)}, true, true
	case "http.queries":
		return field{kind: fieldQuery, name: rest}, true, true
	case "http.path.segments":
		f, wellFormed = segments(rest)
		return f, true, wellFormed
	}
	return f, false, false
}

// segments reads "3" or "1_3".
func segments(s string) (field, bool) {
	first, second, isRange := strings.Cut(s, "_")
	from, ok := segmentNumber(first)
	f := field{kind: fieldSegments, from: from, to: from}
	if !ok || !isRange {
		return f, ok
	}
	f.to, ok = segmentNumber(second)
	return f, ok && second[0] != '0' && f.from < f.to
}

// maxSegment is beyond any path that a listener takes.
const maxSegment = 1 << 24

func segmentNumber(s string) (int, bool) {
	if s == "" || len(s) > 1 && s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > maxSegment {
		return maxSegment, true
	}
	return n, true
}

// HeaderName is a header's name as expressions write it: x_foo is X-Foo, unless the
// request has an X_Foo.
type HeaderName struct {
	// dashed is in lower case; literal has the "_" that it was written with.
	dashed, literal string
}

// NewHeaderName makes a name. One with capitals does not mean a header with "_".
func NewHeaderName(s string) HeaderName {
	n := HeaderName{dashed: strings.ReplaceAll(strings.ToLower(s), "_", "-")}
	if strings.Contains(s, "_") && s == strings.ToLower(s) {
		n.literal = s
	}
	return n
}

// In returns the name that the lines of a header have.
func (n HeaderName) In(h *pdk.Header) string {
	if n.literal != "" && h.Has(n.literal) {
		return n.literal
	}
	return n.dashed
}

// String returns the name in lower case, with "-".
func (n HeaderName) String() string { return n.dashed }
