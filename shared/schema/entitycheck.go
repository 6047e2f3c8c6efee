package schema

import (
	"fmt"
	"strings"
)

// check is a compiled EntityCheck.
type check struct {
	*EntityCheck
	names []string   // the fields that it looks at
	paths [][]string // the same, taken apart
	// referenceable tells which of them may hold vault references.
	referenceable []bool
	ifMatch       *field
	thenMatch     *field
	elseMatch     *field
	ifPath        []string
	thenPath      []string
}

func compileCheck(path string, r *record, e *EntityCheck) check {
	c := check{EntityCheck: e}
	switch {
	case e.Conditional != nil:
		c.names = []string{e.Conditional.If, e.Conditional.Then}
		c.ifPath, c.thenPath = splitPath(e.Conditional.If), splitPath(e.Conditional.Then)
		c.ifMatch = compileMatch(path, r, c.ifPath, e.Conditional.IfMatch)
		c.thenMatch = compileMatch(path, r, c.thenPath, e.Conditional.ThenMatch)
	case e.ConditionalAtLeastOneOf != nil:
		a := e.ConditionalAtLeastOneOf
		c.names = append(append([]string{a.If}, a.ThenAtLeastOneOf...), a.ElseAtLeastOneOf...)
		c.ifPath = splitPath(a.If)
		c.ifMatch = compileMatch(path, r, c.ifPath, a.IfMatch)
		if a.ElseMatch != nil {
			c.elseMatch = compileMatch(path, r, c.ifPath, *a.ElseMatch)
		}
	case e.Func != nil:
		c.names = e.Fields
	default:
		for _, list := range [][]string{e.AtLeastOneOf, e.OnlyOneOf, e.MutuallyExclusive, e.MutuallyRequired, e.Distinct} {
			c.names = append(c.names, list...)
		}
	}
	if len(c.names) == 0 {
		panic(path + ": a check across fields names no fields")
	}
	for _, n := range c.names {
		p := splitPath(n)
		c.paths = append(c.paths, p)
		f := r.find(p)
		c.referenceable = append(c.referenceable, f != nil && f.Type == String && f.Referenceable)
	}
	return c
}

// compileMatch completes a condition with the field that it is about.
func compileMatch(path string, r *record, at []string, match Field) *field {
	base := Field{Type: Any}
	if f := r.find(at); f != nil {
		base = *f.Field
		base.Required, base.Default = base.Required && !match.Required, nil
	}
	merged := overlay(base, match)
	merged.Default = nil
	return compileField(path+"."+strings.Join(at, "."), &merged)
}

// run adds what is wrong to why, and returns it.
func (c *check) run(o, why Object, ctx *context) Object {
	for i, p := range c.paths {
		if c.referenceable[i] {
			if s, ok := lookup(o, p).(string); ok && IsReference(s) {
				return why
			}
		}
	}
	switch {
	case c.Conditional != nil:
		return c.conditional(o, why)
	case c.ConditionalAtLeastOneOf != nil:
		return c.conditionalAtLeastOneOf(o, why, ctx)
	case c.Func != nil:
		return c.code(o, why)
	}
	message := ""
	switch given := c.count(o); {
	case c.AtLeastOneOf != nil && given == 0:
		message = whenUpdating(ctx) + "at least one of these fields must be non-empty: "
	case c.OnlyOneOf != nil && given != 1:
		message = "exactly one of these fields must be non-empty: "
	case c.MutuallyExclusive != nil && given > 1 && !c.anyWrong(why):
		message = "only one or none of these fields must be set: "
	case c.MutuallyRequired != nil && given > 0 && given < len(c.names) && !c.anyWrong(why):
		message = "all or none of these fields must be set: "
	case c.Distinct != nil && !c.distinct(o):
		message = "values of these fields must be distinct: "
	default:
		return why
	}
	return entityMessage(why, message+quotedList(c.names))
}

func whenUpdating(ctx *context) string {
	if ctx.op == Update {
		return "when updating, "
	}
	return ""
}

func entityMessage(why Object, message string) Object {
	if why == nil {
		why = Object{}
	}
	list, _ := why["@entity"].([]any)
	why["@entity"] = append(list, message)
	return why
}

func (c *check) count(o Object) int {
	n := 0
	for _, p := range c.paths {
		if nonEmpty(lookup(o, p)) {
			n++
		}
	}
	return n
}

// anyWrong looks at the fields of the record itself. What is wrong further below does not
// keep a check from running, as in Kong, unless it is code, which could not stand it.
func (c *check) anyWrong(why Object) bool {
	for _, p := range c.paths {
		if why[p[0]] != nil && (len(p) == 1 || c.Func != nil) {
			return true
		}
	}
	return false
}

func (c *check) distinct(o Object) bool {
	var seen []any
	for _, p := range c.paths {
		v := lookup(o, p)
		if !nonEmpty(v) {
			continue
		}
		if contains(seen, v) {
			return false
		}
		seen = append(seen, v)
	}
	return true
}

func (c *check) conditional(o, why Object) Object {
	if _, no := c.ifMatch.process(lookup(o, c.ifPath), &context{op: Insert}); no != nil {
		return why
	}
	for _, name := range c.Conditional.Unless {
		if Get(o, name) != nil {
			return why
		}
	}
	_, wrong := c.thenMatch.process(lookup(o, c.thenPath), &context{op: Insert})
	if wrong == nil {
		return why
	}
	message := c.Conditional.ThenErr
	if message == "" {
		message = "failed conditional validation given value of field '" + c.Conditional.If + "'"
	}
	why = entityMessage(why, message)
	put(why, c.thenPath, wrong)
	return why
}

func (c *check) conditionalAtLeastOneOf(o, why Object, ctx *context) Object {
	a := c.ConditionalAtLeastOneOf
	v := lookup(o, c.ifPath)
	if v == nil {
		return why
	}
	names, format := a.ThenAtLeastOneOf, a.ThenErr
	if _, no := c.ifMatch.process(v, &context{op: Insert}); no != nil {
		if c.elseMatch == nil {
			return why
		}
		if _, no := c.elseMatch.process(v, &context{op: Insert}); no != nil {
			return why
		}
		names, format = a.ElseAtLeastOneOf, a.ElseErr
	}
	for _, name := range names {
		if nonEmpty(Get(o, name)) {
			return why
		}
	}
	if format == "" {
		return entityMessage(why, whenUpdating(ctx)+"at least one of these fields must be non-empty: "+quotedList(names))
	}
	if !strings.Contains(format, "%s") {
		return entityMessage(why, format)
	}
	return entityMessage(why, fmt.Sprintf(format, quotedList(names)))
}

// code runs a code check, unless a field that it reads is wrong or none is given.
func (c *check) code(o, why Object) Object {
	if !c.RunWithInvalid && c.anyWrong(why) {
		return why
	}
	if !c.RunWithMissing && c.count(o) == 0 {
		return why
	}
	err := c.Func(o)
	if err == nil {
		return why
	}
	v := asViolation(err)
	for name, message := range v.Fields {
		if name != "@entity" {
			if why == nil {
				why = Object{}
			}
			why[name] = message
			continue
		}
		list, _ := message.([]any)
		for _, m := range list {
			why = entityMessage(why, plain(m))
		}
	}
	return why
}
