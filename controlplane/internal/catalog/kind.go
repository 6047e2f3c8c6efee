package catalog

import (
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// kind is what the catalog needs to know of a kind of entities, made once from its schema.
type kind struct {
	def    *entity.Def
	schema *schema.Schema
	name   string
	// pk is the field of the primary key, nearly always "id".
	pk string
	// local kinds are not streamed.
	local bool
	// foreign fields of the kind, and those of others that lead to it.
	foreign    []reference
	referrers  []reference
	uniques    []uniqueField
	tuple      []string // fields that are unique together, nil for none
	tupleIndex string
	tagged     bool
	// spaced kinds belong to a workspace, the others to all.
	spaced bool
	// unnamed are fields of the tuple that count only where they are set.
	unnamed map[string]bool
	// softFields are paths of lists of ids that restrict deletes without being foreign.
	softFields []string
	// softReferrers are such lists of others that lead to this kind, as index names.
	softReferrers []softReference
}

// reference is a foreign field.
type reference struct {
	kind     *kind // that has the field
	field    string
	target   *kind
	onDelete string
	index    string
}

type softReference struct {
	kind  *kind
	index string
}

type uniqueField struct {
	name  string
	index string
	// everywhere tells that workspaces share the values.
	everywhere bool
}

// Kinds and fields that the catalog knows by name.
const (
	kindCertificates   = "certificates"
	kindCACertificates = "ca_certificates"
	kindSNIs           = "snis"
	kindPlugins        = "plugins"
	kindTargets        = "targets"
	kindWorkspaces     = "workspaces"
	kindWorkspaceNames = "workspace_names"

	fieldTags = "tags"
	fieldSNIs = "snis"

	onDeleteCascade = "cascade"
	onDeleteNull    = "null"
)

// compileKinds makes the kinds, those first that others refer to.
func compileKinds(defs []*entity.Def) ([]*kind, map[string]*kind, error) {
	byName := make(map[string]*kind, len(defs))
	var all []*kind
	for _, def := range defs {
		if byName[def.Kind()] != nil {
			return nil, nil, fmt.Errorf("two kinds are named %s", def.Kind())
		}
		k := &kind{def: def, schema: def.Schema, name: def.Kind(), pk: "id", local: def.Hidden || def.Schema.NotExported && !def.Schema.Runtime, spaced: def.Schema.Workspaceable}
		if len(def.Schema.PrimaryKey) > 0 {
			k.pk = def.Schema.PrimaryKey[0]
		}
		byName[k.name] = k
		all = append(all, k)
	}
	for _, k := range all {
		if err := k.compile(byName); err != nil {
			return nil, nil, fmt.Errorf("kind %s: %w", k.name, err)
		}
	}
	return sortKinds(all), byName, nil
}

func (k *kind) compile(byName map[string]*kind) error {
	for i := range k.schema.Fields {
		f := &k.schema.Fields[i]
		switch {
		case f.Type == schema.Foreign:
			target := byName[f.Reference]
			if target == nil {
				return fmt.Errorf("field %s refers to %s, which is no kind", f.Name, f.Reference)
			}
			r := reference{kind: k, field: f.Name, target: target, onDelete: f.OnDelete, index: k.name + "." + f.Name}
			if k.name == kindSNIs && target.name == kindCertificates {
				r.onDelete = onDeleteCascade // they are the certificate's list of snis
			}
			k.foreign = append(k.foreign, r)
			target.referrers = append(target.referrers, r)
		case f.Name == fieldTags:
			k.tagged = true
		case f.Name == kindCACertificates && (f.Type == schema.Array || f.Type == schema.Set):
			k.addSoft(byName, f.Name)
		}
		if f.Unique && f.Name != k.pk {
			k.uniques = append(k.uniques, uniqueField{f.Name, k.name + "." + f.Name, f.UniqueAcrossWS || !k.spaced})
		}
	}
	if k.name == kindPlugins {
		k.addSoft(byName, "config."+kindCACertificates)
	}
	if tuple := k.schema.CacheKey; len(tuple) > 1 {
		k.tuple, k.tupleIndex, k.unnamed = tuple, k.name, map[string]bool{}
		for _, name := range tuple {
			f := k.schema.Field(name)
			switch {
			case f == nil:
				return fmt.Errorf("the fields that are unique together name %s, which is no field", name)
			case f.Extra:
				// It came later: entities without it keep their index entries.
				k.unnamed[name] = true
			default:
				k.tupleIndex += "." + name
			}
		}
	}
	return nil
}

func (k *kind) addSoft(byName map[string]*kind, path string) {
	if target := byName[kindCACertificates]; target != nil {
		k.softFields = append(k.softFields, path)
		target.softReferrers = append(target.softReferrers, softReference{k, k.name + "." + path})
	}
}

// sortKinds orders kinds so that references lead to kinds before.
func sortKinds(all []*kind) []*kind {
	out := make([]*kind, 0, len(all))
	visited := map[*kind]bool{}
	var visit func(k *kind)
	visit = func(k *kind) {
		if visited[k] {
			return
		}
		visited[k] = true
		for _, r := range k.foreign {
			visit(r.target)
		}
		out = append(out, k)
	}
	for _, k := range all {
		visit(k)
	}
	return out
}

// unique returns the unique field of a name, or nil.
func (k *kind) unique(name string) *uniqueField {
	for i := range k.uniques {
		if k.uniques[i].name == name {
			return &k.uniques[i]
		}
	}
	return nil
}

// besides returns the field that is unique together with a foreign field, "" when there
// is no such pair: the target of an upstream, the group of a consumer.
func (k *kind) besides(field string) string {
	if len(k.tuple) != 2 || field == "" || !slices.Contains(k.tuple, field) {
		return ""
	}
	if k.tuple[0] == field {
		return k.tuple[1]
	}
	return k.tuple[0]
}

func (k *kind) id(o schema.Object) string {
	id, _ := o[k.pk].(string)
	return id
}

// workspace returns the id of the workspace of a stored entity, "" for the default one.
func (k *kind) workspace(o schema.Object) string {
	if !k.spaced {
		return defaultWorkspace
	}
	id, _ := o[schema.WorkspaceID].(string)
	return id
}

// in tells whether an entity is one of a workspace, or of all.
func (k *kind) in(o schema.Object, workspace string) bool {
	return !k.spaced || k.workspace(o) == workspace
}

// tupleFields are the values of the fields that are unique together, as errors name them.
func (k *kind) tupleFields(o schema.Object) schema.Object {
	fields := schema.Object{}
	for _, name := range k.tuple {
		if v := o[name]; v != nil || !k.unnamed[name] {
			fields[name] = v
		}
	}
	return fields
}

// refID returns the id that a foreign field refers to, "" for none.
func refID(o schema.Object, field string) string {
	ref, _ := o[field].(schema.Object)
	id, _ := ref["id"].(string)
	return id
}
