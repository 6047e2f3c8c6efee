package schema

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/shared/schema/luapattern"
)

// compiled is what a schema needs at run time, made on first use. It is immutable
// but for the cache of subschemas.
type compiled struct {
	plain *record
	subs  sync.Map // *Schema -> *record
}

// record is a compiled list of fields with its checks.
type record struct {
	fields     []*field
	index      map[string]*field
	checks     []check
	shorthands []shorthand
	// nested fields that have shorthands somewhere below.
	nested []*field
	// defaults is what the record becomes when it is absent, nil when that is null;
	// complete tells that it is valid as it is.
	defaults Object
	complete bool
	// answer completes canonical JSON.
	answer templates
}

// field is a compiled Field.
type field struct {
	*Field
	oneOf, notOneOf map[any]struct{}
	match, notMatch *luapattern.Pattern
	matchAll        []*luapattern.Pattern
	matchAny        []*luapattern.Pattern
	matchNone       []*luapattern.Pattern
	elements        *field
	keys, values    *field
	record          *record
	hasDefault      bool
	def             any // the default in its final form
}

type shorthand struct {
	*Shorthand
	field *field
	// path of what replaced it, nil for none.
	path       []string
	deprecated bool
}

func (s *Schema) load() *compiled {
	if c := s.compiled.Load(); c != nil {
		return c
	}
	c := &compiled{plain: compileRecord(s.Name, s.Fields, s.Checks, s.Shorthands)}
	s.compiled.CompareAndSwap(nil, c)
	return s.compiled.Load()
}

// with returns the record of s refined by sub.
func (c *compiled) with(s, sub *Schema) *record {
	if r, ok := c.subs.Load(sub); ok {
		return r.(*record)
	}
	fields := make([]Field, len(s.Fields))
	for i, f := range s.Fields {
		for j := range sub.Fields {
			if sub.Fields[j].Name == f.Name {
				f = overlay(f, sub.Fields[j])
				f.Abstract = sub.Fields[j].Abstract
			}
			if eq := sub.Fields[j].Eq; sub.Fields[j].Name == f.NullWith && eq != nil && *eq == nil {
				f.Eq = eq
			}
		}
		fields[i] = f
	}
	checks := append(append([]EntityCheck(nil), s.Checks...), sub.Checks...)
	shorthands := append(append([]Shorthand(nil), s.Shorthands...), sub.Shorthands...)
	r, _ := c.subs.LoadOrStore(sub, compileRecord(s.Name+"."+sub.Name, fields, checks, shorthands))
	return r.(*record)
}

// overlay returns base with the attributes that over sets.
func overlay(base, over Field) Field {
	to, from := reflect.ValueOf(&base).Elem(), reflect.ValueOf(&over).Elem()
	for i := range from.NumField() {
		if !from.Field(i).IsZero() {
			to.Field(i).Set(from.Field(i))
		}
	}
	if over.Eq != nil && *over.Eq == nil && over.Default == nil {
		base.Default = nil
	}
	return base
}

func compileRecord(path string, fields []Field, checks []EntityCheck, shorthands []Shorthand) *record {
	r := &record{index: make(map[string]*field, len(fields))}
	for i := range fields {
		f := compileField(path+"."+fields[i].Name, &fields[i])
		if fields[i].Name == "" {
			panic(path + ": a field has no name")
		}
		if r.index[f.Name] != nil {
			panic(path + ": two fields are named " + f.Name)
		}
		r.fields = append(r.fields, f)
		r.index[f.Name] = f
		if f.record != nil && (len(f.record.shorthands) > 0 || len(f.record.nested) > 0) {
			r.nested = append(r.nested, f)
		}
	}
	for i := range shorthands {
		r.shorthands = append(r.shorthands, compileShorthand(path, &shorthands[i]))
	}
	for i := range checks {
		r.checks = append(r.checks, compileCheck(path, r, &checks[i]))
	}
	return r
}

