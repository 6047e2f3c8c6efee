package schema

import (
	"math"
	"sort"
	"strconv"
)

// process checks one value and returns it in its final form. why is nil, a
// message, messages by element or messages by field.
func (f *field) process(v any, c *context) (out, why any) {
	if v == nil {
		return nil, f.null()
	}
	if f.Eq != nil && *f.Eq == nil {
		return nil, f.err("value must be null")
	}
	switch f.Type {
	case String:
		s, ok := v.(string)
		if !ok {
			return nil, typeMessage(String)
		}
		if f.Referenceable && IsReference(s) {
			return s, checkReference(s)
		}
		return s, f.text(s)
	case Integer, Number:
		n, ok := number(v)
		if !ok {
			return nil, typeMessage(f.Type)
		}
		if _, whole := n.(int64); f.Type == Integer && !whole {
			if x := asFloat(n); x != math.Trunc(x) || math.IsInf(x, 0) || math.IsNaN(x) {
				return nil, typeMessage(Integer)
			}
		}
		out = n
	case Boolean:
		b, ok := v.(bool)
		if !ok {
			return nil, typeMessage(Boolean)
		}
		out = b
	case Array, Set:
		out, why = f.list(v, c)
	case Map:
		out, why = f.table(v, c)
	case Record:
		out, why = f.sub(v, c)
	case Foreign:
		out, why = reference(v)
	default:
		out = anyValue(v)
	}
	if why != nil {
		return out, why
	}
	return out, f.validators(out)
}

func (f *field) null() any {
	switch {
	case f.Ne != nil && *f.Ne == nil:
		return f.err("value must not be null")
	case f.Eq != nil && *f.Eq != nil:
		return "value must be " + plain(*f.Eq)
	case f.Required:
		return msgRequired
	}
	return nil
}

func (f *field) err(standard string) any {
	if f.Err != "" {
		return f.Err
	}
	return standard
}

func (f *field) list(v any, c *context) (any, any) {
	in, ok := asList(v)
	if !ok {
		return nil, typeMessage(f.Type)
	}
	if f.Type == Set {
		in = distinct(in)
	}
	out := make([]any, 0, len(in))
	var whys []any
	for _, e := range in {
		raw := e
		e, why := f.elements.process(e, c)
		if e == nil {
			e = raw
		}
		out = append(out, e)
		if why != nil {
			for len(whys) < len(out)-1 {
				whys = append(whys, nil)
			}
			whys = append(whys, why)
		}
	}
	if whys != nil {
		return out, whys
	}
	return out, nil
}

// distinct leaves out what a set holds already, before its elements are checked. Records
// never equal each other, as tables of Lua.
func distinct(in []any) []any {
	out := make([]any, 0, len(in))
	for _, e := range in {
		switch e.(type) {
		case Object, []any:
		default:
			if contains(out, e) {
				continue
			}
		}
		out = append(out, e)
	}
	return out
}

// asList takes an empty object for an empty list, as JSON from Lua has it.
func asList(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case Object:
		return nil, len(v) == 0
	case []string:
		return anyValue(v).([]any), true
	}
	return nil, false
}

func contains(list []any, v any) bool {
	for _, e := range list {
		if equal(e, v) {
			return true
		}
	}
	return false
}

func (f *field) table(v any, c *context) (any, any) {
	in, ok := v.(Object)
	if !ok {
		list, ok := v.([]any)
		if !ok {
			return nil, typeMessage(Map)
		}
		if len(list) > 0 {
			return nil, typeMessage(f.keys.Type) // its keys are numbers
		}
	}
	out := make(Object, len(in))
	names := make([]string, 0, len(in))
	for k := range in {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		if f.keys != nil {
			if _, why := f.keys.process(k, c); why != nil {
				return nil, why
			}
		}
		value := in[k]
		if f.values == nil {
			out[k] = anyValue(value)
			continue
		}
		value, why := f.values.process(value, c)
		if why != nil {
			return nil, why
		}
		out[k] = value
	}
	return out, nil
}

func (f *field) sub(v any, c *context) (any, any) {
	in, ok := v.(Object)
	if f.record == nil && !f.Abstract {
		return nil, msgAbstract
	}
	if !ok {
		list, ok := v.([]any)
		if !ok {
			return nil, typeMessage(Record)
		}
		if in = asRecord(list); len(in) > 0 && f.record != nil {
			_, why := f.record.process(in, &context{op: c.op, now: c.now})
			return nil, withNumbers(why, len(list))
		}
	}
	if f.record == nil {
		return nil, msgAbstract
	}
	below := context{op: c.op, now: c.now}
	out, why := f.record.process(in, &below)
	if why != nil {
		return out, why
	}
	return out, nil
}

// asRecord makes a record of a list, as Lua takes one for a table whose keys are numbers.
func asRecord(list []any) Object {
	out := make(Object, len(list))
	for i, e := range list {
		out[strconv.Itoa(i+1)] = e
	}
	return out
}

// withNumbers gives what is wrong with a list that was given for a record the form of a
// list again, unless names are among it.
func withNumbers(why Object, n int) any {
	if len(why) != n {
		return why
	}
	out := make([]any, n)
	for i := range out {
		message, ok := why[strconv.Itoa(i+1)]
		if !ok {
			return why
		}
		out[i] = message
	}
	return out
}

// reference checks {"id": uuid}. Other members are ignored; see Partial.
func reference(v any) (any, any) {
	in, _ := v.(Object)
	id, given := in["id"]
	if !given {
		return nil, Object{"id": msgMissingPK}
	}
	switch s, ok := id.(string); {
	case id == nil:
		return nil, Object{"id": msgRequired}
	case !ok:
		return nil, Object{"id": typeMessage(String)}
	case !isUUID(s):
		return nil, Object{"id": msgUUID}
	}
	return Object{"id": id}, nil
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !isHex(s[i]) {
				return false
			}
		}
	}
	return true
}
