package declarative

import (
	"context"
	"fmt"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// Versions of the format that are read; the last is written.
var versions = []string{"1.1", "2.1", "3.0"}

// Export returns the configuration of a workspace, "" for the default one, as a YAML
// document, which Load reads. What belongs to all workspaces is in that of the default one.
// The same configuration gives the same bytes.
func (s *Service) Export(ctx context.Context, workspace string) (string, error) {
	if workspace == "" {
		workspace = defaultWorkspace
	}
	id, name, err := s.o.Catalog.Workspace(ctx, workspace)
	if err != nil {
		return "", fmt.Errorf("workspace %s: %w", workspace, err)
	}
	in := s.o.Catalog.In(id)
	w := writer{fmt.Appendf(nil, "_format_version: '%s'\n_transform: false\n", versions[len(versions)-1])}
	if name != defaultWorkspace {
		if err := w.mapping(schema.Object{"_workspace": name}, 0); err != nil {
			return "", fmt.Errorf("write the workspace: %w", err)
		}
	}
	for _, def := range s.kinds {
		if name != defaultWorkspace && !def.Schema.Workspaceable {
			continue
		}
		if err := w.kind(ctx, in, def); err != nil {
			return "", err
		}
	}
	return string(w.b), nil
}

// kind writes the entities of a kind, nothing when there are none.
func (w *writer) kind(ctx context.Context, in catalog.API, def *entity.Def) error {
	first := true
	return each(ctx, in, def, func(o schema.Object) error {
		for name := range o {
			if f := def.Schema.Field(name); f != nil && f.Transient {
				delete(o, name)
			}
		}
		deprecated(def, o)
		if first {
			w.b = append(append(w.b, def.Kind()...), ":\n"...)
			first = false
		}
		w.indent(2)
		if err := w.element(o, 2); err != nil {
			return fmt.Errorf("write %s: %w", def.Kind(), err)
		}
		return nil
	})
}

// deprecated takes fields out that are only there for readers of old.
func deprecated(def *entity.Def, o schema.Object) {
	for i := range def.Schema.Shorthands {
		delete(o, def.Schema.Shorthands[i].Field.Name)
	}
}
