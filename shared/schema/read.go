package schema

import "time"

// Read completes a stored object for an answer: null for unset fields, deprecated
// shorthands added again, hidden fields left out, ttl counted down. Transient
// fields are kept when the caller has put them there. The stored object is not
// changed, but lists and maps are shared with it.
func (s *Schema) Read(stored Object) Object {
	r, _, err := s.pick(stored, Select, nil)
	if err != nil {
		// The plugin or vault that refines it is gone: show what there is.
		r = s.load().plain
	}
	out := r.read(stored, true)
	if s.TTL {
		out["ttl"] = nil
		if at, ok := Expiry(stored); ok {
			out["ttl"] = max(0, int64(time.Until(at)/time.Second))
		}
	}
	return out
}

func (r *record) read(stored Object, shorthands bool) Object {
	out := make(Object, len(r.fields)+len(r.shorthands))
	for _, f := range r.fields {
		if f.Hidden {
			continue
		}
		v, given := stored[f.Name]
		switch {
		case f.Transient && !given:
			continue
		case given && (v != nil || !f.Required):
		case f.record != nil && f.record.defaults != nil:
			v = Clone(f.record.defaults)
		case f.hasDefault:
			v = cloneValue(f.def)
		}
		if v == nil && f.Extra {
			continue
		}
		out[f.Name] = f.read(v, shorthands)
	}
	for i := range r.shorthands {
		s := &r.shorthands[i]
		switch {
		case !shorthands:
		case s.Translate != nil:
			out[s.field.Name] = s.Translate(out)
		case s.path != nil:
			out[s.field.Name] = lookup(out, s.path)
		}
	}
	return out
}

// read completes the records inside a value.
func (f *field) read(v any, shorthands bool) any {
	switch v := v.(type) {
	case Object:
		switch {
		case f.record != nil:
			return f.record.read(v, shorthands)
		case f.values != nil && f.values.record != nil:
			out := make(Object, len(v))
			for k, e := range v {
				out[k] = f.values.read(e, shorthands)
			}
			return out
		}
	case []any:
		if f.elements != nil && f.elements.record != nil {
			out := make([]any, len(v))
			for i, e := range v {
				out[i] = f.elements.read(e, shorthands)
			}
			return out
		}
	}
	return v
}

// Partial checks a few fields of an entity by themselves, such as those by which a foreign
// field tries to name it, and returns what is wrong by field, nil when nothing is.
func (s *Schema) Partial(in Object) Object {
	r := s.load().plain
	var why Object
	for name, v := range in {
		var message any = msgUnknown
		if f := r.index[name]; f != nil {
			_, message = f.process(v, &context{op: Insert})
		}
		if message == nil {
			continue
		}
		if why == nil {
			why = Object{}
		}
		why[name] = message
	}
	return why
}
