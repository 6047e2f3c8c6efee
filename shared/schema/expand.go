package schema

import (
	"fmt"
	"maps"
	"strings"
)

// expand replaces shorthands by what they stand for, here and in the records below.
// in is copied when something changes. What is wrong with the shorthands of one record is
// answered alone, under their own names, as in Kong.
func (r *record) expand(in Object) (Object, error) {
	out, copied := in, false
	change := func() {
		if !copied {
			out, copied = maps.Clone(in), true
		}
	}
	var wrong *Violation
	for i := range r.shorthands {
		s := &r.shorthands[i]
		v, given := in[s.field.Name]
		if !given {
			continue
		}
		change()
		if err := s.expand(v, out); err != nil {
			if wrong == nil {
				wrong = &Violation{Fields: Object{}}
			}
			maps.Copy(wrong.Fields, asViolation(err).Fields)
		}
	}
	if wrong != nil {
		return nil, wrong
	}
	for _, f := range r.nested {
		below, ok := out[f.Name].(Object)
		if !ok {
			continue
		}
		expanded, err := f.record.expand(below)
		if err != nil {
			return nil, err
		}
		change()
		out[f.Name] = expanded
	}
	return out, nil
}

func (s *shorthand) expand(v any, o Object) error {
	v, why := s.field.process(v, &context{op: Insert})
	if why != nil {
		return &Violation{Fields: Object{s.field.Name: why}}
	}
	delete(o, s.field.Name)
	if s.path != nil && v != nil {
		if now := lookup(o, s.path); now != nil && !equal(now, v) {
			return Violate(s.field.Name, fmt.Sprintf(
				"both deprecated and new field are used but their values mismatch: %s = %s vs %s = %s",
				s.field.Name, plain(v), strings.Join(s.path, "."), plain(now)))
		}
	}
	if s.Expand == nil {
		fields := Object{}
		put(fields, s.path, v)
		s.overlay(o, fields)
		return nil
	}
	fields, err := s.Expand(v)
	if err != nil {
		return asViolation(err)
	}
	s.overlay(o, fields)
	return nil
}

// overlay puts what a shorthand stands for into a record. A deprecated shorthand
// gives way to the fields that replaced it, any other one wins.
func (s *shorthand) overlay(o, fields Object) {
	for name, v := range fields {
		now := o[name]
		top, isObject := v.(Object)
		if !isObject {
			if !s.deprecated || now == nil {
				o[name] = v
			}
			continue
		}
		bottom, _ := now.(Object)
		merged := maps.Clone(bottom)
		if merged == nil {
			merged = make(Object, len(top))
		}
		s.overlay(merged, top)
		o[name] = merged
	}
}
