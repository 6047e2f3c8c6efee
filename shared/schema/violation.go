package schema

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
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
	for _, part := range slices.Backward(parts) {
		v = Object{part: v}
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

// Reasons lists "path: why", messages across fields first, then by path. A path
// has two parts at most; what is wrong further below is printed as a table, as
// Kong's clients know it.
func (v *Violation) Reasons() []string {
	var out []string
	if list, ok := v.Fields["@entity"].([]any); ok {
		for _, m := range list {
			out = append(out, plain(m))
		}
	}
	for _, name := range sortedKeys(v.Fields) {
		if name == "@entity" {
			continue
		}
		switch why := v.Fields[name].(type) {
		case nil:
		case Object:
			for _, below := range sortedKeys(why) {
				out = append(out, name+"."+below+": "+reason(why[below]))
			}
		case []any:
			for i, e := range why {
				if e != nil {
					out = append(out, name+"."+strconv.Itoa(i+1)+": "+reason(e))
				}
			}
		default:
			out = append(out, name+": "+plain(why))
		}
	}
	return out
}

func reason(v any) string {
	switch v.(type) {
	case Object, []any:
		var b strings.Builder
		writeTable(&b, v, "")
		return b.String()
	}
	return plain(v)
}

// writeTable prints messages as a Lua table.
func writeTable(b *strings.Builder, v any, indent string) {
	inner := indent + "  "
	item := func(first bool, key string, e any) {
		if !first {
			b.WriteByte(',')
		}
		b.WriteString("\n" + inner + key)
		writeTable(b, e, inner)
	}
	switch v := v.(type) {
	case Object:
		b.WriteByte('{')
		for i, k := range sortedKeys(v) {
			name := k
			if !isAll(k, func(c byte) bool { return isAlnum(c) || c == '_' }) || isDigit(k[0]) {
				name = "[" + luaQuote(k) + "]"
			}
			item(i == 0, name+" = ", v[k])
		}
		b.WriteString("\n" + indent + "}")
	case []any:
		b.WriteByte('{')
		first, gap := true, false
		for i, e := range v {
			if e == nil {
				gap = true
				continue
			}
			key := ""
			if gap {
				key = "[" + strconv.Itoa(i+1) + "] = "
			}
			item(first, key, e)
			first = false
		}
		b.WriteString("\n" + indent + "}")
	default:
		b.WriteString(luaQuote(plain(v)))
	}
}

var luaEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", "\\n", "\r", `\r`, "\x00", `\0`)

func luaQuote(s string) string { return `"` + luaEscapes.Replace(s) + `"` }

func sortedKeys(o Object) []string {
	keys := make([]string, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
