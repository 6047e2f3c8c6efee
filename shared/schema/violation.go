package schema

import (
	"fmt"
	"sort"
	"strings"
)

// Violation says which fields of an object are wrong and why. Values are strings,
// []any (by element, nil for good ones) and Objects (by field); "@entity" holds
// []any of messages across fields.
type Violation struct {
	Fields Object
}

// Violate returns a violation of one field; path parts are separated by dots.
func Violate(path, message string) *Violation {
	parts := strings.Split(path, ".")
	var v any = message
	for i := len(parts) - 1; i >= 0; i-- {
		v = Object{parts[i]: v}
	}
	return &Violation{Fields: v.(Object)}
}

// Error returns the message in Kong's form: "schema violation (port: expected an
// integer)", or "2 schema violations (a: why; b.c: why)".
func (v *Violation) Error() string {
	reasons := v.Reasons()
	if len(reasons) == 1 {
		return "schema violation (" + reasons[0] + ")"
	}
	return fmt.Sprintf("%d schema violations (%s)", len(reasons), strings.Join(reasons, "; "))
}

// Reasons lists "path: why", entity messages first, then by path.
func (v *Violation) Reasons() []string {
	var out []string
	collect(&out, "", v.Fields)
	return out
}

func collect(out *[]string, prefix string, value any) {
	switch value := value.(type) {
	case nil:
	case string:
		if prefix == "" {
			*out = append(*out, value)
			return
		}
		*out = append(*out, prefix+": "+value)
	case []any:
		for i, e := range value {
			collect(out, join(prefix, fmt.Sprint(i+1)), e)
		}
	case Object:
		keys := make([]string, 0, len(value))
		for k := range value {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
			if k == "@entity" {
				if list, ok := value[k].([]any); ok {
					for _, e := range list {
						*out = append(*out, fmt.Sprint(e))
					}
				}
				continue
			}
			collect(out, join(prefix, k), value[k])
		}
	}
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
