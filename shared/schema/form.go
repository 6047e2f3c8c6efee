package schema

import (
	"math"
	"sort"
	"strconv"
	"strings"
)

// DecodeForm makes an object of a form as curl sends it: "config.minute=5",
// "paths[]=/a", "paths[1]=/a", "headers.x-a=1". Values are typed by the schema; a
// single value stands for a list of one, and an empty one for null. Values that do
// not fit stay strings, so that Process says what was expected. stored is the
// object that is updated, nil for none: it says which plugin a config is for.
func (s *Schema) DecodeForm(pairs []Pair, stored Object) (Object, error) {
	root := &formNode{}
	for _, p := range pairs {
		root.add(p)
	}
	if err := root.conflict(""); err != nil {
		return nil, err
	}
	hint := Object{}
	if s.SubschemaKey != "" {
		if n := root.fields[s.SubschemaKey]; n != nil {
			hint[s.SubschemaKey] = n.plain()
			if len(n.list)+len(n.values) > 1 {
				hint[s.SubschemaKey] = n.items(plainNode)
			}
		}
	}
	r, _, err := s.pick(hint, Update, stored)
	if err != nil {
		r = s.load().plain // Process will say what is wrong
	}
	out := make(Object, len(root.fields))
	for name, n := range root.fields {
		out[name] = r.formField(name, n)
	}
	if n := root.fields["ttl"]; s.TTL && n != nil {
		out["ttl"] = (&field{Field: &Field{Type: Integer}}).form(n)
	}
	return out, nil
}

// formNode is what was given under one name.
type formNode struct {
	values []string             // name=a
	list   []string             // name[]=a
	fields map[string]*formNode // name.key=a, name[key]=a
}

func (n *formNode) add(p Pair) {
	parts, list := formParts(p.Name)
	if parts == nil {
		parts = []string{p.Name} // a field of that name, which is unknown
	}
	for _, part := range parts {
		if n.fields == nil {
			n.fields = map[string]*formNode{}
		}
		next := n.fields[part]
		if next == nil {
			next = &formNode{}
			n.fields[part] = next
		}
		n = next
	}
	if list {
		n.list = append(n.list, p.Value)
	} else {
		n.values = append(n.values, p.Value)
	}
}

// conflict finds a name that is given both as a value and as a table.
func (n *formNode) conflict(path string) error {
	for name, below := range n.fields {
		at := join(path, name)
		if len(below.values)+len(below.list) > 0 {
			for key := range below.fields {
				if _, err := strconv.Atoi(key); err != nil {
					return Violate(at, "is given both as a value and as a table")
				}
			}
		}
		if err := below.conflict(at); err != nil {
			return err
		}
	}
	return nil
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func (r *record) formField(name string, n *formNode) any {
	if f := r.index[name]; f != nil {
		return f.form(n)
	}
	for i := range r.shorthands {
		if s := &r.shorthands[i]; s.field.Name == name {
			return s.field.form(n)
		}
	}
	return n.plain()
}

// form types a node.
func (f *field) form(n *formNode) any {
	switch f.Type {
	case Array, Set:
		if len(n.fields) == 0 && len(n.list) == 0 && len(n.values) == 1 && n.values[0] == "" {
			return nil
		}
		return n.items(f.elements.form)
	case Record:
		if f.record != nil && n.fields != nil {
			out := make(Object, len(n.fields))
			for name, below := range n.fields {
				out[name] = f.record.formField(name, below)
			}
			return out
		}
	case Map:
		if n.fields != nil && f.values != nil {
			out := make(Object, len(n.fields))
			for name, below := range n.fields {
				out[name] = f.values.form(below)
			}
			return out
		}
	case JSON:
		if len(n.values) == 1 && n.fields == nil && n.values[0] != "" {
			if v, err := DecodeJSON([]byte(n.values[0])); err == nil {
				return v
			}
		}
	case Integer, Number, Boolean:
		if len(n.values) == 1 && len(n.list) == 0 && n.fields == nil {
			return scalar(f.Type, n.values[0])
		}
	}
	return n.plain()
}

func scalar(t Type, s string) any {
	switch {
	case s == "":
		return nil
	case t != Boolean:
		if n, ok := luaNumber(s); ok {
			return n
		}
	case s == "true":
		return true
	case s == "false":
		return false
	}
	return s
}

// luaNumber reads what Lua takes for a number.
func luaNumber(s string) (any, bool) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "_nNpP") { // no underscores, inf and nan
		return nil, false
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, true
	}
	if i, err := strconv.ParseInt(s, 0, 64); err == nil && strings.Contains(strings.ToLower(s), "0x") {
		return i, true
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(x, 0) {
		return nil, false
	}
	return number(x)
}

// items lists what a node holds: plain values, then [] ones, then numbered ones in
// the order of their numbers.
func (n *formNode) items(each func(*formNode) any) []any {
	out := []any{}
	for _, v := range n.values {
		out = append(out, each(&formNode{values: []string{v}}))
	}
	for _, v := range n.list {
		out = append(out, each(&formNode{values: []string{v}}))
	}
	keys := make([]string, 0, len(n.fields))
	for k := range n.fields {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		a, errA := strconv.Atoi(keys[i])
		b, errB := strconv.Atoi(keys[j])
		if errA == nil && errB == nil {
			return a < b
		}
		return keys[i] < keys[j]
	})
	for _, k := range keys {
		out = append(out, each(n.fields[k]))
	}
	return out
}

func plainNode(n *formNode) any { return n.plain() }

// plain is the value of a node that no field types: strings, and tables of them.
func (n *formNode) plain() any {
	switch {
	case n.fields != nil:
		out := make(Object, len(n.fields))
		for name, below := range n.fields {
			out[name] = below.plain()
		}
		return out
	case len(n.list) > 0 || len(n.values) > 1:
		return n.items(plainNode)
	case len(n.values) == 0 || n.values[0] == "":
		return nil
	}
	return n.values[0]
}
