package pdk

import (
	"strings"
	"unicode/utf8"
)

// AppendMetric appends the two lines that come before the series of a metric in
// Prometheus' text format. kind is counter, gauge or histogram.
func AppendMetric(b []byte, name, kind, help string) []byte {
	for _, part := range []string{"# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"} {
		b = append(b, part...)
	}
	return b
}

// AppendLabel appends a label, with a comma unless it is the first one behind a "{" or in
// b at all. What is no UTF-8 becomes U+FFFD.
func AppendLabel(b []byte, name, value string) []byte {
	if len(b) > 0 && b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, name...), `="`...)
	if !utf8.ValidString(value) {
		value = strings.ToValidUTF8(value, "\uFFFD")
	}
	for i := 0; i < len(value); i++ {
		switch c := value[i]; c {
		case '\\', '"':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
