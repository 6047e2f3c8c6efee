package declarative

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/sluice-gateway/sluice/controlplane/internal/catalog"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/schema"
)

// mostListed is how many entities an answer has as objects; a larger one is written piece
// by piece.
const mostListed = 5000

// loaded are the entities of the kinds that a document had, by kind and id.
type loaded struct {
	ctx   context.Context //nolint:containedctx // lives as long as the request
	in    catalog.API
	kinds []*entity.Def // by name
}

func (l *loaded) all() (schema.Object, error) {
	result := schema.Object{}
	for _, def := range l.kinds {
		byID := schema.Object{}
		if err := each(l.ctx, l.in, def, func(o schema.Object) error {
			id, _ := o["id"].(string)
			byID[id] = o
			return nil
		}); err != nil {
			return nil, err
		}
		result[def.Kind()] = byID
	}
	return result, nil
}

// WriteJSON writes what all returns.
func (l *loaded) WriteJSON(to io.Writer) error {
	w := bufio.NewWriterSize(to, 64<<10)
	var buffer []byte
	separator := "{"
	for _, def := range l.kinds {
		if _, err := fmt.Fprintf(w, "%s%q:", separator, def.Kind()); err != nil {
			return err
		}
		separator = ","
		first := byte('{')
		if err := eachJSON(l.ctx, l.in, def, func(id string, entity []byte) error {
			var err error
			if buffer, err = schema.AppendJSON(append(buffer[:0], first), id); err != nil {
				return err
			}
			buffer = append(append(buffer, ':'), entity...)
			first = ','
			_, err = w.Write(buffer)
			return err
		}); err != nil {
			return err
		}
		if first == '{' {
			_ = w.WriteByte('{') // the next write has its error
		}
		_ = w.WriteByte('}')
	}
	_ = w.WriteByte('}')
	return w.Flush()
}

// each calls fn with the entities of a kind, a page at a time.
func each(ctx context.Context, in catalog.API, def *entity.Def, fn func(schema.Object) error) error {
	for offset := ""; ; {
		page, err := in.List(ctx, def, catalog.ListOptions{Size: catalog.MaxPageSize, Offset: offset})
		if err != nil {
			return fmt.Errorf("read %s: %w", def.Kind(), err)
		}
		for _, o := range page.Entities {
			if err := fn(o); err != nil {
				return err
			}
		}
		if offset = page.Next; offset == "" {
			return nil
		}
	}
}

// eachJSON calls fn with the entities of a kind as answers show them.
func eachJSON(ctx context.Context, in catalog.API, def *entity.Def, fn func(id string, entity []byte) error) error {
	for offset := ""; ; {
		page, err := in.List(ctx, def, catalog.ListOptions{Size: catalog.MaxPageSize, Offset: offset, JSON: true})
		if err != nil {
			return fmt.Errorf("read %s: %w", def.Kind(), err)
		}
		from := 0
		for _, end := range page.Ends {
			if err := fn(end.ID, page.JSON[from:end.At]); err != nil {
				return err
			}
			from = end.At + 1
		}
		for _, o := range page.Entities {
			id, _ := o["id"].(string)
			text, err := schema.EncodeJSON(o)
			if err != nil {
				return fmt.Errorf("write %s %s: %w", def.Kind(), id, err)
			}
			if err := fn(id, text); err != nil {
				return err
			}
		}
		if offset = page.Next; offset == "" {
			return nil
		}
	}
}
