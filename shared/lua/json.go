package lua

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	glua "github.com/yuin/gopher-lua"
)

// maxDepth bounds how deep values nest in JSON, as cjson does.
const maxDepth = 1000

// nullValue is ngx.null and cjson.null, one for all machines: it has nothing to change.
var nullValue = &glua.LUserData{Value: "null", Metatable: glua.LNil} //nolint:gochecknoglobals // a constant

// emptyArrayValue is cjson.empty_array.
var emptyArrayValue = &glua.LUserData{Value: "[]", Metatable: glua.LNil} //nolint:gochecknoglobals // a constant

// Null is ngx.null.
func Null() glua.LValue { return nullValue }

// EmptyArray is cjson.empty_array.
func EmptyArray() glua.LValue { return emptyArrayValue }

// EncodeJSON writes a value as cjson does: a table with the keys 1 to n is an array, an
// empty one an object.
func EncodeJSON(l *glua.LState, v glua.LValue) ([]byte, error) {
	e := encoder{r: RunOf(l), l: l}
	held := e.r.held
	if err := e.encode(v, 0); err != nil {
		return nil, err
	}
	e.r.release(int(e.r.held - held))
	e.r.m.made += int64(len(e.b))
	return e.b, nil
}

type encoder struct {
	l *glua.LState
	r *Run
	b []byte
}

func (e *encoder) encode(v glua.LValue, depth int) error {
	e.r.Work(e.l, 2)
	if depth > maxDepth {
		return fmt.Errorf("Cannot serialise, excessive depth (%d)", depth) //nolint:staticcheck // cjson's words
	}
	before := len(e.b)
	switch v := v.(type) {
	case glua.LString:
		e.string(string(v))
	case glua.LNumber:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return errors.New("Cannot serialise number: must not be NaN or Infinity") //nolint:staticcheck // cjson's words
		}
		e.b = append(e.b, Number(float64(v))...)
	case glua.LBool:
		e.b = append(e.b, v.String()...)
	case *glua.LTable:
		return e.table(v, depth)
	default:
		switch v {
		case glua.LNil, nullValue:
			e.b = append(e.b, "null"...)
		case emptyArrayValue:
			e.b = append(e.b, "[]"...)
		default:
			return fmt.Errorf("Cannot serialise %s: type not supported", v.Type().String()) //nolint:staticcheck // cjson's words
		}
	}
	e.r.hold(e.l, len(e.b)-before)
	return nil
}

func (e *encoder) string(s string) {
	const hex = "0123456789abcdef"
	e.b = append(e.b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			e.b = append(e.b, '\\', c)
		case '/':
			e.b = append(e.b, '\\', '/')
		case '\b':
			e.b = append(e.b, '\\', 'b')
		case '\f':
			e.b = append(e.b, '\\', 'f')
		case '\n':
			e.b = append(e.b, '\\', 'n')
		case '\r':
			e.b = append(e.b, '\\', 'r')
		case '\t':
			e.b = append(e.b, '\\', 't')
		default:
			if c < 0x20 || c == 0x7f {
				e.b = append(e.b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				e.b = append(e.b, c)
			}
		}
	}
	e.b = append(e.b, '"')
}

func (e *encoder) table(t *glua.LTable, depth int) error {
	n, most, array := 0, 0.0, true
	each(e.l, t, func(key, _ glua.LValue) {
		k, ok := key.(glua.LNumber)
		array = array && ok && k >= 1 && float64(k) == math.Trunc(float64(k))
		most = math.Max(most, float64(k))
		n++
	})
	if array && (n > 0 || t.Metatable == glua.LValue(e.r.m.arrayMeta)) {
		if int(most) > 10 && int(most) > 2*n {
			return errors.New("Cannot serialise table: excessively sparse array") //nolint:staticcheck // cjson's words
		}
		e.b = append(e.b, '[')
		for i := 1; i <= int(most); i++ {
			if i > 1 {
				e.b = append(e.b, ',')
			}
			if err := e.encode(t.RawGetInt(i), depth+1); err != nil {
				return err
			}
		}
		e.b = append(e.b, ']')
		return nil
	}
	e.b = append(e.b, '{')
	first := true
	var err error
	each(e.l, t, func(key, value glua.LValue) {
		if err != nil {
			return
		}
		if !first {
			e.b = append(e.b, ',')
		}
		first = false
		switch k := key.(type) {
		case glua.LString:
			e.string(string(k))
		case glua.LNumber:
			e.string(Number(float64(k)))
		default:
			err = errors.New("Cannot serialise table: table key must be a number or string") //nolint:staticcheck // cjson's words
			return
		}
		e.b = append(e.b, ':')
		err = e.encode(value, depth+1)
	})
	e.b = append(e.b, '}')
	return err
}

