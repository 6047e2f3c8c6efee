package entity

import (
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/shared/schema"
)

// Ordering says which plugins a plugin runs before and after, by phase. It has its effect
// for the config that runs for everybody, not for one of a consumer or group.
type Ordering struct {
	Before map[string][]string `json:"before"`
	After  map[string][]string `json:"after"`
}

// OrderedPhase is the one phase that an Ordering may be about, as in Kong: the others run
// in the order of priorities.
const OrderedPhase = "access"

// orderingField is the field "ordering" of plugins.
func orderingField(lookup func(name string) (*schema.Schema, bool)) schema.Field {
	name := schema.Field{Type: schema.String, Check: func(v any) error {
		if text, ok := v.(string); ok {
			if _, known := lookup(text); !known {
				return fmt.Errorf("plugin '%s' not enabled; add it to the 'plugins' configuration property", text)
			}
		}
		return nil
	}}
	side := func(which, description string) schema.Field {
		return schema.Field{
			Name: which, Type: schema.Map, Description: description,
			Keys:   &schema.Field{Type: schema.String, OneOf: []any{OrderedPhase}},
			Values: &schema.Field{Type: schema.Array, Elements: &name},
		}
	}
	f := schema.RecordOf(
		side("before", "Plugins that run after this one, by phase."),
		side("after", "Plugins that run before this one, by phase."),
	).Named("ordering")
	f.Extra, f.Description = true, "Where the plugin runs among the others, in place of its priority."
	return f
}

// conditionField is the field "condition" of plugins.
func conditionField(compile func(expression string, protocols []string) error) schema.Field {
	return schema.Field{
		Name: "condition", Type: schema.String, Extra: true,
		Description: "Expression in the language of routes: the plugin runs for requests for which it is true.",
		Check: func(v any) error {
			text, ok := v.(string)
			if !ok || compile == nil {
				return nil
			}
			return compile(text, nil)
		},
	}
}

// Order puts plugins in the order in which their access phases run. names are in the order
// of priorities; of returns the Ordering of each, which may be nil. A plugin keeps its
// place but for what it has to wait for, which runs right before it. When that is not
// possible, order is nil and circle names the plugins that wait for each other.
func Order(names []string, of func(i int) *Ordering) (order []int, circle []string) {
	waits := make([][]int, len(names)) // for which others
	for i := range names {
		o := of(i)
		if o == nil {
			continue
		}
		for _, later := range o.Before[OrderedPhase] {
			if j := slices.Index(names, later); j >= 0 {
				waits[j] = append(waits[j], i)
			}
		}
		for _, earlier := range o.After[OrderedPhase] {
			if j := slices.Index(names, earlier); j >= 0 {
				waits[i] = append(waits[i], j)
			}
		}
	}
	s := sorting{names: names, waits: waits, state: make([]visit, len(names))}
	for i := range names {
		if s.visit(i); s.circle != nil {
			return nil, s.circle
		}
	}
	return s.order, nil
}

type visit uint8

const (
	unseen visit = iota
	open
	done
)

type sorting struct {
	names  []string
	waits  [][]int
	state  []visit
	path   []int
	order  []int
	circle []string
}

func (s *sorting) visit(i int) {
	switch s.state[i] {
	case done:
		return
	case open:
		for _, j := range s.path[slices.Index(s.path, i):] {
			s.circle = append(s.circle, s.names[j])
		}
		slices.Reverse(s.circle) // who waits comes after
		s.circle = append(s.circle, s.circle[0])
		return
	}
	s.state[i] = open
	s.path = append(s.path, i)
	slices.Sort(s.waits[i])
	for _, j := range s.waits[i] {
		if s.visit(j); s.circle != nil {
			return
		}
	}
	s.path = s.path[:len(s.path)-1]
	s.state[i] = done
	s.order = append(s.order, i)
}
