package oauth2

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// extend adds an answer to the query of a URI, or to its fragment. Arguments that are
// there stay, unless the answer has one of that name.
func extend(uri string, answer schema.Object, fragment bool) string {
	rest, tail, hasTail := strings.Cut(uri, "#")
	base, query, hasQuery := strings.Cut(rest, "?")
	old := query
	if fragment {
		old = tail
	}
	var b []byte
	add := func(name, value string, hasValue bool) {
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = pdk.AppendEscaped(b, name)
		if hasValue {
			b = pdk.AppendEscaped(append(b, '='), value)
		}
	}
	for arg, more, ok := pdk.NextArg(old); ok; arg, more, ok = pdk.NextArg(more) {
		name := string(pdk.AppendUnescaped(nil, arg.Name))
		if _, replaced := answer[name]; !replaced {
			add(name, string(pdk.AppendUnescaped(nil, arg.Value)), arg.HasValue)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(answer)) {
		add(name, fmt.Sprint(answer[name]), true)
	}
	if fragment {
		return rest + "#" + string(b)
	}
	if hasQuery || len(b) > 0 {
		base += "?" + string(b)
	}
	if hasTail {
		base += "#" + tail
	}
	return base
}