// DecodeJSON makes Lua values of JSON; null is Null.
func DecodeJSON(l *glua.LState, text []byte) (glua.LValue, error) {
	d := decoder{l: l, r: RunOf(l), d: json.NewDecoder(bytes.NewReader(text))}
	d.d.UseNumber()
	d.r.Work(l, len(text)/8)
	v, err := d.value(0)
	if err == nil {
		if _, more := d.d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("trailing data")
		}
	}
	if err != nil {
		what := "invalid token"
		if len(bytes.TrimSpace(text)) == 0 || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			what = "T_END"
		}
		return nil, fmt.Errorf("Expected value but found %s at character %d", what, d.d.InputOffset()+1) //nolint:staticcheck // cjson's words
	}
	return v, nil
}

type decoder struct {
	l *glua.LState
	r *Run
	d *json.Decoder
}

func (d *decoder) value(depth int) (glua.LValue, error) {
	token, err := d.d.Token()
	if err != nil {
		return nil, err
	}
	return d.from(token, depth)
}

func (d *decoder) from(token json.Token, depth int) (glua.LValue, error) {
	d.r.Work(d.l, 4)
	if depth > maxDepth {
		return nil, errors.New("too many nested data structures")
	}
	switch v := token.(type) {
	case nil:
		return nullValue, nil
	case bool:
		return glua.LBool(v), nil
	case string:
		d.r.Alloc(d.l, len(v)+stringBytes)
		return glua.LString(v), nil
	case json.Number:
		f, ok := parseNumber(v.String())
		if !ok {
			return nil, errors.New("number")
		}
		return glua.LNumber(f), nil
	case json.Delim:
		if v == '[' {
			return d.array(depth)
		}
		return d.object(depth)
	}
	return nil, errors.New("token")
}

func (d *decoder) array(depth int) (glua.LValue, error) {
	d.r.Alloc(d.l, tableBytes)
	t := d.l.CreateTable(0, 0)
	for i := 1; d.d.More(); i++ {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		d.r.Alloc(d.l, slotBytes)
		t.RawSetInt(i, v)
	}
	_, err := d.d.Token()
	return t, err
}

func (d *decoder) object(depth int) (glua.LValue, error) {
	d.r.Alloc(d.l, tableBytes)
	t := d.l.CreateTable(0, 0)
	for d.d.More() {
		token, err := d.d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string)
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		d.r.Alloc(d.l, entryBytes+len(key))
		t.RawSetString(key, v)
	}
	_, err := d.d.Token()
	return t, err
}

// openJSON makes cjson, or cjson.safe, whose functions return nil and a message.
func openJSON(safe bool) glua.LGFunction {
	fail := func(l *glua.LState, err error) int {
		if !safe {
			l.RaiseError("%s", err.Error())
		}
		l.Push(glua.LNil)
		l.Push(glua.LString(err.Error()))
		return 2
	}
	return func(l *glua.LState) int {
		t := l.SetFuncs(l.NewTable(), map[string]glua.LGFunction{
			"encode": func(l *glua.LState) int {
				b, err := EncodeJSON(l, l.CheckAny(1))
				if err != nil {
					return fail(l, err)
				}
				return give(l, string(b))
			},
			"decode": func(l *glua.LState) int {
				v, err := DecodeJSON(l, []byte(text(l, 1)))
				if err != nil {
					return fail(l, err)
				}
				l.Push(v)
				return 1
			},
			"new": openJSON(safe),
		})
		for setting := range strings.FieldsSeq("decode_array_with_array_mt encode_empty_table_as_object encode_escape_forward_slash encode_keep_buffer encode_max_depth decode_max_depth encode_number_precision encode_invalid_numbers decode_invalid_numbers encode_sparse_array") {
			t.RawSetString(setting, l.NewFunction(func(l *glua.LState) int { return l.GetTop() }))
		}
		t.RawSetString("null", nullValue)
		t.RawSetString("empty_array", emptyArrayValue)
		t.RawSetString("array_mt", RunOf(l).m.arrayMeta)
		t.RawSetString("empty_array_mt", RunOf(l).m.arrayMeta)
		t.RawSetString("_NAME", glua.LString("cjson"))
		l.Push(t)
		return 1
	}
}
