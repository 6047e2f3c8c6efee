package declarative

import (
	"fmt"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// kindMembers are the memberships of consumers in groups: entities of their own, which
// documents also have as lists below either end.
const kindMembers = "consumer_group_consumers"

// nestedMembers is such a list.
type nestedMembers struct {
	key string
	// above refers to what has the list, below to what is listed by its field name.
	above, below, name string
}

// membership tells whether a key below an entity lists memberships: the groups of a
// consumer, under the name that decK writes or that of the kind, or a group's consumers.
func membership(def *entity.Def, key string) (nestedMembers, bool) {
	switch {
	case def.Kind() == "consumers" && (key == "groups" || key == "consumer_groups"):
		return nestedMembers{key, "consumer", "consumer_group", "name"}, true
	case def.Kind() == "consumer_groups" && key == "consumers":
		return nestedMembers{key, "consumer_group", "consumer", "username"}, true
	}
	return nestedMembers{}, false
}

// takeMembers adds the memberships of a list. Entries are names, or objects that have an
// id or a name; what else they say of the other end is said where that is declared. One
// that both ends list is one.
func (f *flat) takeMembers(n nestedMembers, v any, above schema.Object, at *spot) {
	list, ok := v.([]any)
	if !ok {
		if v != nil {
			f.put(at.place(), "expected an array")
		}
		return
	}
	for i, e := range list {
		at := &spot{at.above, at.key, i}
		below := schema.Object{}
		switch e := e.(type) {
		case string:
			below[n.name] = e
		case schema.Object:
			for _, key := range []string{"id", n.name} {
				if text, ok := e[key].(string); ok && len(below) == 0 {
					below[key] = text
				}
			}
		}
		if len(below) == 0 {
			f.put(at.place(), "expected a "+n.name+" or an object with id or "+n.name)
			continue
		}
		own := schema.Object{n.above: above, n.below: below}
		seen := fmt.Sprint(own["consumer"], own["consumer_group"])
		if f.members[seen] {
			continue
		}
		if f.members == nil {
			f.members = map[string]bool{}
		}
		f.members[seen] = true
		f.add(f.s.names[kindMembers], own, "", at)
	}
}
