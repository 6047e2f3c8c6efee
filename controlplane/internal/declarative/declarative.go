// Package declarative reads and writes the whole configuration as one document in Kong's
// declarative format: versions 1.1, 2.1 and 3.0, JSON or YAML, children below their
// parents or beside them, references by id or name. It owns the format and the form of
// its errors. It refuses to judge entities and to store them, which the catalog does.
package declarative

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/controlplane/internal/spool"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Catalog is what the room needs of the catalog.
type Catalog interface {
	In(workspace string) catalog.API
	Workspace(ctx context.Context, nameOrID string) (id, name string, err error)
	Declare(ctx context.Context, workspace string, entities catalog.Declared, stored bool) (id string, p store.Position, err error)
	Preview(ctx context.Context, workspace string, entities catalog.Declared, stored bool) (*catalog.Preview, error)
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
	codec *spool.Codec
}

// New makes a service.
func New(o Options) *Service {
	s := &Service{o: o, names: map[string]*entity.Def{}, codec: spool.NewCodec()}
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
func (s *Service) Load(ctx context.Context, workspace string, document io.Reader, _ string, flatten bool) (any, store.Position, error) {
	var id string
	var p store.Position
	f, err := s.take(workspace, document, flatten, func(f *flat, name string, stored bool) (err error) {
		id, p, err = s.o.Catalog.Declare(ctx, name, f, stored)
		return err
	})
	if err != nil {
		return nil, p, err
	}
	l := &loaded{ctx: ctx, in: s.o.Catalog.In(id)}
	for _, kind := range f.kinds {
		l.kinds = append(l.kinds, s.names[kind])
	}
	slices.SortFunc(l.kinds, func(a, b *entity.Def) int { return strings.Compare(a.Kind(), b.Kind()) })
	if f.count > mostListed {
		return l, p, nil
	}
	result, err := l.all()
	return result, p, err
}

// Preview tells what Load would change, and refuses what Load would refuse.
func (s *Service) Preview(ctx context.Context, workspace string, document io.Reader, flatten bool) (*catalog.Preview, error) {
	var out *catalog.Preview
	_, err := s.take(workspace, document, flatten, func(f *flat, name string, stored bool) (err error) {
		out, err = s.o.Catalog.Preview(ctx, name, f, stored)
		return err
	})
	return out, err
}

// take reads a document, gives its entities to declare with the name of its workspace and
// whether they are in their stored form, and explains why they are refused.
func (s *Service) take(workspace string, document io.Reader, flatten bool, declare func(f *flat, name string, stored bool) error) (*flat, error) {
	end := func() {}
	defer func() { end() }()
	sp := splitter{
		kinds: func(name string) bool { return s.names[name] != nil }, codec: s.codec,
		large: sync.OnceFunc(func() { end = spare() }),
	}
	d, err := sp.read(document)
	var f *flat
	if err == nil {
		f, err = s.flatten(d)
	}
	if wrong, ok := errors.AsType[parseError](err); ok {
		return nil, refuse(schema.Object{"error": "failed parsing declarative configuration: " + wrong.Error()})
	}
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	name := f.workspace(d.top, workspace)
	if len(f.wrong) > 0 {
		return nil, refuse(f.wrong)
	}
	err = declare(f, name, d.top["_transform"] == false)
	if refused, ok := errors.AsType[*catalog.ReplaceError](err); ok {
		return nil, f.explain(refused, flatten)
	}
	if v, ok := errors.AsType[*schema.Violation](err); ok {
		return nil, refuse(schema.Object{"_workspace": v.Fields["name"]})
	}
	return f, err
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

// meta are the keys at the top that are no kinds.
var meta = []string{"_format_version", "_transform", "_comment", "_ignore", "_plugin_configs", "_info", "_konnect", "_workspace"}

func isMeta(name string) bool { return slices.Contains(meta, name) }
