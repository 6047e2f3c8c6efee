package schema

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Encode returns the canonical JSON of a processed object: keys sorted, no white
// space, nothing escaped that need not be, empty lists [] and empty objects {},
// transient fields left out. Equal objects have equal bytes.
func (s *Schema) Encode(o Object) ([]byte, error) {
	for i := range s.Fields {
		if f := &s.Fields[i]; f.Transient {
			if _, given := o[f.Name]; given {
				kept := make(Object, len(o))
				for k, v := range o {
					if g := s.load().plain.index[k]; g == nil || !g.Transient {
						kept[k] = v
					}
				}
				o = kept
				break
			}
		}
	}
	b, err := AppendJSON(make([]byte, 0, 512), o)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", s.Name, err)
	}
	return b, nil
}

// Decode reads the JSON of a stored object.
func (s *Schema) Decode(data []byte) (Object, error) {
	o, err := DecodeObject(data)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", s.Name, err)
	}
	return o, nil
}

// EncodeJSON returns the canonical JSON of any value made of objects, lists,
// strings, numbers, booleans and nil.
func EncodeJSON(v any) ([]byte, error) { return AppendJSON(nil, v) }

var errNotFinite = errors.New("a number is not finite")

// AppendJSON appends the canonical JSON of a value.
func AppendJSON(b []byte, v any) ([]byte, error) {
	var err error
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case string:
		return appendString(b, v), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case Object:
		b = append(b, '{')
		for i, k := range sortedKeys(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, k), ':')
			if b, err = AppendJSON(b, v[k]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = AppendJSON(b, e); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case []Object:
		list := make([]any, len(v))
		for i, o := range v {
			list[i] = o
		}
		return AppendJSON(b, list)
	case []string:
		return AppendJSON(b, anyValue(v))
	}
	n, ok := number(v)
	if !ok {
		return nil, fmt.Errorf("a value is of type %T", v)
	}
	if i, whole := n.(int64); whole {
		return strconv.AppendInt(b, i, 10), nil
	}
	return appendFloat(b, n.(float64))
}

func appendFloat(b []byte, f float64) ([]byte, error) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, errNotFinite
	}
	if a := math.Abs(f); a < 1e-6 || a >= 1e21 {
		return strconv.AppendFloat(b, f, 'e', -1, 64), nil
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64), nil
}

func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), "\ufffd"...)
				i++
				start = i
				continue
			}
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}
