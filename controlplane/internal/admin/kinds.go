package admin

import (
	"net/http"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// kind is one kind of entities below a path. parent is nil at the top, else the kind of
// the first entity in the path and field is what refers to it.
type kind struct {
	def    *entity.Def
	parent *entity.Def
	field  string
	// all lists in the order of ids also what is otherwise listed by age.
	all bool
}

// Kinds that the Admin API treats in an own way.
const (
	kindTags           = "tags"
	kindWorkspaces     = "workspaces"
	kindConsumerGroups = "consumer_groups"
	kindCertificates   = "certificates"
	kindConsumers      = "consumers"
	kindUpstreams      = "upstreams"
	kindTargets        = "targets"
	kindMarks          = "target_marks"
	kindSNIs           = "snis"
	kindRoutes         = "routes"
	kindServices       = "services"
)

// unviewed are foreign fields whose entity has no view, as in Kong.
var unviewed = map[string]bool{kindSNIs + ".certificate": true}

// addKinds adds the paths of all kinds: collections and items at the top and below what
// they refer to, and views of what an item refers to.
func (a *API) addKinds() {
	a.nested, a.docs = map[string]string{}, map[string]doc{}
	for _, def := range a.o.Kinds.All() {
		switch {
		case def.Schema.NoAdmin:
			continue
		case def.Kind() == kindTags:
			a.addTags(def)
			continue
		}
		top := "/" + def.Schema.Collection()
		if !def.Schema.NoTopLevel {
			k := kind{def: def}
			a.table.add(top, k.collection())
			a.table.add(top+item(def), itemOf(k))
			a.docs[top], a.docs[top+item(def)] = doc{def, roleCollection, nil}, doc{def, roleItem, nil}
		}
		for i := range def.Schema.Fields {
			f := &def.Schema.Fields[i]
			if f.Type != schema.Foreign {
				continue
			}
			parent := a.o.Kinds.ByKind(f.Reference)
			if parent == nil || parent.Schema.NoAdmin {
				continue
			}
			a.addBelow(kind{def: def, parent: parent, field: f.Name})
			if !def.Schema.NoTopLevel && !unviewed[def.Kind()+"."+f.Name] {
				a.table.add(top+item(def)+"/"+f.Name, view{def: def, field: f.Name, target: parent}.methods())
				a.docs[top+item(def)+"/"+f.Name] = doc{parent, roleView, def}
			}
		}
	}
}

// itemOf are the methods of an item, some of which a few kinds have their own way.
func itemOf(k kind) map[string]handler {
	methods := k.item()
	switch k.def.Kind() {
	case kindConsumerGroups:
		methods[http.MethodGet] = showGroup
	case kindWorkspaces:
		methods[http.MethodDelete] = deleteWorkspace
	}
	return methods
}

// item is the part of a path that names one of a kind.
func item(def *entity.Def) string { return "/{" + def.Kind() + "}" }

// addBelow adds the paths of a kind below a parent. When two fields refer to the same
// kind the first one has the path.
func (a *API) addBelow(k kind) {
	path := "/" + k.parent.Schema.Collection() + item(k.parent) + "/" + k.def.Schema.Nested()
	if a.nested[path] != "" {
		return
	}
	a.nested[path] = k.def.Kind()
	a.table.add(path, k.collection())
	a.table.add(path+item(k.def), k.item())
	a.docs[path], a.docs[path+item(k.def)] = doc{k.def, roleCollection, k.parent}, doc{k.def, roleItem, k.parent}
	if k.def.Kind() == kindTargets {
		all := k
		all.all = true
		a.table.get(path+"/all", all.list)
		a.docs[path+"/all"] = doc{k.def, roleCollection, k.parent}
	}
}

func (k kind) collection() map[string]handler {
	return map[string]handler{http.MethodGet: k.list, http.MethodPost: k.insert}
}

func (k kind) item() map[string]handler {
	return map[string]handler{
		http.MethodGet: k.get, http.MethodPatch: k.update, http.MethodPut: k.upsert, http.MethodDelete: k.remove,
	}
}

// scope returns the parent that the path names, none at the top.
func (k kind) scope(c *call) (catalog.Scope, error) {
	if k.parent == nil {
		return catalog.Scope{}, nil
	}
	parent, err := c.find(k.parent, c.values[0])
	if err != nil {
		return catalog.Scope{}, err
	}
	id, _ := parent["id"].(string)
	return catalog.Scope{Field: k.field, ParentID: id}, nil
}

// place finds the scope and the key of the item that the path names.
func (k kind) place(c *call) (catalog.Key, catalog.Scope, error) {
	scope, err := k.scope(c)
	return keyOf(c.values[len(c.values)-1]), scope, err
}

// find returns the entity that a part of the path names. What is not there is
// answered without details.
func (c *call) find(def *entity.Def, name string) (schema.Object, error) {
	o, err := c.catalog().Get(c.ctx, def, keyOf(name), catalog.Scope{})
	return o, missing(err, def, name)
}

// missing answers what is not there without details.
func missing(err error, def *entity.Def, name string) error {
	if !isNotFound(err) {
		return err
	}
	if def.Kind() == kindCertificates && !isUUID(name) {
		return refuse(http.StatusNotFound, "SNI not found")
	}
	return errNotFound
}

// keyOf takes a part of a path for an id when it looks like one.
func keyOf(name string) catalog.Key {
	if isUUID(name) {
		return catalog.Key{ID: strings.ToLower(name)}
	}
	return catalog.Key{Value: name}
}

// isUUID tells whether s has the form of a UUID, of any version.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}
