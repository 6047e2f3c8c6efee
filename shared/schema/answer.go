package schema

import (
	"bytes"
	"slices"
	"sync"
)

// template is what completing a stored object for an answer needs, where that can be done
// on its canonical JSON without decoding it.
type template struct {
	fields []templateField // sorted by name, as the members of canonical JSON
}

type templateField struct {
	name string
	// key is the name as a member begins, and absent what stands for the value when there
	// is none, nil to leave the member out.
	key, absent []byte
	// fill tells that absent also stands for a stored null.
	fill bool
	// hidden members are left out.
	hidden bool
	// record, elements and values complete the records inside of the value.
	record, elements, values *template
}

// templates are made at the first use of a record: nil for one that must be decoded.
type templates struct {
	once sync.Once
	made *template
}

func (r *record) template() *template {
	r.answer.once.Do(func() { r.answer.made = makeTemplate(r) })
	return r.answer.made
}

func makeTemplate(r *record) *template {
	for i := range r.shorthands {
		if s := &r.shorthands[i]; s.Translate != nil || s.path != nil {
			return nil // they are computed from the other fields
		}
	}
	t := &template{}
	for _, f := range r.fields {
		made, ok := f.template()
		if !ok {
			return nil
		}
		t.fields = append(t.fields, made)
	}
	slices.SortFunc(t.fields, func(a, b templateField) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	return t
}

func (f *field) template() (out templateField, ok bool) {
	out = templateField{name: f.Name, key: append(appendString(nil, f.Name), ':'), fill: f.Required || f.Extra, hidden: f.Hidden}
	below := func(f *field, to **template) bool {
		if f == nil || f.record == nil {
			return true
		}
		*to = f.record.template()
		return *to != nil
	}
	if !below(f, &out.record) || !below(f.elements, &out.elements) || !below(f.values, &out.values) {
		return out, false
	}
	if f.Transient || f.Extra || f.Hidden {
		return out, true
	}
	var v any
	switch {
	case f.record != nil && f.record.defaults != nil:
		v = f.read(f.record.defaults, true)
	case f.hasDefault:
		v = f.read(f.def, true)
	}
	var err error
	out.absent, err = AppendJSON(nil, v)
	return out, err == nil
}

// AppendAnswer appends what Read and EncodeJSON make of a stored object in its canonical
// JSON, without decoding it. It is false, and dst as it was, for schemas whose answers must
// be computed, and for JSON that is not canonical.
func (s *Schema) AppendAnswer(dst, stored []byte) ([]byte, bool) {
	if s.TTL {
		return dst, false
	}
	r := s.load().plain
	if s.SubschemaKey != "" {
		var err error
		if r, _, err = s.pick(Peek(stored, s.SubschemaKey), Select, nil); err != nil {
			return dst, false
		}
	}
	t := r.template()
	if t == nil {
		return dst, false
	}
	out, rest, ok := t.append(dst, stored)
	if !ok || len(rest) > 0 {
		return dst, false
	}
	return out, true
}

// Answers tells whether AppendAnswer can work for the schema.
func (s *Schema) Answers() bool {
	return !s.TTL && (s.SubschemaKey != "" || s.load().plain.template() != nil)
}

// append completes the object at the beginning of in, and returns what follows it.
func (t *template) append(dst, in []byte) (out, rest []byte, ok bool) {
	if len(in) < 2 || in[0] != '{' {
		return dst, nil, false
	}
	in = in[1:]
	dst = append(dst, '{')
	first := len(dst)
	next := 0
	missing := func(f *templateField) {
		if f.absent != nil {
			dst = append(append(separated(dst, first), f.key...), f.absent...)
		}
	}
	for last := []byte(nil); in[0] != '}'; {
		name, value, ok := member(in)
		if !ok || last != nil && bytes.Compare(name, last) <= 0 {
			return dst, nil, false
		}
		last = name
		for next < len(t.fields) && t.fields[next].name < string(name) {
			missing(&t.fields[next])
			next++
		}
		if next == len(t.fields) || t.fields[next].name != string(name) {
			if in = skip(value); in == nil { // a member that is no field
				return dst, nil, false
			}
		} else {
			f := &t.fields[next]
			next++
			switch {
			case f.hidden:
				in = skip(value)
			case f.fill && bytes.HasPrefix(value, []byte("null")):
				missing(f)
				in = value[len("null"):]
			default:
				dst = append(separated(dst, first), f.key...)
				dst, in = f.append(dst, value)
			}
			if in == nil {
				return dst, nil, false
			}
		}
		if len(in) > 1 && in[0] == ',' && in[1] == '"' {
			in = in[1:]
		} else if len(in) == 0 || in[0] != '}' {
			return dst, nil, false
		}
	}
	for ; next < len(t.fields); next++ {
		missing(&t.fields[next])
	}
	return append(dst, '}'), in[1:], true
}

// separated adds a comma, unless the object has no members so far.
func separated(dst []byte, first int) []byte {
	if len(dst) > first {
		dst = append(dst, ',')
	}
	return dst
}

// append completes the value at the beginning of in. What follows it is nil when it can't.
func (f *templateField) append(dst, in []byte) (out, rest []byte) {
	switch {
	case f.record != nil && in[0] == '{':
		out, rest, ok := f.record.append(dst, in)
		if !ok {
			return dst, nil
		}
		return out, rest
	case f.elements != nil && in[0] == '[', f.values != nil && in[0] == '{':
		return f.each(dst, in)
	}
	rest = skip(in)
	if rest == nil {
		return dst, nil
	}
	return append(dst, in[:len(in)-len(rest)]...), rest
}

// each completes the records in a list or map.
func (f *templateField) each(dst, in []byte) (out, rest []byte) {
	closing, t := byte(']'), f.elements
	if in[0] == '{' {
		closing, t = '}', f.values
	}
	dst, in = append(dst, in[0]), in[1:]
	for len(in) > 0 && in[0] != closing {
		if closing == '}' {
			_, value, ok := member(in)
			if !ok {
				return dst, nil
			}
			dst, in = append(dst, in[:len(in)-len(value)]...), value
		}
		var ok bool
		if dst, in, ok = t.append(dst, in); !ok || len(in) == 0 {
			return dst, nil
		}
		if in[0] == ',' {
			dst, in = append(dst, ','), in[1:]
		}
	}
	if len(in) == 0 {
		return dst, nil
	}
	return append(dst, closing), in[1:]
}

// member reads the name of a member and returns what follows its colon. Names with escapes
// are none of ours.
func member(in []byte) (name, value []byte, ok bool) {
	if len(in) == 0 || in[0] != '"' {
		return nil, nil, false
	}
	end := bytes.IndexByte(in[1:], '"') + 1
	if end < 1 || len(in) < end+3 || in[end+1] != ':' || bytes.IndexByte(in[1:end], '\\') >= 0 {
		return nil, nil, false
	}
	return in[1:end], in[end+2:], true
}

// skip returns what follows the value at the beginning of canonical JSON, nil when it does
// not end.
func skip(in []byte) []byte {
	depth := 0
	for i := 0; i < len(in); i++ {
		switch in[i] {
		case '"':
			for i++; i < len(in) && in[i] != '"'; i++ {
				if in[i] == '\\' {
					i++
				}
			}
			if i >= len(in) {
				return nil
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return in[i:] // the value was a word or number in front of it
			}
		case ',':
			if depth == 0 {
				return in[i:]
			}
			continue
		default:
			continue // words and numbers end with what follows them
		}
		if depth == 0 {
			return in[i+1:]
		}
	}
	if depth == 0 && len(in) > 0 {
		return in[len(in):]
	}
	return nil
}

// Peek decodes some members of a stored object in its canonical JSON, and no others.
func Peek(stored []byte, names ...string) Object {
	out := Object{}
	if len(stored) < 2 || stored[0] != '{' {
		return out
	}
	for in := stored[1:]; len(in) > 1 && in[0] == '"'; {
		name, value, ok := member(in)
		rest := skip(value)
		if !ok || rest == nil {
			break
		}
		if slices.Contains(names, string(name)) {
			if v, err := DecodeJSON(value[:len(value)-len(rest)]); err == nil {
				out[string(name)] = v
			}
		}
		if in = rest; len(in) > 0 && in[0] == ',' {
			in = in[1:]
		}
	}
	return out
}
