// Package propagation reads the trace that a client's headers name, and writes headers
// that name it to an upstream: W3C Trace Context, B3 in one header and in several, Jaeger,
// OpenTracing, AWS X-Ray, Google Cloud and Datadog, with Kong's rules for each. It owns the
// formats. It refuses to make spans and to decide what is sampled.
//
// Headers that are malformed are as good as none: a trace is no reason to fail a request.
package propagation

import (
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// Names of the formats, as configs have them.
const (
	W3C      = "w3c"
	B3       = "b3"
	B3Single = "b3-single"
	Jaeger   = "jaeger"
	OT       = "ot"
	AWS      = "aws"
	GCP      = "gcp"
	Datadog  = "datadog"
	preserve = "preserve"
)

// Sampling is what a client says of sampling.
type Sampling int8

// Samplings.
const (
	Unsaid  Sampling = 0
	Sampled Sampling = 1
	Dropped Sampling = -1
)

// Context is what headers say. The zero value says nothing.
type Context struct {
	// Trace is right-aligned; Size is how many bytes of it were there, 0 for no trace.
	Trace pdk.TraceID
	Size  int
	// Span is the caller's span, or the one that both sides share when Shared is set;
	// Parent is above that.
	Span, Parent pdk.SpanID
	Shared       bool
	Sampling     Sampling
	// Flags are those of W3C; Debug is set by B3's debug flag.
	Flags byte
	Debug bool
	// Single tells that B3 came in one header.
	Single bool
	// Baggage is what goes with the trace, as it is written in headers.
	Baggage []pdk.Field
}

// said tells whether the headers said anything.
func (c *Context) said() bool {
	return c.Size > 0 || !c.Span.IsZero() || c.Sampling != Unsaid || c.Debug || len(c.Baggage) > 0
}

// Config is the field "propagation" of a plugin.
type Config struct {
	Extract       []string `json:"extract"`
	Clear         []string `json:"clear"`
	Inject        []string `json:"inject"`
	DefaultFormat string   `json:"default_format"`
}

// WithLegacy returns the config that header_type and default_header_type, which Config
// replaced, stand for. A config that uses the new fields stays as it is.
func (c Config) WithLegacy(headerType, defaultType string) Config {
	if c.Extract != nil || c.Inject != nil || c.Clear != nil {
		return c
	}
	if defaultType != "" {
		c.DefaultFormat = defaultType
	}
	all := []string{B3, W3C, Jaeger, OT, Datadog, AWS, GCP}
	switch headerType {
	case "":
	case preserve:
		c.Extract, c.Inject = all, []string{preserve}
	case "ignore":
		c.Inject = []string{c.DefaultFormat}
	default:
		c.Extract, c.Inject = all, []string{preserve, headerType}
	}
	return c
}

// Read returns what the first of the formats to extract says that says anything, and its
// name.
func (c *Config) Read(h *pdk.Header) (found Context, format string) {
	for _, format := range c.Extract {
		found = Context{}
		switch format {
		case W3C:
			readW3C(h, &found)
		case B3:
			readB3(h, &found)
		case Jaeger:
			readJaeger(h, &found)
		case OT:
			readOT(h, &found)
		case AWS:
			readAWS(h, &found)
		case GCP:
			readGCP(h, &found)
		case Datadog:
			readDatadog(h, &found)
		}
		if found.said() {
			return found, format
		}
	}
	return Context{}, ""
}
