package entity

import (
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Options say which kinds there are.
type Options struct {
	// Flavor of the router; "" means TraditionalCompatible.
	Flavor Flavor
	// Plugins finds the schema of a plugin by its name; nil knows none.
	Plugins func(name string) (*schema.Schema, bool)
	// Expression compiles the expression of a route (flavor Expressions) for its
	// protocols and says what is wrong with it; nil leaves that to the data plane.
	Expression func(expression string, protocols []string) error
	// ExpressionHints says what the writer of an expression should know; nil nothing.
	ExpressionHints func(expression string, protocols []string) []string
	// Extra kinds, such as the credentials that plugins bring along.
	Extra []*Def
}

// Kinds is the list of all kinds of entities. It is immutable.
type Kinds struct {
	all     []*Def
	byKind  map[string]*Def
	byAdmin map[string]*Def
}

// NewKinds makes the list. It panics when two kinds share a name or a schema is
// malformed, which are mistakes in code.
func NewKinds(o Options) *Kinds {
	k := &Kinds{byKind: map[string]*Def{}, byAdmin: map[string]*Def{}}
	for _, d := range All(o) {
		if k.byKind[d.Kind()] != nil {
			panic("two kinds of entities are named " + d.Kind())
		}
		d.Schema.Compile()
		k.all = append(k.all, d)
		k.byKind[d.Kind()] = d
		if d.Schema.NoAdmin {
			continue
		}
		name := d.Schema.Collection()
		if k.byAdmin[name] != nil {
			panic("two kinds of entities have the Admin collection " + name)
		}
		k.byAdmin[name] = d
	}
	return k
}

// All lists the kinds, those that others refer to first.
func All(o Options) []*Def {
	defs := []*Def{
		Workspaces, CACertificates, Certificates, SNIs, KeySets, Keys, Vaults,
		Services, routesOf(o), Upstreams, Targets, TargetMarks, Consumers, ConsumerGroups, GroupMembers, Plugins(o.Plugins, o.Expression),
	}
	defs = append(defs, o.Extra...)
	return append(defs, WorkspaceNames, Tags, Parameters, ClusteringDataPlanes)
}

// All lists the kinds, those that others refer to first.
func (k *Kinds) All() []*Def { return k.all }

// ByKind returns the kind of that name, such as "key_sets", or nil.
func (k *Kinds) ByKind(kind string) *Def { return k.byKind[kind] }

// ByCollection returns the kind that the Admin API serves under that name, such as
// "key-sets", or nil.
func (k *Kinds) ByCollection(name string) *Def { return k.byAdmin[name] }

func routesOf(o Options) *Def {
	d := Routes(o.Flavor, o.Expression)
	d.Hints = routeHints(o.Flavor, o.ExpressionHints)
	return d
}