func compileShorthand(path string, s *Shorthand) shorthand {
	out := shorthand{Shorthand: s, field: compileField(path+"."+s.Field.Name, &s.Field)}
	deprecation := s.Deprecation
	if deprecation == nil {
		deprecation = s.Field.Deprecation
	}
	if deprecation != nil {
		out.deprecated = true
		if len(deprecation.ReplacedWith) > 0 {
			out.path = deprecation.ReplacedWith[0].Path
		}
	}
	if s.Expand == nil && out.path == nil {
		panic(path + "." + s.Field.Name + ": a shorthand without Expand and ReplacedWith")
	}
	return out
}

func compileField(path string, f *Field) *field {
	out := &field{Field: f, oneOf: valueSet(f.OneOf), notOneOf: valueSet(f.NotOneOf)}
	for v := range valueSet(f.OneOfExtra) {
		out.oneOf[v] = struct{}{}
	}
	pattern := func(source string) *luapattern.Pattern {
		p, err := luapattern.Compile(source)
		if err != nil {
			panic(fmt.Sprintf("%s: %v", path, err))
		}
		return p
	}
	if f.Match != "" {
		out.match = pattern(f.Match)
	}
	if f.NotMatch != "" {
		out.notMatch = pattern(f.NotMatch)
	}
	for _, p := range f.MatchAll {
		out.matchAll = append(out.matchAll, pattern(p.Pattern))
	}
	for _, p := range f.MatchNone {
		out.matchNone = append(out.matchNone, pattern(p.Pattern))
	}
	if f.MatchAny != nil {
		for _, p := range slices.Concat(f.MatchAny.Patterns, f.MatchAny.Beyond) {
			out.matchAny = append(out.matchAny, pattern(p))
		}
	}
	if f.Elements != nil {
		out.elements = compileField(path+".elements", required(f.Elements))
	}
	if f.Keys != nil {
		out.keys = compileField(path+".keys", required(f.Keys))
	}
	if f.Values != nil {
		out.values = compileField(path+".values", required(f.Values))
	}
	if f.Type == Record && !f.Abstract {
		out.record = compileRecord(path, f.Fields, f.Checks, f.Shorthands)
	}
	out.compileDefault(path)
	return out
}

// required returns a copy of what is inside a container, where null is never allowed.
func required(f *Field) *Field {
	inside := *f
	inside.Required = true
	return &inside
}

// compileDefault brings the default into its final form. One that the field's own
// checks refuse is a programmer's mistake.
func (f *field) compileDefault(path string) {
	f.hasDefault = f.Default != nil && f.Default != Null
	if f.record != nil && (f.hasDefault || f.Required) {
		in, _ := f.Default.(Object)
		// What is wrong with it, such as required fields, is said when it is used.
		defaults, why := f.record.process(in, &context{op: Insert})
		f.record.defaults, f.record.complete = defaults, why == nil && !f.record.hasAuto()
		return
	}
	if !f.hasDefault {
		return
	}
	def, why := f.process(f.Default, &context{op: Insert})
	if why != nil {
		panic(fmt.Sprintf("%s: the default is refused: %v", path, why))
	}
	f.def = def
}

// hasAuto tells whether there are fields that differ each time.
func (r *record) hasAuto() bool {
	for _, f := range r.fields {
		if f.Auto || f.record != nil && f.record.hasAuto() {
			return true
		}
	}
	return false
}

func valueSet(values []any) map[any]struct{} {
	if values == nil {
		return nil
	}
	set := make(map[any]struct{}, len(values))
	for _, v := range values {
		n, _ := number(v)
		set[n] = struct{}{}
	}
	return set
}

// find returns the field at a dotted path, or nil.
func (r *record) find(path []string) *field {
	for i, name := range path {
		f := r.index[name]
		if f == nil || i == len(path)-1 {
			return f
		}
		if f.record == nil {
			return nil
		}
		r = f.record
	}
	return nil
}

func splitPath(path string) []string { return strings.Split(path, ".") }
