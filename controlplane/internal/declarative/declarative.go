// Package declarative reads and writes the whole configuration as one document in Kong's
// declarative format: versions 1.1, 2.1 and 3.0, JSON or YAML, children below their
// parents or beside them, references by id or name. It owns the format and the form of
// its errors. It refuses to judge entities and to store them, which the catalog does.
package declarative

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Catalog is what the room needs of the catalog.
type Catalog interface {
	In(workspace string) catalog.API
	Workspace(ctx context.Context, nameOrID string) (id, name string, err error)
	EnsureWorkspace(ctx context.Context, name string) (id string, made bool, err error)
	DeleteWorkspace(ctx context.Context, key catalog.Key, cascade bool) (catalog.Written, error)
}

// Options of a Service.
type Options struct {
	Catalog Catalog
	Kinds   *entity.Kinds
}

// Service loads and exports documents. It is safe for concurrent use.
type Service struct {
	o     Options
	kinds []*entity.Def // that a document may have
	names map[string]*entity.Def
}

// New makes a service.
func New(o Options) *Service {
	s := &Service{o: o, names: map[string]*entity.Def{}}
	for _, def := range o.Kinds.All() {
		if def.Hidden || def.Schema.NotExported {
			continue
		}
		s.kinds = append(s.kinds, def)
		s.names[def.Kind()] = def
	}
	return s
}

// defaultWorkspace is the workspace of documents that name none.
const defaultWorkspace = "default"

// Load makes the configuration of a workspace equal to a document, JSON or YAML whatever
// contentType says, and returns the entities by kind and id. The workspace is that of the
// name given, else the _workspace of the document, which is made when there is none, else
// the default one; the others stay as they are. flatten asks for an error that lists what
// is wrong entity by entity. A document that is refused is an *Error, and nothing has
// changed.
func (s *Service) Load(ctx context.Context, workspace string, document []byte, _ string, flatten bool) (any, store.Position, error) {
	top, err := parse(document)
	if err != nil {
		return nil, store.Position{}, refuse(schema.Object{"error": "failed parsing declarative configuration: " + err.Error()})
	}
	f := s.flatten(top)
	name := f.workspace(top, workspace)
	if len(f.wrong) > 0 {
		return nil, store.Position{}, refuse(f.wrong)
	}
	id, made, err := s.o.Catalog.EnsureWorkspace(ctx, name)
	if v, ok := errors.AsType[*schema.Violation](err); ok {
		return nil, store.Position{}, refuse(schema.Object{"_workspace": v.Fields["name"]})
	}
	if err != nil {
		return nil, store.Position{}, fmt.Errorf("workspace %s: %w", name, err)
	}
	in := s.o.Catalog.In(id)
	replace := in.Replace
	if top["_transform"] == false {
		replace = in.ReplaceStored
	}
	p, err := replace(ctx, f.entities())
	if err != nil && made {
		if _, undo := s.o.Catalog.DeleteWorkspace(ctx, catalog.Key{ID: id}, false); undo != nil {
			err = errors.Join(err, fmt.Errorf("remove workspace %s again: %w", name, undo))
		}
	}
	if refused, ok := errors.AsType[*catalog.ReplaceError](err); ok {
		return nil, p, f.explain(refused, flatten)
	}
	if err != nil {
		return nil, p, err
	}
	result := schema.Object{}
	for _, def := range s.kinds {
		if len(f.found[def.Kind()]) == 0 {
			continue
		}
		list, err := all(ctx, in, def)
		if err != nil {
			return nil, p, err
		}
		byID := schema.Object{}
		for _, o := range list {
			id, _ := o["id"].(string)
			byID[id] = o
		}
		result[def.Kind()] = byID
	}
	return result, p, nil
}

// workspace returns the name of the workspace that a document is for.
func (f *flat) workspace(top schema.Object, asked string) string {
	name, ok := top["_workspace"].(string)
	switch {
	case top["_workspace"] == nil || ok && name == "":
		name = asked
	case !ok:
		f.wrong["_workspace"] = "expected a string"
	case asked != "" && asked != name:
		f.wrong["_workspace"] = "expected " + asked + ", the workspace that was asked for"
	}
	if name == "" {
		return defaultWorkspace
	}
	return name
}

// all reads the entities of a kind.
func all(ctx context.Context, in catalog.API, def *entity.Def) ([]schema.Object, error) {
	var out []schema.Object
	for offset := ""; ; {
		page, err := in.List(ctx, def, catalog.ListOptions{Size: catalog.MaxPageSize, Offset: offset})
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", def.Kind(), err)
		}
		out = append(out, page.Entities...)
		if offset = page.Next; offset == "" {
			return out, nil
		}
	}
}

// Versions of the format that are read; the last is written.
var versions = []string{"1.1", "2.1", "3.0"}

// Export returns the configuration of a workspace, "" for the default one, as a YAML
// document, which Load reads. What belongs to all workspaces is in that of the default one.
func (s *Service) Export(ctx context.Context, workspace string) (string, error) {
	if workspace == "" {
		workspace = defaultWorkspace
	}
	id, name, err := s.o.Catalog.Workspace(ctx, workspace)
	if err != nil {
		return "", fmt.Errorf("workspace %s: %w", workspace, err)
	}
	in := s.o.Catalog.In(id)
	var document strings.Builder
	_, _ = fmt.Fprintf(&document, "_format_version: '%s'\n_transform: false\n", versions[len(versions)-1])
	if name != defaultWorkspace {
		text, err := writeYAML("_workspace", name)
		if err != nil {
			return "", fmt.Errorf("write the workspace: %w", err)
		}
		document.WriteString(text)
	}
	for _, def := range s.kinds {
		if name != defaultWorkspace && !def.Schema.Workspaceable {
			continue
		}
		list, err := all(ctx, in, def)
		if err != nil {
			return "", err
		}
		if len(list) == 0 {
			continue
		}
		for _, o := range list {
			for name := range o {
				if f := def.Schema.Field(name); f != nil && f.Transient {
					delete(o, name)
				}
			}
			deprecated(def, o)
		}
		text, err := writeYAML(def.Kind(), list)
		if err != nil {
			return "", fmt.Errorf("write %s: %w", def.Kind(), err)
		}
		document.WriteString(text)
	}
	return document.String(), nil
}

// deprecated takes fields out that are only there for readers of old.
func deprecated(def *entity.Def, o schema.Object) {
	for i := range def.Schema.Shorthands {
		delete(o, def.Schema.Shorthands[i].Field.Name)
	}
}

// meta are the keys at the top that are no kinds.
var meta = []string{"_format_version", "_transform", "_comment", "_ignore", "_plugin_configs", "_info", "_konnect", "_workspace"}

func isMeta(name string) bool { return slices.Contains(meta, name) }
