package record

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// known are the fields of a record; an edit of another one only adds to it.
var known = map[string]bool{
	"request": true, "upstream_uri": true, "upstream_status": true, "response": true, "latencies": true, "tries": true,
	"authenticated_entity": true, "route": true, "service": true, "consumer": true, "client_ip": true, "started_at": true,
	"source": true, "workspace": true, "workspace_name": true, "sluice_revision": true,
}

// edit applies edits to the record b[from:].
func edit(b []byte, from int, edits []pdk.LogEdit) []byte {
	if out, ok := extend(b, edits); ok {
		return out
	}
	var root map[string]any
	d := json.NewDecoder(bytes.NewReader(b[from:]))
	d.UseNumber()
	if err := d.Decode(&root); err != nil {
		return b // not reached: the record is valid JSON
	}
	for i := range edits {
		apply(root, &edits[i])
	}
	return appendValue(b[:from], root, 0)
}

// extend appends edits that only add new fields, which is the common case: a plugin's own
// ones, and parts of one that come after each other. It reports false for others.
func extend(b []byte, edits []pdk.LogEdit) ([]byte, bool) {
	for i := range edits {
		top, rest, _ := strings.Cut(edits[i].Key, ".")
		if known[top] || top == "" || edits[i].Mode != pdk.LogSet || edits[i].IsAny && edits[i].Value == nil || strings.Contains(rest, ".") {
			return b, false
		}
		for j := range i {
			before, part, _ := strings.Cut(edits[j].Key, ".")
			if before == top && (part == rest || part == "" || rest == "" || j < i-1 && !same(edits[j+1:i], top)) {
				return b, false
			}
		}
	}
	b = b[:len(b)-1]
	inside := ""
	for i := range edits {
		top, rest, _ := strings.Cut(edits[i].Key, ".")
		if inside != "" && inside != top {
			b = append(b, '}')
			inside = ""
		}
		b = append(b, ',')
		if rest != "" && inside == "" {
			b = append(appendString(b, top), `:{`...)
			inside = top
		}
		name := top
		if rest != "" {
			name = rest
		}
		b = append(appendString(b, name), ':')
		if edits[i].IsAny {
			b = appendValue(b, edits[i].Value, 0)
		} else {
			b = appendString(b, edits[i].Text)
		}
	}
	if inside != "" {
		b = append(b, '}')
	}
	return append(b, '}'), true
}

// same tells whether all edits are of parts of one field.
func same(edits []pdk.LogEdit, top string) bool {
	for i := range edits {
		if t, _, _ := strings.Cut(edits[i].Key, "."); t != top {
			return false
		}
	}
	return true
}

// apply changes the tree as Kong's serializer does, but for what that ends the log phase
// with: a path through something that is no object changes nothing.
func apply(root map[string]any, e *pdk.LogEdit) {
	node := root
	parts := strings.Split(e.Key, ".")
	for _, part := range parts[:len(parts)-1] {
		next, there := node[part]
		if !there {
			if e.Mode == pdk.LogReplace {
				return
			}
			next = map[string]any{}
			node[part] = next
		}
		object, ok := next.(map[string]any)
		if !ok {
			return
		}
		node = object
	}
	last := parts[len(parts)-1]
	_, there := node[last]
	if e.Mode == pdk.LogAdd && there || e.Mode == pdk.LogReplace && !there {
		return
	}
	switch {
	case !e.IsAny:
		node[last] = e.Text
	case e.Value == nil:
		delete(node, last)
	default:
		node[last] = e.Value
	}
}

// maxDepth bounds values that plugins set.
const maxDepth = 32

func appendValue(b []byte, v any, depth int) []byte {
	if depth > maxDepth {
		return append(b, "null"...)
	}
	switch v := v.(type) {
	case string:
		return appendString(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return append(b, "null"...)
		}
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return strconv.AppendInt(b, int64(v), 10)
		}
		return strconv.AppendFloat(b, v, 'g', 14, 64)
	case json.Number:
		return append(b, v...)
	case map[string]any:
		b = append(b, '{')
		for i, k := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, k), ':')
			b = appendValue(b, v[k], depth+1)
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendValue(b, e, depth+1)
		}
		return append(b, ']')
	}
	return append(b, "null"...)
}
