package schema

import (
	"encoding/json"
	"math"
	"strconv"
)

// number brings Go's and JSON's numbers into the form that objects hold: int64
// when whole and float64 otherwise. Other values are returned as they are.
func number(v any) (out any, ok bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case float64:
		if n == math.Trunc(n) && math.Abs(n) < 1<<63 {
			return int64(n), true
		}
		return n, true
	case int:
		return int64(n), true
	case json.Number:
		if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
			return i, true
		}
		if f, err := strconv.ParseFloat(string(n), 64); err == nil {
			return number(f)
		}
		return v, false
	case int8:
		return int64(n), true
	case int16:
		return int64(n), true
	case int32:
		return int64(n), true
	case uint:
		return number(float64(n))
	case uint8:
		return int64(n), true
	case uint16:
		return int64(n), true
	case uint32:
		return int64(n), true
	case uint64:
		if n <= math.MaxInt64 {
			return int64(n), true
		}
		return float64(n), true
	case float32:
		return number(float64(n))
	}
	return v, false
}

// asFloat returns a number in objects' form as a float64.
func asFloat(v any) float64 {
	switch n := v.(type) {
	case int64:
		return float64(n)
	case float64:
		return n
	}
	return math.NaN()
}

// anyValue copies a value of unknown shape, bringing numbers into objects' form.
func anyValue(v any) any {
	switch v := v.(type) {
	case Object:
		out := make(Object, len(v))
		for k, e := range v {
			out[k] = anyValue(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = anyValue(e)
		}
		return out
	case []string:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = e
		}
		return out
	}
	out, _ := number(v)
	return out
}

// Clone copies an object, containers included.
func Clone(o Object) Object {
	if o == nil {
		return nil
	}
	return cloneValue(o).(Object)
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case Object:
		out := make(Object, len(v))
		for k, e := range v {
			out[k] = cloneValue(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = cloneValue(e)
		}
		return out
	}
	return v
}

// lookup returns the value at a path, nil when there is none.
func lookup(o Object, path []string) any {
	for i, name := range path {
		v := o[name]
		if i == len(path)-1 {
			return v
		}
		next, ok := v.(Object)
		if !ok {
			return nil
		}
		o = next
	}
	return nil
}

// Get returns the value at a dotted path, nil when there is none.
func Get(o Object, path string) any { return lookup(o, splitPath(path)) }

// GetString returns the string at a dotted path, "" when there is none.
func GetString(o Object, path string) string {
	s, _ := Get(o, path).(string)
	return s
}

// put sets the value at a path, making the objects on the way.
func put(o Object, path []string, v any) {
	for _, name := range path[:len(path)-1] {
		next, ok := o[name].(Object)
		if !ok {
			next = Object{}
			o[name] = next
		}
		o = next
	}
	o[path[len(path)-1]] = v
}

// nonEmpty tells whether a value counts as given in checks across fields.
func nonEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case Object:
		return len(v) > 0
	}
	return true
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case Object:
		b, ok := b.(Object)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			w, ok := b[k]
			if !ok || !equal(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equal(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	switch b.(type) {
	case Object, []any:
		return false
	}
	x, _ := number(a)
	y, _ := number(b)
	return x == y
}
